"""Describe as JSON schemas what the answers hold: the very types of the values that `wire.plain` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from gitreg.deployment import Approval, Status
from gitreg.digest import Digest
from gitreg.gate import Violation
from gitreg.manifest import Lifecycle, Manifest
from gitreg.names import AliasName, EnvironmentName, ModelName, UserName, Version
from gitreg.recommend.advice import Recommended

if TYPE_CHECKING:
    from collections.abc import Iterable

Schema = dict[str, Any]
PLACE = "#/components/schemas/"
_SIMPLE: Mapping[type, str] = {bool: "boolean", int: "integer", float: "number", NoneType: "null"}
_TEXTS = (str, Digest, ModelName, Version, date, datetime)
# What the modules of the values import for their type checker alone.
_NAMES = {
    each.__name__: each
    for each in (
        *(AliasName, Approval, Digest, EnvironmentName, Lifecycle, Manifest, Mapping, ModelName, Recommended, Sequence),
        *(Status, UserName, Version, Violation),
    )
}


class Schemas:
    """Make schemas, and keep those of the classes by their names, for others to refer to."""

    def __init__(self, taken: AbstractSet[str] = frozenset()) -> None:
        self.named: dict[str, Schema] = {}
        self._taken = taken

    def of(self, kind: Any) -> Schema:  # noqa: ANN401 - any type
        """Describe a type."""
        if kind in _SIMPLE:
            return {"type": _SIMPLE[kind]}
        origin, inside = get_origin(kind), get_args(kind)
        if origin is None:
            return self._of_class(kind) if isinstance(kind, type) else {}
        if origin is Literal:
            return {"enum": list(inside)}
        if origin in {Union, UnionType}:
            return {"anyOf": [self.of(each) for each in inside]}
        if issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self.of(inside[1])}
        if issubclass(origin, tuple) and Ellipsis not in inside:
            return {"type": "array", "prefixItems": [self.of(each) for each in inside], "items": False}
        return {"type": "array", "items": self.of(inside[0])} if issubclass(origin, (Sequence, AbstractSet)) else {}

    def page_of(self, kind: Any) -> Schema:  # noqa: ANN401 - any type
        """Describe a part of a list, and the cursor of the next one."""
        items = {"type": "array", "items": self.of(kind)}
        return record({"items": items, "next": {"type": ["string", "null"]}})

    def _of_class(self, kind: type) -> Schema:
        if issubclass(kind, Enum):
            return {"enum": [each.value for each in kind]}
        if issubclass(kind, _TEXTS):
            return {"type": "string"}
        if not hasattr(kind, "__dataclass_fields__"):
            return {}
        name = f"Answered{kind.__name__}" if kind.__name__ in self._taken else kind.__name__
        if name not in self.named:
            self.named[name] = {}  # it may hold itself
            self.named[name] = self._of_fields(kind)
        return {"$ref": f"{PLACE}{name}"}

    def _of_fields(self, kind: type) -> Schema:
        """Describe a class as what becomes of it: fields that are None are left out."""
        hints = get_type_hints(kind, localns=_NAMES)
        hints = {name: hint for name, hint in hints.items() if name in kind.__dataclass_fields__}  # type: ignore[attr-defined]
        optional = {name for name, hint in hints.items() if hint in {Any, object} or NoneType in get_args(hint)}
        properties = {name: self.of(_without_none(hint)) for name, hint in hints.items()}
        return {**record(properties, optional), "description": (kind.__doc__ or "").partition("\n\n")[0]}


def record(properties: Mapping[str, Schema], optional: Iterable[str] = ()) -> Schema:
    """Describe an object."""
    required = [name for name in properties if name not in set(optional)]
    return {"type": "object", "properties": dict(properties), "required": required}


def _without_none(hint: Any) -> Any:  # noqa: ANN401 - any type
    if get_origin(hint) not in {Union, UnionType}:
        return hint
    return Union[tuple(each for each in get_args(hint) if each is not NoneType)]  # noqa: UP007 - of a tuple
