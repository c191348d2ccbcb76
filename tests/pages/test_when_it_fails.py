"""What the pages do where the writer is slow, gitreg is wrong, or somebody tries too often."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import pytest

from gitreg.registry import open_registry
from gitreg.server.auth.authenticator import Authenticator
from gitreg.server.auth.guard import Guard
from gitreg.server.auth.refusals import Refusals
from gitreg.server.auth.settings import AuthSettings
from gitreg.server.pages import listing
from gitreg.server.pages import site as site_module
from gitreg.server.pages.app import THREADS, pages
from gitreg.server.pages.site import Site
from tests.pages.served import Visitor, pages_of, plain, token
from tests.server.serving import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from pathlib import Path

    from gitreg.writer.plan import Written
    from gitreg.writer.staging import Change

    Visit = Callable[[str], Visitor]

T = TypeVar("T")
WHAT = {"model": "cellar/wine-cultivar", "version": "1.0.0", "environment": "staging"}
DEPLOY = "/ui/actions/deploy"


class SlowWriter:
    """A writer that never answers; `takes` is whether it begins with what it is given."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes
        self.given: list[Future[Written]] = []
        self.is_over = False

    def submit(self, change: Change) -> Future[Written]:
        """Take a change in."""
        found: Future[Written] = Future()
        if self.is_over:
            found.set_exception(RuntimeError("the test is over"))
        if self.takes and not change.dry_run:
            found.set_running_or_notify_cancel()
        self.given.append(found)
        return found

    def is_full(self) -> bool:
        """Whether every thread that may wait for a writer does."""
        return len(self.given) == THREADS


@pytest.fixture
def site(git_dir: Path) -> Iterator[Callable[..., Site]]:
    """Make the pages' site with a writer of one's own."""
    with contextlib.ExitStack() as stack:
        settings = AuthSettings(rate=0, rate_anonymous=0, rate_failed=0)
        authenticator = stack.enter_context(contextlib.closing(Authenticator(git_dir, settings)))
        registry = stack.enter_context(open_registry(git_dir))

        def made(writer: SlowWriter, **more: Any) -> Site:  # noqa: ANN401 - what a Site takes
            return Site(registry=registry, git_dir=git_dir, authenticator=authenticator, writer=writer, **more)

        yield made


@contextlib.asynccontextmanager
async def _asking(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """Ask for pages as carol, in this event loop."""
    with contextlib.closing(Refusals(site.git_dir)) as refusals:
        app: Any = httpx.ASGITransport(Guard(pages(site), site.authenticator, refusals))
        headers = {"authorization": f"Bearer {token(site.git_dir, 'carol')}"}
        async with httpx.AsyncClient(transport=app, base_url="http://localhost", headers=headers) as client:
            yield client


def _run(asked: Coroutine[Any, Any, T]) -> T:
    """Run in a thread of its own: the browser of other tests keeps an event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, asked).result()


def test_whoever_waits_for_the_writer_holds_up_nobody_else(site: Callable[..., Site]) -> None:
    writer = SlowWriter()

    async def both() -> int:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        watcher = ThreadPoolExecutor(1)
        async with _asking(site(writer)) as client, asyncio.timeout(PATIENCE):
            waiting = [asyncio.create_task(client.get(DEPLOY, params=WHAT)) for _ in range(THREADS + 1)]
            try:
                await asyncio.get_running_loop().run_in_executor(watcher, wait_for, writer.is_full)
                await asyncio.to_thread(lambda: None)  # what the rest of the server uses
                return (await client.get("/ui/models")).status_code
            finally:
                writer.is_over = True
                for each in tuple(writer.given):
                    each.set_exception(RuntimeError("the test is over"))
                await asyncio.gather(*waiting)

    assert _run(both()) == 200


@pytest.mark.parametrize(
    ("takes", "method", "said"),
    [
        (True, "POST", "and may still be look whether it is there before you try again"),
        (False, "POST", "nothing was changed try again in a while"),
        (True, "GET", "nothing was changed try again in a while"),
    ],
)
def test_a_writer_that_does_not_answer_in_time_is_said_with_what_became_of_the_change(
    site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch, takes: bool, method: str, said: str
) -> None:
    monkeypatch.setattr(site_module, "PATIENCE", 0.0)
    writer, heard = SlowWriter(takes=takes), list[str]()
    made = site(writer, heard=lambda outcome, _: heard.append(outcome))

    async def ask() -> httpx.Response:
        async with _asking(made) as client:
            if method == "GET":
                return await client.get(DEPLOY, params=WHAT)
            secret = client.headers["authorization"].removeprefix("Bearer ")
            binding = made.authenticator.sessions.form_token(await made.authenticator.by_token(secret, ""))
            return await client.post(DEPLOY, data={**WHAT, "binding": binding})

    answer = _run(ask())
    assert answer.status_code == 503
    assert said in plain(answer.text)
    assert len(writer.given) == 1
    assert heard == ([] if method == "GET" else ["failed"])


def test_a_bug_is_a_page_without_details_and_stands_in_the_log(
    site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(*_: object) -> object:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(listing, "models", wrong)

    async def ask() -> httpx.Response:
        async with _asking(site(SlowWriter())) as client:
            return await client.get("/ui/models")

    with caplog.at_level(logging.ERROR):
        answer = _run(ask())
    assert answer.status_code == 500
    assert answer.headers["content-type"].startswith("text/html")
    assert "its log says more" in plain(answer.text)
    assert "secret" not in answer.text
    assert "ZeroDivisionError: secret" in caplog.text


def test_tries_at_signing_in_are_counted_as_any_others(git_dir: Path) -> None:
    with pages_of(git_dir, rate_failed=2) as address:
        form, headers = {"token": "gitreg_nonsense"}, {"sec-fetch-site": "same-origin"}
        answers = [httpx.post(f"{address}/ui/sign-in", data=form, headers=headers) for _ in range(3)]
        assert [each.status_code for each in answers] == [401, 401, 429]
        assert "too many tries that failed" in plain(answers[-1].text)
        assert httpx.get(f"{address}/ui/audit", headers={"authorization": "Bearer x"}).status_code == 429
        Visitor(address, token(git_dir, "alice")).close()  # whoever has a token gets in all the same
