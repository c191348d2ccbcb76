"""A registry with pages on a port of this machine: the example's history, tokens, the real guard and writer."""

from __future__ import annotations

import contextlib
import re
import time
from html import unescape
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx

from gitreg.git import Draft, Repository, refs
from gitreg.git.commits import write_commits
from gitreg.layout import MAIN
from gitreg.names import UserName
from gitreg.registry import open_registry
from gitreg.registry.example import begin, steps
from gitreg.server.auth.authenticator import Authenticator
from gitreg.server.auth.guard import Guard
from gitreg.server.auth.refusals import Refusals
from gitreg.server.auth.settings import AuthSettings
from gitreg.server.auth.token_file import TokenFile
from gitreg.server.auth.tokens import Token
from gitreg.server.pages.app import pages
from gitreg.server.pages.site import Site
from gitreg.writer.group import GroupWriter
from tests.server.serving import HOST, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from gitreg.access import Action

DAY = 86_400


def example(folder: Path, *more: tuple[str, Mapping[str, bytes | None]]) -> Path:
    """Make the example registry, and further commits upon it, without asking the hooks for every one of them."""
    first, *others = steps()
    path = begin(folder, first)
    drafts = [
        Draft(edits=step.files, message=step.message, author=step.author, committer=step.author) for step in others
    ]
    last = others[-1].author
    drafts += [Draft(edits=edits, message=message, author=last, committer=last) for message, edits in more]
    with Repository.open(path) as repository:
        tip = refs.resolve(repository, MAIN)
        refs.update(repository, MAIN, write_commits(repository, tip, drafts)[-1], tip)
    return path


def token(git_dir: Path, user: str, scopes: frozenset[Action] | None = None) -> str:
    """Make a token of a user."""
    now = int(time.time())

    def made(identifier: str, digest: str) -> Token:
        who = UserName(user)
        return Token(id=identifier, user=who, created=now, expires=now + DAY, digest=digest, scopes=scopes)

    file = TokenFile(git_dir)
    try:
        return file.create(made, now, lambda _: None)[1]
    finally:
        file.close()


@contextlib.contextmanager
def pages_of(git_dir: Path, anonymous: str | None = None, rate_failed: int = 0) -> Iterator[str]:
    """Serve the pages of a registry; give their address."""
    stranger = UserName(anonymous) if anonymous else None
    settings = AuthSettings(rate=0, rate_anonymous=0, rate_failed=rate_failed, anonymous=stranger)
    with contextlib.ExitStack() as stack:
        authenticator = stack.enter_context(contextlib.closing(Authenticator(git_dir, settings)))
        registry = stack.enter_context(open_registry(git_dir))
        writer = stack.enter_context(contextlib.closing(GroupWriter(git_dir)))
        refusals = stack.enter_context(contextlib.closing(Refusals(git_dir)))
        site = Site(registry=registry, git_dir=git_dir, authenticator=authenticator, writer=writer)
        port = stack.enter_context(serving(Guard(pages(site), authenticator, refusals)))
        yield f"http://{HOST}:{port}"


class Visitor:
    """A signed-in user who asks for pages, without a browser."""

    def __init__(self, address: str, secret: str) -> None:
        self.address = address
        self.http = httpx.Client(base_url=address, headers={"sec-fetch-site": "same-origin"}, timeout=60)
        signed_in = self.http.post("/ui/sign-in", data={"token": secret, "next": "/ui/models"})
        assert signed_in.status_code == HTTPStatus.SEE_OTHER, signed_in.text

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def get(self, path: str, **query: str) -> httpx.Response:
        """Ask for a page."""
        return self.http.get(path, params=query or None)

    def text(self, path: str, **query: str) -> str:
        """Ask for a page that there is, and give its text without its tags."""
        answer = self.get(path, **query)
        assert answer.status_code == HTTPStatus.OK, answer.text
        return plain(answer.text)

    def confirm(self, deed: str, **values: str) -> httpx.Response:
        """Look at a change, and confirm what was shown."""
        shown = self.get(f"/ui/actions/{deed}", **values)
        form = dict(re.findall(r'<input type="hidden" name="([a-z]+)" value="([^"]*)">', shown.text))
        return self.http.post(f"/ui/actions/{deed}", data={**values, **form})


def plain(html: str) -> str:
    """Take the tags out of a page, and put what is left on one line."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())
