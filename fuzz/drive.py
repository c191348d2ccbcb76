"""Drive one target with atheris: `python -m fuzz.drive TARGET [libFuzzer's options and corpora]`."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["gitreg", "yaml"]):
    from fuzz.targets import LENGTHS, TARGETS

name, *options = sys.argv[1:]
# libFuzzer starts itself anew by its first argument when it merges corpora.
itself = f"{sys.executable} -m fuzz.drive {name}"
atheris.Setup([itself, f"-max_len={LENGTHS[name]}", *options], TARGETS[name])
atheris.Fuzz()
