"""Turn gitreg's values into what JSON and YAML can say."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from enum import Enum
from typing import Any

from gitreg.digest import Digest
from gitreg.errors import InvalidError
from gitreg.names import ModelName, Version


def plain(value: object) -> Any:  # noqa: ANN401 - any JSON value
    """Turn a value into mappings, lists, text, numbers, booleans and None.

    Names, versions, digests and paths become text, times RFC 3339 in UTC, dataclasses mappings of the fields that are
    not None, sets sorted lists, the scalars of numpy plain numbers. Raises InvalidError for what has no such form.
    """
    if value is None or type(value) in {str, bool, int, float}:
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, (str, Digest, ModelName, Version)):
        return str.__str__(value) if isinstance(value, str) else str(value)
    names = getattr(type(value), "__dataclass_fields__", None)
    if names is not None:
        named = ((name, getattr(value, name)) for name in names)
        return {name: plain(item) for name, item in named if item is not None}
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [plain(item) for item in value]
        return items if isinstance(value, (list, tuple)) else sorted(items)
    return _scalar(value)


def _key(key: object) -> str:
    text = plain(key)
    if isinstance(text, str):
        return text
    raise InvalidError(f"{key!r} cannot be a key", hint="keys are text")


def _scalar(value: object) -> str | float:
    """Read times, and numbers by their abstract kind, for numpy's are no subclasses of int and float."""
    from datetime import UTC, date, datetime

    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidError(f"the time {value} has no time zone", hint="make it with datetime.now(UTC)")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if type(value).__name__ in {"bool", "bool_"} and hasattr(value, "item"):
        return bool(value)
    if hasattr(value, "__fspath__"):
        return str(value)
    raise InvalidError(f"a {type(value).__name__} cannot be written", hint="use text, numbers, lists and mappings")
