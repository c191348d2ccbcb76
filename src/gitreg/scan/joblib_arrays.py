"""Tell where the arrays end that joblib writes between two opcodes of its pickles, and refuse what leaves it open.

joblib (numpy_pickle.py) asks NumPy for the size of a dtype, and NumPy takes it from what the pickle says of it. An
array whose end joblib would see elsewhere than here could hide what follows, so there is one way to describe it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gitreg.scan.headers.arrays import dtype_of
from gitreg.scan.headers.source import Tensor, checked_shape, refuse
from gitreg.scan.pickled import Call

_MAX_DEPTH = 8  # records in records
_OBJECTS = re.compile(r"[|<>=]?O[0-9]*")
_OF_ANY_SIZE = "SUV"
_HOLDS_OBJECTS = 1  # NPY_ITEM_HASOBJECT, of a dtype's flags


class Array(NamedTuple):
    """What follows a wrapper: a pickle of objects, or so many bytes after, it may be, some that align them."""

    holds_objects: bool
    is_padded: bool
    size: int


def described(state: object, position: int) -> Array:
    """Read the state of a wrapper, which ends at `position`."""
    if not isinstance(state, dict) or not all(isinstance(each, str) for each in state):  # made ones may be equal
        refuse(f"an array without a description before byte {position}")
    shape = state.get("shape")
    if not isinstance(shape, tuple):
        refuse(f"an array without a shape before byte {position}")
    objects, width = _size_of(state.get("dtype"), position)
    size = Tensor("", "", checked_shape("array", shape)).elements * width
    return Array(objects, state.get("numpy_array_alignment_bytes") is not None, size)


def _size_of(dtype: object, position: int, depth: int = 0) -> tuple[bool, int]:
    """Say of a dtype, as NumPy would build it, whether it holds Python objects, and how many bytes it has."""
    if depth > _MAX_DEPTH:
        refuse("a dtype that is nested too deep")
    if not isinstance(dtype, Call) or str(dtype.function) != "numpy.dtype" or not isinstance(dtype.arguments, tuple):
        refuse(f"an array without a dtype before byte {position}")
    kind = dtype.arguments[0] if dtype.arguments else None
    if not isinstance(kind, str):
        refuse(f"an array whose dtype has no name before byte {position}")
    objects = bool(_OBJECTS.fullmatch(kind))
    width = 8 if objects else dtype_of(kind)[1]
    if dtype.state is None:
        return objects, width
    match dtype.state:
        case (3 | 4, _, inner, _, fields, int(size), _, int(flags), *_):
            for part in (*_parts(inner), *_fields(fields)):
                objects |= _size_of(part, position, depth + 1)[0]
            sizes = {width} if kind.strip("|<>=")[:1] in _OF_ANY_SIZE else {width, -1}
            if size in sizes and bool(flags & _HOLDS_OBJECTS) == objects:
                return objects, width
    return refuse(f"a dtype {kind[:40]!r} that is described in two ways, before byte {position}")


def _parts(inner: object) -> list[object]:
    """Give the dtype that an array in a record has."""
    if inner is None:
        return []
    return [inner[0]] if isinstance(inner, tuple) and inner else [inner]


def _fields(fields: object) -> list[object]:
    """Give the dtypes of a record's fields."""
    if fields is None:
        return []
    if not isinstance(fields, dict):
        return [fields]
    return [each[0] if isinstance(each, tuple) and each else each for each in fields.values()]
