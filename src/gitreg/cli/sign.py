"""`gitreg sign`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command

if TYPE_CHECKING:
    from gitreg.cli.screen import Screen
    from gitreg.registry.signatures import Signed

PASSWORD = "GITREG_KEY_PASSWORD"  # noqa: S105 - the variable's name


@command("sign")
@click.argument("paths", type=click.Path(path_type=Path, exists=True), nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help=f"A private key in PEM, on P-256, P-384 or P-521; ${PASSWORD} unlocks it.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Default: model.sig beside them.")
def sign(session: Session, paths: tuple[Path, ...], key: Path, output: Path | None) -> None:
    """Sign files before they are registered.

    The signature, model.sig, is one of OpenSSF model-signing. It is registered with them; `gitreg verify --key` checks
    it, and so does `model_signing verify key`. Works without a network.
    """
    from gitreg.registry.signatures import sign as sign_files

    session.answer(sign_files(paths, key, output, os.environ.get(PASSWORD)), _render)


def _render(screen: Screen, signed: Signed) -> None:
    files = "1 file" if signed.files == 1 else f"{signed.files} files"
    screen.line(f"signed {files}: {signed.signature}")
