from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import ClassVar

import pytest

from gitreg.records import dataclass, field, replace


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """A value with everything that gitreg's values have."""

    x: int
    y: str = "q"
    seen: list[int] = field(default_factory=list, compare=False)
    origin: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.x < self.origin:
            raise ValueError(self.x)

    @property
    def double(self) -> int:
        return 2 * self.x


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    name: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Equal:
    text: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal) and other.text.lower() == self.text.lower()

    def __hash__(self) -> int:
        return hash(self.text.lower())


def test_a_record_behaves_as_a_dataclass_does() -> None:
    point = Point(1)
    assert repr(point) == "Point(x=1, y='q', seen=[])"
    assert point == Point(1, seen=[3])
    assert hash(point) == hash(Point(1))
    assert point != object()
    assert Point(1) < Point(1, "r") < Point(2) <= Point(2)
    assert Point(1).seen is not Point(1).seen
    assert point.double == 2
    assert Equal("A") == Equal("a")
    assert not hasattr(point, "__dict__")


def test_a_record_checks_what_it_is_given() -> None:
    with pytest.raises(ValueError, match="-1"):
        Point(-1)
    with pytest.raises(TypeError, match="missing 1 required"):
        Point()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        Named("a")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword"):
        Named(name="a", more=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["x", "nothing"])
def test_a_record_cannot_be_changed(name: str) -> None:
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(point, name, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(point, name)


def test_the_standard_library_takes_a_record_for_a_dataclass() -> None:
    point = Point(1, "r", [2])
    assert dataclasses.is_dataclass(point)
    assert [each.name for each in dataclasses.fields(point)] == ["x", "y", "seen"]
    assert dataclasses.asdict(point) == {"x": 1, "y": "r", "seen": [2]}
    assert dataclasses.replace(point, x=3) == replace(point, x=3) == Point(3, "r")


def test_a_record_can_be_copied_pickled_and_matched() -> None:
    point = Point(1, "r", [2])
    assert copy.deepcopy(point) == copy.copy(point) == pickle.loads(pickle.dumps(point)) == point
    match point:
        case Point(x, y):
            assert (x, y) == (1, "r")


def test_a_record_is_frozen_and_slotted() -> None:
    with pytest.raises(TypeError, match="frozen and slotted"):
        dataclass(frozen=True)(Point)


def test_the_first_instances_and_the_later_ones_are_made_alike() -> None:
    @dataclass(frozen=True, slots=True)
    class Fresh:
        a: int
        b: str = "b"
        c: list[int] = field(default_factory=list)

        def __post_init__(self) -> None:
            if self.a < 0:
                raise ValueError(self.a)

    by_hand = Fresh.__init__
    for _ in range(100):
        assert (Fresh(1).a, Fresh(1).b, Fresh(1).c) == (1, "b", [])
        assert Fresh(1, "x", [2]) == Fresh(a=1, c=[2], b="x") == Fresh(1, c=[2], b="x")
        assert Fresh(1).c is not Fresh(1).c
        with pytest.raises(ValueError, match="-1"):
            Fresh(-1)
    assert Fresh.__init__ is not by_hand


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "missing 1 required"),
        ((), {"b": "x"}, "missing 1 required"),
        ((1, "b", 3), {}, "takes from 2 to 3 positional arguments but 4 were given"),
        ((1,), {"a": 1}, "multiple values for argument 'a'"),
        ((1,), {"c": 1}, "unexpected keyword argument 'c'"),
    ],
)
def test_wrong_arguments_are_refused_from_the_first_instance_on(
    args: tuple[object, ...], kwargs: dict[str, object], message: str
) -> None:
    @dataclass(frozen=True, slots=True)
    class Fresh:
        a: int
        b: str = "b"

    for _ in range(2):
        with pytest.raises(TypeError, match=message):
            Fresh(*args, **kwargs)  # type: ignore[arg-type]
    assert Fresh(1).a == 1
