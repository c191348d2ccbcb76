"""What a row of the table says: who does what, and who stops them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from tests.attacks.world import Edit, World, git

if TYPE_CHECKING:
    from tests.attacks.raw import Push

Make = Callable[[World], "Push"]


class Git(Enum):
    """Whether a repository without gitreg's hooks lets an attack in."""

    OPEN = "whatever its configuration"
    PLAIN = "unless it has the configuration that gitreg gives a registry"
    SHUT = "never"


@dataclass(frozen=True)
class Attack:
    """A row: the sentence that it proves, the pusher, how the push is made, and the codes that refuse it.

    No codes: git itself refuses before the hook is asked; `bare` are then the codes of a registry whose configuration
    has drifted to git's own, so that nothing but the hook stands.
    """

    name: str
    who: str | None
    make: Make
    codes: frozenset[str]
    alone: Git = Git.OPEN
    bare: frozenset[str] = frozenset()
    configure: Mapping[str, str] = field(default_factory=dict)
    setup: Callable[[World], None] | None = None
    leaves: int = 0  # objects that git itself keeps of a refused push

    def prepare(self, world: World) -> None:
        """Leave on the server what the attack finds there, and configure it so."""
        for key, value in self.configure.items():
            git(world.server, "config", key, value)
        if self.setup is not None:
            self.setup(world)


def edits(changed: Mapping[str, Edit], /, **headers: object) -> Make:
    """Push one commit of edits to main."""
    return lambda world: world.main(world.change(changed, **headers))


def steps(*changed: Mapping[str, Edit]) -> Make:
    """Push several commits to main at once."""
    return lambda world: world.main(world.steps(*changed))


def row(
    name: str,
    who: str | None,
    make: Make | Mapping[str, Edit],
    codes: str,
    alone: Git = Git.OPEN,
    *,
    bare: str = "",
    configure: Mapping[str, str] | None = None,
    setup: Callable[[World], None] | None = None,
    leaves: int = 0,
) -> Attack:
    """Write a row; codes are words."""
    made = edits(make) if isinstance(make, Mapping) else make
    return Attack(
        name,
        who,
        made,
        frozenset(codes.split()),
        alone,
        frozenset(bare.split()),
        configure or {},
        setup,
        leaves,
    )
