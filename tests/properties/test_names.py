"""The grammar of names, beside a reading of it letter by letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.errors import InvalidError
from gitreg.names import AliasName, EnvironmentName, ModelName, UserName, Version

if TYPE_CHECKING:
    from collections.abc import Callable

LETTERS = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
TEXTS = st.one_of(
    st.text("aZz09._-+@/ \n\0é\u0661\u017f\u212a", max_size=12),
    st.text("abz09._@+-", max_size=8),
    st.tuples(st.text("ab0", max_size=2), st.integers(55, 130)).map(lambda each: each[0] + "x" * each[1]),
    st.text("ab.", min_size=1, max_size=6).map(lambda text: text + ".lock"),
    st.sampled_from(["latest", "prod", "a.lock", "a.lock.b", "a..b", ".a", "a.", "alice@example.org", "x\n", "ci-bot"]),
)
VERSIONS = st.one_of(
    st.text("019.-+abA", max_size=12),
    st.lists(st.sampled_from(["0", "1", "01", "10", "999", "", "-1", "a", "٣"]), min_size=2, max_size=4).map(".".join),
    st.tuples(
        st.sampled_from(["1.0.0", "0.0.0", "1.2"]),
        st.lists(st.sampled_from(["0", "1", "01", "a", "-", "rc", "0a", "A", "", "é"]), min_size=1, max_size=4).map(
            ".".join
        ),
    ).map("-".join),
    st.integers(120, 130).map(lambda length: "1.0.0-".ljust(length, "a")),
)


def accepts(kind: Callable[[str], object], text: str) -> bool:
    try:
        made = kind(text)
    except InvalidError:
        return False
    assert str(made) == text
    return True


def is_word(text: str) -> bool:
    return (
        1 <= len(text) <= 63 and text[0] in LETTERS + DIGITS and all(each in LETTERS + DIGITS + "_-" for each in text)
    )


def is_user(text: str) -> bool:
    return (
        1 <= len(text) <= 127
        and text[0] in LETTERS + DIGITS
        and all(each in LETTERS + DIGITS + "._@+-" for each in text)
        and ".." not in text
        and not text.endswith(".lock")
    )


def is_model(text: str) -> bool:
    halves = text.split("/")
    if len(halves) != 2 or not is_word(halves[0]):
        return False
    name = halves[1]
    return (
        1 <= len(name) <= 63
        and name[0] in LETTERS + DIGITS
        and all(part and all(each in LETTERS + DIGITS + "_-" for each in part) for part in name.split("."))
        and not name.endswith(".lock")
    )


def is_number(text: str) -> bool:
    return text != "" and all(each in DIGITS for each in text) and (text == "0" or text[0] != "0")


def is_version(text: str) -> bool:
    core, dash, rest = text.partition("-")
    numbers = core.split(".")
    return (
        len(text) <= 128
        and len(numbers) == 3
        and all(map(is_number, numbers))
        and (
            dash == ""
            or all(
                part != ""
                and all(each in LETTERS + DIGITS + "-" for each in part)
                and (is_number(part) or any(each not in DIGITS for each in part))
                for part in rest.split(".")
            )
        )
    )


@given(TEXTS)
def test_environments_and_aliases_are_words_and_latest_is_no_alias(text: str) -> None:
    assert accepts(EnvironmentName, text) == is_word(text)
    assert accepts(AliasName, text) == (is_word(text) and text != "latest")


@given(TEXTS)
def test_users_are_what_their_servers_name_them(text: str) -> None:
    assert accepts(UserName, text) == is_user(text)


@given(st.tuples(TEXTS, TEXTS).map("/".join) | TEXTS)
def test_models_are_two_words_and_the_second_may_hold_single_dots(text: str) -> None:
    assert accepts(ModelName.parse, text) == is_model(text)


@given(VERSIONS)
def test_versions_are_semver_without_build_metadata(text: str) -> None:
    assert accepts(Version, text) == is_version(text)


@pytest.mark.parametrize(("kind", "text"), [(EnvironmentName, "prod"), (UserName, "a@b.c"), (Version, "1.0.0-rc.1")])
def test_a_name_is_matched_whole(kind: Callable[[str], object], text: str) -> None:
    assert accepts(kind, text)
    assert not any(accepts(kind, wrong) for wrong in (f"{text}\n", f" {text}", f"{text}\0", f"{text}/", ""))
