from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.digest import Digest
from gitreg.errors import InvalidError
from gitreg.lineage import MAX_DEPTH, Ancestor, Standing, lineage
from gitreg.manifest import Manifest, Parent, Person, Tombstone
from gitreg.names import ModelName, Version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MODEL = ModelName("risk", "fraud")


def version(number: int) -> Version:
    return Version(f"{number}.0.0")


class Family:
    """A registry of versions of one model, numbered, with the numbers of their parents; None is a tombstone."""

    def __init__(self, parents: Mapping[int, Sequence[int] | None], base: str | None = None) -> None:
        self.parents = {version(child): above for child, above in parents.items()}
        self.base = base
        self.looked_up: Counter[Version] = Counter()

    def __call__(self, model: ModelName, wanted: Version) -> Manifest | Tombstone | None:
        self.looked_up[wanted] += 1
        if wanted not in self.parents:
            return None
        above = self.parents[wanted]
        if above is None:
            return Tombstone(model=model, version=wanted, manifest_digest=Digest.of(b""), reason="wrong")
        return Manifest(
            model=model,
            version=wanted,
            created="2026-01-31T12:00:00Z",
            author=Person(name="A", email="a@example.org"),
            parents=tuple(Parent(model=model, version=version(each), relation="merged-from") for each in above),
            base=self.base,
        )

    def tree(self, number: int, depth: int = MAX_DEPTH) -> Ancestor:
        return lineage(MODEL, version(number), self, depth=depth)


def outline(node: Ancestor) -> str:
    mark = {"found": "", "deleted": "†", "missing": "?"}[node.standing]
    mark += "=" * node.repeated + "…" * node.cut
    above = ",".join(map(outline, node.parents))
    return f"{node.version.text[0]}{mark}" + (f"({above})" if above else "")


def every(node: Ancestor) -> Iterator[Ancestor]:
    yield node
    for parent in node.parents:
        yield from every(parent)


def test_a_chain_is_a_chain_with_relations() -> None:
    tree = Family({3: [2], 2: [1], 1: []}, base="hf://org/model").tree(3)
    assert outline(tree) == "3(2(1))"
    assert [node.relation for node in every(tree)] == [None, "merged-from", "merged-from"]
    assert tree.base == "hf://org/model"
    assert str(tree) == "risk/fraud@3.0.0"


def test_what_is_not_there_says_so() -> None:
    assert outline(Family({3: [2, 1], 2: None}).tree(3)) == "3(2†,1?)"
    assert Family({}).tree(1).standing is Standing.MISSING


def test_a_circle_ends() -> None:
    assert outline(Family({1: [2], 2: [3], 3: [1]}).tree(1)) == "1(2(3(1=)))"
    assert outline(Family({1: [1]}).tree(1)) == "1(1=)"


def test_a_family_that_meets_again_is_shown_once_where_it_is_nearest() -> None:
    family = Family({5: [4, 3], 4: [3], 3: [2], 2: []})
    assert outline(family.tree(5)) == "5(4(3=),3(2))"
    assert max(family.looked_up.values()) == 1


def test_two_relations_to_one_parent_do_not_double_the_tree() -> None:
    family = Family({child: [child - 1, child - 1] for child in range(1, 9)})
    assert sum(1 for _ in every(family.tree(8))) == 17


def test_the_depth_is_bounded_and_the_cut_is_shown() -> None:
    family = Family({child: [child - 1] for child in range(1, 9)} | {0: []})
    assert outline(family.tree(8, 2)) == "8(7(6…))"
    assert outline(family.tree(2, 2)) == "2(1(0))"
    assert outline(family.tree(8, 0)) == "8…"
    assert len(family.looked_up) == 6
    with pytest.raises(InvalidError, match="allowed: 0 to"):
        family.tree(8, MAX_DEPTH + 1)


@given(st.dictionaries(st.integers(0, 9), st.none() | st.lists(st.integers(0, 9), max_size=4)), st.integers(0, 6))
def test_any_family_gives_a_finite_tree_with_each_version_opened_once(
    parents: dict[int, list[int] | None], depth: int
) -> None:
    family = Family(parents)
    nodes = list(every(family.tree(0, depth)))
    opened = Counter(node.version for node in nodes if node.parents)
    assert set(opened.values()) <= {1}
    assert max(family.looked_up.values()) == 1
    assert {node.version for node in nodes} == set(family.looked_up)
