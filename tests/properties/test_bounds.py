"""What refuses a hostile push stays small and quick: nobody reads ten thousand complaints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.access import Access
from gitreg.errors import InvalidError
from gitreg.keys import AllowedSigners
from gitreg.manifest import Manifest
from gitreg.names import UserName
from tests.gate.support import Judge

if TYPE_CHECKING:
    from collections.abc import Callable

ACCESS: dict[str, Any] = {
    "api_version": "gitreg/v1",
    "kind": "Access",
    "groups": {f"team-{number}": [] for number in range(300)},
    "grants": [
        {"to": [f"group:teem-{number}x{each}" for each in range(30)], "actions": ["deploy"], "models": ["*/*"]}
        for number in range(300)
    ],
}
MANIFEST: dict[str, Any] = {
    "api_version": "gitreg/v1",
    "kind": "ModelVersion",
    "model": "risk/fraud",
    "version": "1.0.0",
    "created": "2026-01-01T00:00:00Z",
    "author": {"name": "Alice", "email": "alice@example.org"},
    "artifacts": [{"path": "model", "digest": f"sha256:{'0' * 64}", "size": 1}] * 5000,
}


@pytest.mark.parametrize(
    ("parse", "data"),
    [
        pytest.param(Access.parse, json.dumps(ACCESS).encode(), id="a group that is not there, 9,000 times"),
        pytest.param(Manifest.parse, json.dumps(MANIFEST).encode(), id="one path, 5,000 times"),
        pytest.param(Manifest.parse, json.dumps({f"x{n}": n for n in range(20_000)}).encode(), id="unknown fields"),
        pytest.param(AllowedSigners.parse, b"a\n" * (1 << 19), id="half a million lines that are no key"),
    ],
)
def test_a_file_in_which_everything_is_wrong_is_refused_with_at_most_the_first_hundred_problems(
    parse: Callable[[bytes], object], data: bytes
) -> None:
    with pytest.raises(InvalidError) as refused:
        parse(data)

    assert 1 <= len(refused.value.problems) <= 101
    assert len(str(refused.value)) < 50_000


def test_a_push_of_much_that_is_denied_asks_who_may_for_the_first_few_things_alone() -> None:
    edits = {f"models/risk/model-{number}/README.md": b"# Card\n" for number in range(100)}
    denied = [each for each in Judge(UserName("bob")).violations({}, edits) if each.code == "access-denied"]

    assert len(denied) == 100
    assert sum((each.remedy or "").startswith("may: alice, root") for each in denied) == 20
    assert sum("gitreg access explain" in (each.remedy or "") for each in denied) == 80
