"""Make frozen, slotted dataclasses that generate their methods when they are first used.

`dataclasses` generates seven functions when a class is defined, which takes a millisecond; a hook that has a tenth of
a second defines sixty classes. To a type checker this is `dataclasses` itself. At run time it knows the part of it
that gitreg uses, and `dataclasses.fields`, `replace` and `asdict` take its instances.
"""

from __future__ import annotations

from operator import attrgetter, ge, gt, le, lt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from dataclasses import dataclass, field, replace
    from typing import NoReturn

__all__ = ["dataclass", "field", "replace"]

_MISSING: Any = object()
# To generate an __init__ takes as long as to fill forty instances by hand; of most classes a command makes fewer.
_FEW = 30


class _Default:
    """What a field has where nothing is given: a value, or what a factory makes."""

    __slots__ = ("compare", "factory", "value")

    def __init__(self, value: object, factory: Callable[[], object] | None = None, *, compare: bool = True) -> None:
        self.value = value
        self.factory = factory
        self.compare = compare


class _StandardFields:
    """Describe the fields as `dataclasses` does, when it asks."""

    def __get__(self, instance: object, owner: Any) -> Mapping[str, Any]:  # noqa: ANN401 - a class made below
        import dataclasses

        def described(name: str) -> Any:  # noqa: ANN401 - dataclasses.field says so
            default = owner.__gitreg_defaults__.get(name)
            if default is None:
                return dataclasses.field()
            if default.factory is not None:
                return dataclasses.field(default_factory=default.factory, compare=default.compare)
            return dataclasses.field(default=default.value, compare=default.compare)

        rows = [(name, owner.__annotations__[name], described(name)) for name in owner.__slots__]
        standard: Any = dataclasses.make_dataclass(owner.__name__, rows, kw_only=True)
        owner.__dataclass_fields__ = standard.__dataclass_fields__
        found: Mapping[str, Any] = owner.__dataclass_fields__
        return found


def _field(
    *, default: object = _MISSING, default_factory: Callable[[], object] | None = None, compare: bool = True
) -> _Default:
    """Describe a field that has a default; see `dataclasses.field`."""
    return _Default(default, default_factory, compare=compare)


def _replace(value: Any, /, **changes: object) -> Any:  # noqa: ANN401 - any of the classes made here
    """Copy a value with some fields changed; see `dataclasses.replace`."""
    return type(value)(**{name: getattr(value, name) for name in value.__slots__} | changes)


def _dataclass(
    *, frozen: bool = False, slots: bool = False, kw_only: bool = False, order: bool = False
) -> Callable[[type[Any]], type[Any]]:
    """Make a class a dataclass; see `dataclasses.dataclass`. Frozen and slotted it must be, and say so."""
    if not (frozen and slots):
        raise TypeError("gitreg's dataclasses are frozen and slotted")
    return lambda cls: _made(cls, kw_only=kw_only, order=order)


def _made(cls: type[Any], *, kw_only: bool, order: bool) -> type[Any]:
    """Make the class again, with slots, the methods, and no value in the place of a field."""
    names = tuple(name for name, kind in cls.__annotations__.items() if not kind.startswith("ClassVar"))
    body = {key: value for key, value in cls.__dict__.items() if key not in {"__dict__", "__weakref__"}}
    given = {name: body.pop(name) for name in names if name in body}
    defaults = {name: each if isinstance(each, _Default) else _Default(each) for name, each in given.items()}
    compared = [name for name in names if name not in defaults or defaults[name].compare]
    if body.get("__hash__") is None:  # Python's own doing, where a class defines __eq__
        body.pop("__hash__", None)
    special = {
        "__slots__": names,
        "__match_args__": () if kw_only else names,
        "__dataclass_fields__": _StandardFields(),
        "__gitreg_defaults__": defaults,
        "__qualname__": cls.__qualname__,
    }
    kind: Any = type(cls)
    made = kind(cls.__name__, cls.__bases__, _comparisons(compared, order=order) | _METHODS | body | special)
    made.__init__ = _init_later(made, names, kw_only=kw_only)
    return made  # type: ignore[no-any-return] # it is a class


