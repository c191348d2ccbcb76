"""`gitreg server token`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command, group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.cli.screen import Screen
    from gitreg.server.auth.issuing import Issued, Listed


@group("token")
def token() -> None:
    """Make, list and revoke the tokens by which callers of `gitreg serve` are known."""


@command("create")
@click.argument("user")
@click.option("--expires", default="90d", show_default=True, metavar="TIME", help="For how long: 12h, 90d, 52w.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="ACTION",
    help="What it may do of what its user may, such as deploy; may be given again. It may always read.",
)
@click.option("--note", default="", metavar="TEXT", help="What it is for.")
@click.option("--name", default="", metavar="TEXT", help="The author's name in its commits; default: the user.")
@click.option("--email", default="", metavar="ADDRESS", help="The author's address in its commits.")
def create(session: Session, user: str, scopes: tuple[str, ...], **texts: str) -> None:
    """Make a token for a user, and print it: it is kept nowhere, and cannot be shown again.

    Runs on the server, beside the registry's repository. Without --scope it may do whatever access.yaml grants.
    """
    from gitreg.server.auth.issuing import TokenRequest
    from gitreg.server.auth.issuing import create as create_token

    with session.registry() as registry:
        issued = create_token(registry, TokenRequest(user=user, scopes=scopes, **texts))
    session.answer(issued, _render_issued)


def _render_issued(screen: Screen, issued: Issued) -> None:
    """Print the token alone, so that a script can take it; the rest is for people."""
    from gitreg.cli.screen import Screen

    made = issued.listed
    aside = Screen(sys.stderr)
    aside.line(f"token {made.id} of {made.user}, until {made.expires}; it is shown this once")
    if not issued.user_known:
        aside.line(f"access.yaml does not know {made.user} yet: it grants them nothing")
    screen.line(issued.token)


@command("list")
@click.option("--all", "ended", is_flag=True, help="Those as well that ended in the last 90 days.")
@click.option("--user", metavar="USER", help="Only this user's.")
def list_tokens(session: Session, ended: bool, user: str | None) -> None:
    """List the tokens that count."""
    from gitreg.server.auth.issuing import tokens

    with session.registry() as registry:
        found = tokens(registry, ended=ended, user=user)
    session.answer(found, _render)


@command("revoke")
@click.argument("identifiers", metavar="[ID]...", nargs=-1)
@click.option("--user", metavar="USER", help="All of this user's.")
def revoke(session: Session, identifiers: tuple[str, ...], user: str | None) -> None:
    """Let tokens count no more, at once and in running servers as well. ID may be a whole token."""
    from gitreg.server.auth.issuing import revoke as revoke_tokens

    with session.registry() as registry:
        ended = revoke_tokens(registry, identifiers, user)
    session.answer(ended, _render)


def _render(screen: Screen, found: Sequence[Listed]) -> None:
    if not found:
        screen.line("no token")
        return
    rows = [
        (each.id, each.user, ", ".join(each.scopes) if each.scopes else "all", each.expires, each.state, each.note)
        for each in found
    ]
    screen.table(("ID", "USER", "SCOPES", "EXPIRES", "STATE", "NOTE"), rows)


for each in (create, list_tokens, revoke):
    token.add_command(each)
