"""What may be called how, which version comes first, what a selector means."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.errors import InvalidError
from gitreg.names import (
    AliasName,
    EnvironmentName,
    ModelName,
    Selector,
    UserName,
    Version,
    VersionRange,
    did_you_mean,
)

NAME = r"[a-z0-9][a-z0-9_-]{0,62}"
NUMBERS = st.integers(0, 30)
IDENTIFIERS = st.one_of(
    NUMBERS.map(str),
    st.from_regex(r"[a-z-][0-9a-z-]{0,3}", fullmatch=True),
    st.from_regex(r"[0-9]{1,2}[a-z-]", fullmatch=True),
)
CORES = st.tuples(NUMBERS, NUMBERS, NUMBERS)
PRERELEASES = st.lists(IDENTIFIERS, max_size=3).map(tuple)


def _text(core: tuple[int, int, int], pre: tuple[str, ...]) -> str:
    return ".".join(map(str, core)) + ("-" + ".".join(pre) if pre else "")


VERSIONS = st.builds(_text, CORES, PRERELEASES)


# Names


@given(st.from_regex(NAME, fullmatch=True))
def test_names_of_the_grammar_are_accepted_as_they_are(text: str) -> None:
    assert EnvironmentName(text) == text
    assert UserName(text) == text
    assert str(ModelName.parse(f"{text}/{text}")) == f"{text}/{text}"
    if text != "latest":
        assert AliasName(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "Prod",
        "-a",
        "_a",
        ".a",
        "a.b",
        "a b",
        "a\n",
        "a\x00",
        "é",
        "a/b",
        "a" * 64,
        "\uff41",
        "a\u200b",
        "\u0661",
    ],
)
def test_other_names_are_refused_with_what_is_allowed(text: str) -> None:
    for kind in (EnvironmentName, AliasName):
        with pytest.raises(InvalidError, match="allowed: a lower-case letter or digit, then up to 62 of"):
            kind(text)
    with pytest.raises(InvalidError):
        ModelName(text, "a")


def test_latest_is_no_alias() -> None:
    assert EnvironmentName("latest") == "latest"
    with pytest.raises(InvalidError, match="`latest` is reserved"):
        AliasName("latest")


@pytest.mark.parametrize("text", ["a/b", "a/b.c", "a/1.5b.x-y_z", "0/0", "a/" + "b" * 63, "a/lock", "a/b.lock.c"])
def test_models_are_a_project_and_a_name_that_may_hold_dots(text: str) -> None:
    name = ModelName.parse(text)
    assert str(name) == text
    assert f"{name.project}/{name.name}" == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "/",
        "a/",
        "/b",
        "a/b/c",
        "a//b",
        "A/b",
        "a/B",
        "a/.b",
        "a/b.",
        "a/b..c",
        "a/b.lock",
        "a.x/b",
        "a/-b",
        "../b",
        "a/..",
        "a/b\n",
        "a/" + "b" * 64,
    ],
)
def test_other_models_are_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        ModelName.parse(text)


@pytest.mark.parametrize("text", ["alice", "a.b@example.org", "ci-bot+1", "0", "a" * 127])
def test_users_may_be_named_as_their_server_names_them(text: str) -> None:
    assert UserName(text) == text


@pytest.mark.parametrize("text", ["", "Alice", ".a", "a..b", "a.lock", "a b", "a/b", "a:b", "a\n", "a" * 128, "@a"])
def test_other_users_are_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="is not a user name"):
        UserName(text)


def test_a_long_rejected_name_is_shown_cut() -> None:
    with pytest.raises(InvalidError) as refused:
        EnvironmentName("x" * 10_000)
    assert len(str(refused.value)) < 250


def test_the_nearest_word_is_found_and_none_where_none_is_near() -> None:
    assert did_you_mean("prd", ["staging", "prod"]) == "prod"
    assert did_you_mean("zzz", ["staging", "prod"]) is None
    assert did_you_mean("prod", []) is None


# Versions


@given(VERSIONS)
def test_versions_are_kept_as_they_are_written(text: str) -> None:
    assert str(Version(text)) == text
    assert Version(text) == Version(text)
    assert hash(Version(text)) == hash(Version(text))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "write MAJOR.MINOR.PATCH"),
        ("1", "write MAJOR.MINOR.PATCH"),
        ("1.0", "write MAJOR.MINOR.PATCH"),
        ("1.0.0.0", "write MAJOR.MINOR.PATCH"),
        ("01.0.0", "write MAJOR.MINOR.PATCH"),
        ("1.0.0-", "write MAJOR.MINOR.PATCH"),
        ("1.0.0-01", "write MAJOR.MINOR.PATCH"),
        ("1.0.0-a..b", "write MAJOR.MINOR.PATCH"),
        ("1.0.0\n", "write MAJOR.MINOR.PATCH"),
        ("1.0.\u0663", "write MAJOR.MINOR.PATCH"),
        ("1.0.0-RC.1", "versions are lower case: 1.0.0-rc.1"),
        ("v1.0.0", "leave out the v: 1.0.0"),
        ("1.0.0+cuda", "build metadata"),
        ("1.0." + "9" * 125, "write MAJOR.MINOR.PATCH"),
    ],
)
def test_other_versions_are_refused_with_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(InvalidError) as refused:
        Version(text)
    assert hint in str(refused.value.hint)


def _precedence(core: tuple[int, int, int], pre: tuple[str, ...]) -> tuple[object, ...]:
    """Give a key by SemVer 2.0.0, section 11, independent of the package that gitreg uses."""
    identifiers = tuple((0, int(each), "") if each.isdigit() else (1, 0, each) for each in pre)
    return core, not pre, identifiers


@given(CORES, PRERELEASES, CORES, PRERELEASES)
def test_versions_are_ordered_by_semver(
    core: tuple[int, int, int], pre: tuple[str, ...], other_core: tuple[int, int, int], other_pre: tuple[str, ...]
) -> None:
    one, other = Version(_text(core, pre)), Version(_text(other_core, other_pre))
    key, other_key = _precedence(core, pre), _precedence(other_core, other_pre)
    assert (one < other) == (key < other_key)
    assert (one > other) == (key > other_key)
    assert (one <= other) == (key <= other_key)
    assert (one >= other) == (key >= other_key)
    assert (one == other) == (key == other_key)


def test_the_order_of_semvers_own_example() -> None:
    names = ["alpha", "alpha.1", "alpha.beta", "beta", "beta.2", "beta.11", "rc.1"]
    versions = [*(Version(f"1.0.0-{name}") for name in names), Version("1.0.0")]
    assert all(one < other for one, other in pairwise(versions))


@pytest.mark.parametrize(
    ("text", "part", "bumped"),
    [
        ("1.2.3", "major", "2.0.0"),
        ("1.2.3", "minor", "1.3.0"),
        ("1.2.3", "patch", "1.2.4"),
        ("2.0.0-rc.1", "patch", "2.0.0"),
        ("2.0.0-rc.1", "major", "2.0.0"),
        ("2.1.0-rc.1", "minor", "2.1.0"),
        ("2.1.1-rc.1", "minor", "2.2.0"),
    ],
)
def test_a_version_is_raised(text: str, part: str, bumped: str) -> None:
    assert str(Version(text).bump(part)) == bumped


def test_only_three_parts_can_be_raised() -> None:
    with pytest.raises(InvalidError, match="allowed: major, minor, patch"):
        Version("1.0.0").bump("prerelease")


@given(VERSIONS, st.sampled_from(["major", "minor", "patch"]))
def test_a_raised_version_is_higher_and_a_release(text: str, part: str) -> None:
    assert Version(text).bump(part) > Version(text)
    assert not Version(text).bump(part).is_prerelease


# Ranges: each line is a range, what npm's semver.satisfies() says is in it, and what is not.
NPM = [
    ("^1.2.3", "1.2.3 1.2.4 1.9.9", "1.2.2 2.0.0 2.0.0-rc.1 1.3.0-rc.1 1.2.3-rc.1"),
    ("^1.4", "1.4.0 1.9.0", "1.3.9 2.0.0 1.4.0-rc.1"),
    ("^1", "1.0.0 1.99.0", "0.9.9 2.0.0"),
    ("^1.x", "1.0.0 1.99.0", "0.9.9 2.0.0"),
    ("^0.2.3", "0.2.3 0.2.9", "0.3.0 0.2.2"),
    ("^0.0.3", "0.0.3", "0.0.4 0.0.2"),
    ("^0.0", "0.0.0 0.0.9", "0.1.0"),
    ("^0.x", "0.0.0 0.9.9", "1.0.0"),
    ("^0", "0.0.0 0.9.9", "1.0.0"),
    ("^1.2.3-beta.2", "1.2.3-beta.2 1.2.3-beta.4 1.2.3 1.9.0", "1.2.3-beta.1 1.2.4-beta.2 2.0.0-0"),
    ("^0.0.3-beta", "0.0.3-beta 0.0.3-pr.2 0.0.3", "0.0.4 0.0.3-alpha"),
    ("~1.2.3", "1.2.3 1.2.9", "1.3.0 1.2.2 1.2.4-rc.1"),
    ("~1.2", "1.2.0 1.2.9", "1.3.0 1.1.9"),
    ("~1", "1.0.0 1.9.9", "2.0.0"),
    ("~0.2.3", "0.2.3 0.2.9", "0.3.0"),
    ("~1.2.3-beta.2", "1.2.3-beta.4 1.2.9", "1.2.4-beta.2 1.3.0"),
    ("1.2.3", "1.2.3", "1.2.4 1.2.3-rc.1"),
    ("=1.2.3", "1.2.3", "1.2.4"),
    ("==1.2.3", "1.2.3", "1.2.4"),
    ("1.2.3-rc.1", "1.2.3-rc.1", "1.2.3 1.2.3-rc.2"),
    ("1.2", "1.2.0 1.2.9", "1.3.0 1.1.9 1.2.0-rc.1"),
    ("=1.2", "1.2.0 1.2.9", "1.3.0"),
    ("1.2.x", "1.2.0 1.2.9", "1.3.0"),
    ("1.x", "1.0.0 1.9.9", "2.0.0 2.0.0-rc.1 0.9.9"),
    ("1.X.3", "1.0.0 1.9.9", "2.0.0"),
    ("1.*", "1.0.0 1.9.9", "2.0.0"),
    ("*", "0.0.0 1.2.3", "1.2.3-rc.1"),
    ("x", "0.0.0 1.2.3", "1.2.3-rc.1"),
    (">=1.2", "1.2.0 2.0.0", "1.1.9 1.2.0-rc.1"),
    (">1.2", "1.3.0 2.0.0", "1.2.9 1.3.0-rc.1"),
    (">1", "2.0.0", "1.9.9 2.0.0-rc.1"),
    (">1.2.3", "1.2.4", "1.2.3"),
    ("<1.2", "1.1.9 0.0.1", "1.2.0 1.2.0-rc.1"),
    ("<1.2.3", "1.2.2", "1.2.3 1.2.3-rc.1"),
    ("<=1.2", "1.2.9 0.1.0", "1.3.0 1.3.0-rc.1"),
    ("<=1.2.3", "1.2.3", "1.2.4"),
    (">1.2.3-alpha.3", "1.2.3-alpha.7 1.2.3 3.4.5", "3.4.5-alpha.9 1.2.3-alpha.3"),
    (">=1.2.0-alpha <1.2", "", "1.2.0-alpha 1.2.0"),
    (">=1.2,<2", "1.2.0 1.9.9", "2.0.0 1.1.9"),
    (">=1.2 <2", "1.2.0 1.9.9", "2.0.0"),
    (">=1.2<2", "1.2.0 1.9.9", "2.0.0"),
    (">= 1.2 , < 2", "1.2.0 1.9.9", "2.0.0"),
    ("^1.2 ~1.4", "1.4.0 1.4.9", "1.2.0 1.5.0"),
    (">*", "", "0.0.0 1.0.0 0.0.0-0"),
    ("<*", "", "0.0.0 1.0.0"),
    (">=*", "0.0.0 1.0.0", "1.0.0-rc.1"),
    ("<=*", "0.0.0 1.0.0", "1.0.0-rc.1"),
]


@pytest.mark.parametrize(("text", "inside", "outside"), NPM)
def test_ranges_mean_what_they_mean_to_npm(text: str, inside: str, outside: str) -> None:
    wanted = VersionRange.parse(text)
    assert [each for each in inside.split() if Version(each) not in wanted] == []
    assert [each for each in outside.split() if Version(each) in wanted] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "^",
        ">=",
        "a",
        "1.2.3.4",
        "1x2",
        "01.2",
        "1.2.3v4",
        "1.2-alpha",
        "1.x.3-rc",
        "x.x.x-rc",
        "1.2.3 - 2.0.0",
        "1 || 2",
        "1.2.3-",
        "1.2.3-a..b",
        ",1.2",
        "1.2,",
        "^ ^1",
        "1.2.3-RC",
        "1" * 200,
        "\u0661.2",
    ],
)
def test_other_ranges_are_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        VersionRange.parse(text)


@given(VERSIONS, VERSIONS, st.sampled_from(["", "^", "~", "=", ">=", "<="]))
def test_a_version_is_in_every_range_that_it_bounds_itself(text: str, other: str, operator: str) -> None:
    wanted = VersionRange.parse(f"{operator}{text}")
    assert Version(text) in wanted
    if operator in {"^", "~"} and Version(other) in wanted:
        assert Version(other) >= Version(text)
        assert other.partition(".")[0] == text.partition(".")[0]


@given(st.text(max_size=20))
def test_any_text_is_a_range_or_an_invalid_one(text: str) -> None:
    try:
        wanted = VersionRange.parse(text)
    except InvalidError:
        return
    assert (Version("1.0.0") in wanted) in {True, False}


# Selectors


@pytest.mark.parametrize(
    ("text", "model", "what"),
    [
        ("a/b", "a/b", None),
        ("a/b@1.4.0", "a/b", "1.4.0"),
        ("a/b@latest", "a/b", "latest"),
        ("a/b@^1.4", "a/b", "^1.4"),
        ("models:/a/b@prod", "a/b", "prod"),
        ("models:/a/b/1.4.0", "a/b", "1.4.0"),
        ("models:/a/b", "a/b", None),
        ("models:a/b@prod", "a/b", "prod"),
    ],
)
def test_selectors_name_a_model_and_what_of_it(text: str, model: str, what: str | None) -> None:
    selector = Selector.parse(text)
    assert (str(selector.model), selector.what) == (model, what)
    assert Selector.parse(str(selector)) == selector


@pytest.mark.parametrize("text", ["", "a", "a/b@", "@1.0.0", "a/b/c@1", "A/b@1.0.0", "models:/a", "models:/a/b/c/d"])
def test_other_selectors_are_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        Selector.parse(text)


def test_a_selector_tells_versions_from_ranges_from_names() -> None:
    def kinds(what: str) -> tuple[bool, bool]:
        selector = Selector.parse(f"a/b@{what}")
        return selector.version is not None, selector.version_range is not None

    assert kinds("1.4.0") == kinds("1.4.0-rc.1") == (True, False)
    assert (
        kinds("^1") == kinds("1.4") == kinds("1.x") == kinds("*") == kinds("2026") == kinds(">=1,<2") == (False, True)
    )
    assert kinds("prod") == kinds("champion") == kinds("x") == kinds("1a") == (False, False)