def _init_later(made: Any, names: Sequence[str], *, kw_only: bool) -> Callable[..., None]:  # noqa: ANN401 - a class
    """Give an __init__ that serves a few instances; then it generates the real one, which takes its place."""
    left = _FEW

    def __init__(self: object, *args: object, **kwargs: object) -> None:  # noqa: N807 - it becomes the method
        nonlocal left
        left -= 1
        values = (
            _values(made.__gitreg_defaults__, names, args, kwargs) if left >= 0 and not (args and kw_only) else None
        )
        if values is None:
            made.__init__ = _generated(made, names, kw_only=kw_only)
            made.__init__(self, *args, **kwargs)
            return
        for name, value in zip(names, values, strict=True):
            object.__setattr__(self, name, value)
        if hasattr(made, "__post_init__"):
            made.__post_init__(self)

    return __init__


def _values(
    defaults: Mapping[str, _Default], names: Sequence[str], args: Sequence[object], kwargs: Mapping[str, object]
) -> list[object] | None:
    """Put what is given in the order of the fields; None where it does not fit, which the generated method words."""
    left = dict(kwargs)
    found = list(args)
    for name in names[len(args) :]:
        default = defaults.get(name)
        if name in left:
            found.append(left.pop(name))
        elif default is None:
            return None
        else:
            found.append(default.value if default.factory is None else default.factory())
    return None if left or len(found) != len(names) else found


def _generated(made: Any, names: Sequence[str], *, kw_only: bool) -> Callable[..., None]:  # noqa: ANN401 - a class
    known: dict[str, Any] = {"_set": object.__setattr__, "_missing": _MISSING}
    parameters, lines = ["self", *(["*"] if kw_only else [])], []
    for name in names:
        value, default = name, made.__gitreg_defaults__.get(name)
        if default is None:
            parameters.append(name)
        elif default.factory is None:
            known[f"_default_{name}"] = default.value
            parameters.append(f"{name}=_default_{name}")
        else:
            known[f"_factory_{name}"] = default.factory
            parameters.append(f"{name}=_missing")
            value = f"_factory_{name}() if {name} is _missing else {name}"
        lines.append(f"    _set(self, {name!r}, {value})\n")
    if hasattr(made, "__post_init__"):
        lines.append("    self.__post_init__()\n")
    text = f"def __init__({', '.join(parameters)}):\n{''.join(lines)}    return None\n"
    exec(text, known)  # noqa: S102 - as `dataclasses` does, and from names that Python took for identifiers
    found: Callable[..., None] = known["__init__"]
    return found


def _comparisons(names: Sequence[str], *, order: bool) -> dict[str, Any]:
    key: Callable[[object], Any] = attrgetter(*names) if names else lambda _: ()

    def compared(compare: Callable[[Any, Any], bool]) -> Callable[[object, object], bool]:
        def method(self: object, other: object) -> bool:
            return compare(key(self), key(other)) if other.__class__ is self.__class__ else NotImplemented

        return method

    found: dict[str, Any] = {"__eq__": compared(lambda one, other: bool(one == other))}
    found["__hash__"] = lambda self: hash(key(self))
    return found | ({f"__{each.__name__}__": compared(each) for each in (lt, le, gt, ge)} if order else {})


def _repr(self: Any) -> str:  # noqa: ANN401 - any of the classes made here
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
    return f"{type(self).__qualname__}({shown})"


def _refuse_to_set(_self: object, name: str, _value: object) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: object, name: str) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _getstate(self: Any) -> list[object]:  # noqa: ANN401 - any of the classes made here
    return [getattr(self, name) for name in self.__slots__]


def _setstate(self: Any, state: Sequence[object]) -> None:  # noqa: ANN401 - any of the classes made here
    for name, value in zip(self.__slots__, state, strict=True):
        object.__setattr__(self, name, value)


_METHODS: dict[str, Any] = {
    "__repr__": _repr,
    "__setattr__": _refuse_to_set,
    "__delattr__": _refuse_to_delete,
    "__getstate__": _getstate,
    "__setstate__": _setstate,
}

if not TYPE_CHECKING:
    dataclass, field, replace = _dataclass, _field, _replace
