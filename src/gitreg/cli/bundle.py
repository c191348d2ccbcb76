"""`gitreg bundle` and `gitreg unbundle`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitreg.cli.options import in_registry
from gitreg.cli.session import Session, command
from gitreg.cli.text import listed
from gitreg.quantities import human_size

if TYPE_CHECKING:
    from gitreg.cli.screen import Screen
    from gitreg.keep.bundle import Bundled
    from gitreg.registry.carrying import Unbundled


@command("bundle")
@click.argument("selectors", metavar="[MODEL|MODEL@VERSION]...", nargs=-1, callback=in_registry)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE", help="What to write.")
@click.option(
    "--since",
    metavar="FILE|COMMIT",
    help="Only what came after an earlier bundle, or after the commit that it reached.",
)
def bundle(session: Session, selectors: tuple[str, ...], output: Path, since: str | None) -> None:
    """Write models, history and weights into one file.

    It is to be carried to where no network reaches. Without models it is all of them. The history is that of the whole
    registry, with the same commits; the weights are those of the chosen versions, but for what the bundle after --since
    brought, or what the same models had at that commit. Any tar and git can read the file.
    """
    from gitreg.cli.progress import progress

    with session.registry() as registry, progress("bundling", quiet=session.as_json) as moved:
        written = registry.bundle(selectors, output, since=since, progress=moved)
    session.answer(written, _render_bundle)


def _render_bundle(screen: Screen, written: Bundled) -> None:
    screen.line(f"wrote {written.path}: {written.blobs} blobs, {human_size(written.bytes)}")
    screen.fields(
        [
            ("registry", written.registry),
            ("models", listed(written.models)),
            ("commit", written.commit),
            ("since", written.since),
            ("left out", f"{written.left_out} blobs, which came before" if written.left_out else None),
            ("digest", written.digest),
        ]
    )


@command("unbundle")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE")
@click.argument("folder", type=click.Path(path_type=Path), required=False, metavar="[REGISTRY]")
@click.option("--expect", metavar="DIGEST", help="The digest that `gitreg bundle` told, got some other way.")
@click.option(
    "--store", metavar="URI", help="This machine's store of a new registry; needed where it is not beside it."
)
def unbundle(session: Session, file: Path, folder: Path | None, expect: str | None, store: str | None) -> None:
    """Verify a bundle, and take it into a registry.

    The registry, on this machine, is made where there is none, and moves forward where there is one. Without one the
    bundle is verified only. Nothing is taken of a bundle of which a single byte is wrong, and no registry moves to
    where weights are missing that the bundle speaks of.
    """
    from gitreg.cli.progress import progress
    from gitreg.registry.carrying import unbundle as take

    with progress("verifying", quiet=session.as_json) as moved:
        done = take(
            file, folder, store=store, expect=expect, moved=lambda count: moved(file.name, count) if moved else None
        )
    session.answer(done, _render_unbundle)


def _render_unbundle(screen: Screen, done: Unbundled) -> None:
    if done.registry is None:
        screen.line(f"the bundle is sound: {done.blobs} blobs of {listed(done.models)}")
    else:
        made = "made" if done.is_new else "brought forward"
        screen.line(f"{made} {done.registry}: {done.added} of {done.blobs} blobs were new")
    left = f"of {done.left_behind} versions, which no bundle brought" if done.left_behind else None
    screen.fields([("commit", done.commit), ("digest", done.digest), ("store", done.store), ("no weights", left)])
