from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.deployment import Approval, Deployment, State, Status, Verdict
from gitreg.digest import Digest
from gitreg.errors import InvalidError
from gitreg.names import EnvironmentName, ModelName, UserName, Version
from gitreg.schema import Kind, is_valid
from gitreg.wire import load_plain

if TYPE_CHECKING:
    from collections.abc import Callable

PROD = EnvironmentName("prod")
MODEL = ModelName("risk", "fraud-detector")
POINTER = Deployment(environment=PROD, model=MODEL, version=Version("1.4.0"))

environments = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True).map(EnvironmentName)
models = st.builds(ModelName, environments.map(str), environments.map(str))
versions = st.from_regex(r"[1-9]\.[0-9]\.[0-9](-rc\.[0-9])?", fullmatch=True).map(Version)
users = st.from_regex(r"[a-z0-9][a-z0-9@+-]{0,8}", fullmatch=True).map(UserName)
notes = st.none() | st.text(
    st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"), max_size=9
)
moments = st.datetimes().map(lambda moment: moment.isoformat() + "Z")


@st.composite
def pointers(draw: st.DrawFn) -> Deployment:
    version, canary = draw(st.lists(versions, min_size=2, max_size=2, unique=True))
    percent = draw(st.none() | st.integers(1, 99))
    return Deployment(
        environment=draw(environments),
        model=draw(models),
        version=version,
        canary_version=canary if percent else None,
        canary_percent=percent,
    )


def problems_of(parse: Callable[[bytes, str], object], data: bytes) -> list[tuple[int | None, str | None, str]]:
    with pytest.raises(InvalidError) as caught:
        parse(data, "a.yaml")
    return [(problem.line, problem.field, problem.message) for problem in caught.value.problems]


@given(pointers())
def test_a_pointer_reads_back_as_it_was_written(pointer: Deployment) -> None:
    assert Deployment.parse(pointer.to_bytes()) == pointer
    assert Deployment.from_data(load_plain(pointer.to_bytes())) == pointer


@given(
    st.builds(
        Approval,
        model=models,
        version=versions,
        environment=environments,
        user=users,
        verdict=st.sampled_from(Verdict),
        manifest_digest=st.binary(max_size=3).map(Digest.of),
        comment=notes,
    )
)
def test_an_approval_reads_back_as_it_was_written(approval: Approval) -> None:
    assert Approval.parse(approval.to_bytes()) == approval
    assert Approval.from_data(load_plain(approval.to_bytes())) == approval


@given(
    st.builds(
        Status,
        environment=environments,
        model=models,
        version=versions,
        state=st.sampled_from(State),
        reported=moments,
        endpoint=st.none() | st.just("https://scoring.example.org/fraud"),
        detail=notes,
    )
)
def test_a_status_reads_back_as_it_was_written(status: Status) -> None:
    assert Status.parse(status.to_bytes()) == status
    assert Status.from_data(load_plain(status.to_bytes())) == status


def test_a_pointer_is_flat_and_written_in_the_designs_order() -> None:
    canary = Deployment(
        environment=PROD, model=MODEL, version=Version("1.4.0"), canary_version=Version("1.5.0"), canary_percent=10
    )
    assert canary.to_bytes().decode() == (
        "api_version: gitreg/v1\n"
        "kind: Deployment\n"
        "environment: prod\n"
        "model: risk/fraud-detector\n"
        "version: 1.4.0\n"
        "canary_version: 1.5.0\n"
        "canary_percent: 10\n"
    )


@pytest.mark.parametrize(
    "lines",
    [
        "canary_version: 1.5.0\n",
        "canary_percent: 10\n",
        "canary_version: 1.4.0\ncanary_percent: 10\n",
        "canary_version: 1.5.0\ncanary_percent: 0\n",
        "canary_version: 1.5.0\ncanary_percent: 100\n",
        "canary_version: 1.5.0\ncanary_percent: 9.5\n",
        "canary: {version: 1.5.0, percent: 10}\n",
    ],
)
def test_a_canary_is_another_version_with_a_real_share(lines: str) -> None:
    assert problems_of(Deployment.parse, POINTER.to_bytes() + lines.encode())


def test_the_canary_of_itself_is_shown_with_its_line_beside_other_problems() -> None:
    data = POINTER.to_bytes() + b"canary_version: 1.4.0\ncanary_percent: 0\n"
    assert [(line, field) for line, field, _ in problems_of(Deployment.parse, data)] == [
        (6, "canary_version"),
        (7, "canary_percent"),
    ]


def test_a_status_needs_a_real_time_and_shows_no_password() -> None:
    status = Status(
        environment=PROD,
        model=MODEL,
        version=Version("1.4.0"),
        state=State.LIVE,
        reported="2026-02-30T00:00:00Z",
        endpoint="https://user:hunter2@example.org/",
    )
    found = problems_of(Status.parse, status.to_bytes())
    assert [(line, field) for line, field, _ in found] == [(7, "reported"), (8, "endpoint")]
    assert "hunter2" not in str(found)


def test_an_approval_says_which_verdicts_there_are() -> None:
    data = b"api_version: gitreg/v1\nkind: Approval\nverdict: approved\n"
    found = problems_of(Approval.parse, data)
    assert [line for line, field, message in found if field == "verdict" and "approve" in message] == [3]


@given(st.text("ab1._-@+/\n", max_size=8), st.sampled_from(["environment", "model", "version", "user"]))
def test_schema_and_grammar_agree_on_names(text: str, field: str) -> None:
    approval = Approval(
        model=MODEL,
        version=Version("1.0.0"),
        environment=PROD,
        user=UserName("dana"),
        verdict=Verdict.APPROVE,
        manifest_digest=Digest.of(b""),
    )
    grammar: dict[str, Callable[[str], object]] = {
        "environment": EnvironmentName,
        "model": ModelName.parse,
        "version": Version,
        "user": UserName,
    }
    try:
        grammar[field](text)
    except InvalidError:
        valid = False
    else:
        valid = True
    assert is_valid(Kind.APPROVAL, {**approval.to_data(), field: text}) == valid
