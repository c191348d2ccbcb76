"""`gitreg credential`."""

from __future__ import annotations

import sys

import click

from gitreg.cli.session import Session, command
from gitreg.errors import InvalidError

_MOST = 1 << 16


@command("credential")
@click.option("--server", metavar="URL", help="The gitreg server; by default the host that git names.")
@click.argument("action", type=click.Choice(["get", "store", "erase"]))
def credential(_session: Session, server: str | None, action: str) -> None:
    r"""Tell git the token for a gitreg server.

    \b
      git config --global credential.https://models.example.com.helper '!gitreg credential'

    Git calls it, and so fetches and pushes there with the token that gitreg itself would send: docs/client.md.
    Nothing is stored, and nothing is told to what is no gitreg server.
    """
    asked = dict(line.rstrip("\n").partition("=")[::2] for line in sys.stdin.read(_MOST).splitlines())
    if action != "get":
        return
    from gitreg.client import find_server
    from gitreg.client.tokens import origin

    at = f"{asked.get('protocol')}://{asked.get('host')}"
    try:
        if server is not None and origin(server) != origin(at):
            return  # git was sent on to another host
        http = find_server(server or at)
    except (InvalidError, ValueError):
        return  # git asks for more than web addresses
    if http is None:
        return
    token = http.token()
    if token is None:
        click.echo(f"gitreg: {http.advice}", err=True)
        return
    click.echo(f"username=token\npassword={token}")
