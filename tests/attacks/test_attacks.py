"""The table of attacks: each is refused by a registry, changes nothing, is logged; and what git alone makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.attacks.access_rules import ACCESS_ROWS
from tests.attacks.attack import Attack, Git
from tests.attacks.history import HISTORY
from tests.attacks.protocol import PROTOCOL
from tests.attacks.raw import Push, Report, send
from tests.attacks.tags import TAGS
from tests.attacks.trees import TREES
from tests.attacks.warm import SOAK
from tests.attacks.world import breaks_of, entries_of, refs_of, stores_of, unconfigured
from tests.attacks.yaml_files import YAML

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.attacks.world import Template

TABLE = (*PROTOCOL, *HISTORY, *TREES, *YAML, *ACCESS_ROWS, *TAGS)
# What git alone makes of an attack changes with git and not with gitreg: `make soak` looks at every row.
TWINS = TABLE if SOAK else TABLE[::4]


@dataclass(frozen=True)
class State:
    """What an attack might change."""

    refs: Mapping[str, str]
    stores: set[str]
    entries: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, repository: Path) -> State:
        return cls(refs_of(repository), stores_of(repository), entries_of(repository))


def accepted(report: Report, push: Push, refs: Mapping[str, str]) -> bool:
    """Whether all that was asked for is so now."""
    said = bool(report.refs) and set(report.refs.values()) == {"ok"}
    wanted = {ref if isinstance(ref, str) else ref.decode("utf-8", "replace"): new for _, new, ref in push.updates}
    return said and all(refs.get(ref) == (new if new.strip("0") else None) for ref, new in wanted.items())


def refused(server: Path, push: Push, attack: Attack) -> set[str]:
    """Attack a registry, see that nothing has changed, and give the codes that were logged; none: git refused."""
    before = State.of(server)

    report = send(server, push, attack.who)

    after = State.of(server)
    assert after.refs == before.refs, report
    assert len(after.stores) == len(before.stores) + attack.leaves
    assert before.stores <= after.stores
    assert set(report.refs.values()) != {"ok"}
    assert "Traceback" not in report.said
    assert breaks_of(after.entries) == []
    assert after.entries[: len(before.entries)] == before.entries
    new = after.entries[len(before.entries) :]
    assert len(new) <= 1
    assert all(entry["verdict"] == "refused" for entry in new)
    found = {violation["code"] for entry in new for violation in entry["violations"]}
    assert report.codes <= found
    return found


def test_every_row_says_something_of_its_own() -> None:
    names = [attack.name for attack in TABLE]
    assert len(set(names)) == len(names) >= 120


@pytest.mark.parametrize("attack", TABLE, ids=lambda attack: attack.name)
def test_an_attack_is_refused(attack: Attack, template: Template, folder: Path) -> None:
    world = template.fresh(folder)
    attack.prepare(world)
    push = attack.make(world)

    assert refused(world.server, push, attack) == attack.codes
    if not attack.codes:
        # The configuration has drifted to git's own: only the hook is left.
        unconfigured(world.server, identity="GL_USER")
        assert refused(world.server, push, attack) == attack.bare


@pytest.mark.parametrize("attack", TWINS, ids=lambda attack: attack.name)
def test_git_alone_makes_of_an_attack_what_the_table_says(attack: Attack, template: Template, folder: Path) -> None:
    world = template.fresh(folder)
    attack.prepare(world)
    push = attack.make(world)

    for plain, expected in ((False, attack.alone is Git.OPEN), (True, attack.alone is not Git.SHUT)):
        twin = template.twin(folder, plain=plain)
        attack.prepare(template.again(twin))
        assert accepted(send(twin, push, attack.who), push, refs_of(twin)) is expected
