"""Bound what one file may hold; reading and writing keep to the same bounds."""

from __future__ import annotations

from typing import Final

MAX_BYTES: Final = 1 << 20  # 1 MiB
MAX_DEPTH: Final = 16  # lists and mappings inside each other, the top one counted
MAX_NODES: Final = 50_000  # keys, values, lists and mappings
MAX_KEY: Final = 128  # characters; libyaml wants a key and its escapes within 1024
MAX_NUMBER: Final = 64  # characters of a number as it is written
MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**63 - 1
