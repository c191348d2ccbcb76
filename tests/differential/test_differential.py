from __future__ import annotations

from gitreg.gate import Code
from tests.differential.compare import PUSHES, run

# What no content of a commit can raise: refs, tags, limits of trees, and what the hook says about pusher and failure.
NOT_OF_CONTENT = frozenset(
    code
    for code in Code
    if code.startswith(("ref-", "main-", "proposal-", "tag-", "signature-", "actor-"))
    or code
    in {
        Code.COMMIT_MALFORMED,
        Code.INTERNAL,
        Code.OBJECT_UNREADABLE,
        Code.REFUSED_BY_GIT,
        Code.TOO_MANY_PATHS,
        Code.TREE_MALFORMED,
    }
)
WORLDS = 100


def test_the_gate_accepts_what_a_plain_reading_of_the_design_accepts() -> None:
    tally = run(range(WORLDS))

    assert tally.disagreements == []
    assert tally.pushes == WORLDS * PUSHES >= 2000
    # Were most pushes refused, or most accepted, agreement would say little; and every rule has to be met.
    assert 0.25 < tally.accepted / tally.pushes < 0.75
    assert set(tally.codes) >= {str(code) for code in Code if code not in NOT_OF_CONTENT}
