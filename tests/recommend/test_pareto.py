from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.errors import InvalidError
from gitreg.recommend.pareto import Aim, aims, check, standings

F1_AND_SIZE = aims(["f1"], ["size"])


def test_who_is_beaten_on_every_measure_is_told_by_whom() -> None:
    found = standings(
        {"big": {"f1": 0.9, "size": 100}, "small": {"f1": 0.8, "size": 10}, "bad": {"f1": 0.7, "size": 50}}, F1_AND_SIZE
    )
    assert [key for key, standing in found.items() if standing.on_front] == ["big", "small"]
    assert found["bad"].beaten_by == ("small",)
    assert (found["big"].best_at, found["small"].best_at, found["bad"].best_at) == (("f1",), ("size",), ())


def test_equals_do_not_beat_each_other_and_as_good_but_smaller_beats() -> None:
    found = standings(
        {"a": {"f1": 0.9, "size": 5}, "b": {"f1": 0.9, "size": 5}, "c": {"f1": 0.9, "size": 6}}, F1_AND_SIZE
    )
    assert found["a"].on_front
    assert found["b"].on_front
    assert found["c"].beaten_by == ("a", "b")
    assert found["c"].best_at == ("f1",)


def test_who_lacks_a_measure_is_not_compared_and_beats_nobody() -> None:
    found = standings({"a": {"f1": 0.5, "size": 9}, "b": {"size": 1}, "c": {}}, F1_AND_SIZE)
    assert found["a"].on_front
    assert not found["b"].on_front
    assert found["b"].missing == ("f1",)
    assert found["c"].missing == ("f1", "size")
    assert found["b"].beaten_by == ()


def test_all_may_lack_a_measure() -> None:
    assert not standings({"a": {}}, F1_AND_SIZE)["a"].on_front


def test_a_measure_is_aimed_at_once() -> None:
    with pytest.raises(InvalidError, match="size is aimed at twice"):
        aims(["f1", "size"], ["size"])
    with pytest.raises(InvalidError, match="found 9 measures, allowed: 8"):
        aims([str(number) for number in range(9)], [])
    assert [str(aim) for aim in F1_AND_SIZE] == ["maximize f1", "minimize size"]


def test_a_measure_that_nobody_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidError, match=r"no candidate has the measure 'metrics\.f2'; did you mean metrics\.f1\?"):
        check(aims(["metrics.f2"], []), {"metrics.f1", "size"})
    with pytest.raises(InvalidError, match="known: metrics"):
        check(aims(["zzz"], []), {"metrics.f1", "size"})


_VALUES = st.integers(min_value=0, max_value=4).map(float)
_MEASURES = st.fixed_dictionaries({}, optional={"x": _VALUES, "y": _VALUES, "z": _VALUES})


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=3), _MEASURES, max_size=12))
def test_the_front_is_what_its_definition_says(candidates: dict[str, dict[str, float]]) -> None:
    wanted = (Aim("x", more=True), Aim("y", more=False), Aim("z", more=True))
    found = standings(candidates, wanted)
    whole = {key: own for key, own in candidates.items() if own.keys() == {"x", "y", "z"}}
    for key, own in candidates.items():
        beaten = {
            other
            for other, theirs in whole.items()
            if key in whole
            and (theirs["x"] >= own["x"] and theirs["y"] <= own["y"] and theirs["z"] >= own["z"])
            and theirs != own
        }
        assert set(found[key].beaten_by) == beaten
        assert found[key].on_front == (key in whole and not beaten)
    assert not whole or any(found[key].on_front for key in whole)
