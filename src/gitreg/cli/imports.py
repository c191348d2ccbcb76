"""`gitreg import`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.complete import complete_selector
from gitreg.cli.options import writes
from gitreg.cli.session import Session, command
from gitreg.cli.written import answer_written
from gitreg.errors import InvalidError

if TYPE_CHECKING:
    from gitreg.registry import Mode


@command("import")
@click.argument("selector", metavar="NAME:MODEL@VERSION", shell_complete=complete_selector)
@click.option("--from", "source", metavar="PATH|URL", help="The registry that it comes from, where it has no name.")
@click.option("--parents", is_flag=True, help="Import what it came from as well, as far as it is not here.")
@writes
def import_version(session: Session, selector: str, source: str | None, parents: bool, mode: Mode) -> None:
    r"""Take a version over from another registry.

    The same manifest, to the byte, and the same weights, verified as they are copied; the commit says which registry,
    and which commit of it, they come from. What is here already is left alone. The version goes to the registry at
    hand, or to that of --registry.

    \b
      gitreg --registry prod import corp:risk/fraud-detector@1.4.0
      gitreg import risk/fraud-detector@prod --from ssh://git@host/models.git
    """
    from gitreg.cli.progress import progress
    from gitreg.names import split_registry
    from gitreg.registry import open_registry

    name, rest = split_registry(selector)
    if (name is None) == (source is None):
        raise InvalidError(
            "it has to be said once which registry it comes from",
            hint="gitreg import NAME:MODEL@VERSION, or MODEL@VERSION --from PATH|URL",
        )
    with (
        open_registry(f"{name}:" if name else source, fetch=session.fetch) as origin,
        session.registry() as registry,
    ):
        with progress("copying", quiet=session.as_json) as moved:
            written = registry.import_version(origin, rest, mode, parents=parents, progress=moved)
        answer_written(session, registry, written)
