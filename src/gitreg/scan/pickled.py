"""Describe what a pickle imports, calls and points at, without doing any of it."""

from __future__ import annotations

import re

_RECONSTRUCTORS = frozenset({"copyreg._reconstructor", "copy_reg._reconstructor"})
_BARE = [["builtins.object", "None"], ["__builtin__.object", "None"]]  # what follows the class
_NUMBERS = re.compile(r"[|<>=]?[biufcmMSUV?][0-9]*")
_MODULE = re.compile(r"\w[\w.-]*")


def is_no_name(value: object) -> bool:
    """Whether a value is certainly no text, or an empty one: an unpickler fails where it takes it for a name."""
    if isinstance(value, Call):  # a class by another name may be `str`
        return value.gives_data or (value.is_instance and value.arguments == ())
    return isinstance(value, bytes | int | float | tuple | list | dict | None)


def cannot_be_called(value: object) -> bool:
    """Whether an unpickler fails where it calls a value."""
    if isinstance(value, Call):
        return value.gives_data
    return isinstance(value, str | bytes | int | float | tuple | list | dict | None)


class Global:
    """Something that an unpickler imports: a class or a function by module and name."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __str__(self) -> str:
        """Write `module.name`."""
        return f"{self.module}.{self.name}"

    @property
    def may_be_there(self) -> bool:
        """Whether it can be imported anywhere: words of a text cannot."""
        name = self.name
        return bool(_MODULE.fullmatch(self.module) and name) and name.isprintable() and not {" ", "\ufffd"} & set(name)


class Call:
    """What a call would return: what is called, with what, and what is put into it afterwards."""

    __slots__ = ("arguments", "function", "is_instance", "items", "state")

    def __init__(self, function: object, arguments: object, *, is_instance: bool = False) -> None:
        self.function = function
        self.arguments = arguments
        self.is_instance = is_instance  # made by a class' `__new__`
        self.state: object = None
        self.items: dict[object, object] = {}

    def calls(self, name: str) -> bool:
        """Whether it is a call of `module.name`."""
        made = self.function
        if isinstance(made, Global) and str(made) in _RECONSTRUCTORS and isinstance(self.arguments, tuple):
            made = self.arguments[0] if self.arguments else None
        return isinstance(made, Global) and str(made) == name

    @property
    def gives_data(self) -> bool:
        """Whether it gives an array, a number or a dtype of NumPy's: no text, and nothing that can be called.

        A scalar of objects is whatever object somebody puts there.
        """
        name = str(self.function)
        if name.endswith("multiarray._reconstruct"):
            return isinstance(self.arguments, tuple) and str(next(iter(self.arguments), "")) == "numpy.ndarray"
        if name.endswith("multiarray.scalar"):
            return isinstance(self.arguments, tuple) and _is_of_numbers(next(iter(self.arguments), None))
        return name == "numpy.dtype"

    @property
    def is_bare(self) -> bool:
        """Whether it is an instance that has nothing yet: made by `__new__` alone, and nothing put into it."""
        arguments = self.arguments
        if isinstance(self.function, Global) and str(self.function) in _RECONSTRUCTORS:
            rest = arguments[1:] if isinstance(arguments, tuple) else ()
            arguments = () if [str(each) for each in rest] in _BARE else None
        return arguments == () and self.state is None and not self.items


def _is_of_numbers(dtype: object) -> bool:
    if not isinstance(dtype, Call) or str(dtype.function) != "numpy.dtype" or not isinstance(dtype.arguments, tuple):
        return False
    kind = next(iter(dtype.arguments), None)
    return isinstance(kind, str) and bool(_NUMBERS.fullmatch(kind))


class Persistent:
    """An object that lies outside the pickle, by its id."""

    __slots__ = ("key",)

    def __init__(self, key: object) -> None:
        self.key = key
