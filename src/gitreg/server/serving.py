"""Hold what the rooms of one server share: the registry, who calls, who writes, what is counted."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from gitreg.errors import GitregError, UnavailableError
from gitreg.gate_hooks.whereabouts import Whereabouts, whereabouts
from gitreg.git import Signature
from gitreg.records import dataclass, field
from gitreg.registry import open_registry
from gitreg.server.auth.authenticator import Authenticator
from gitreg.server.auth.callers import Readers
from gitreg.server.auth.refusals import Refusals
from gitreg.server.auth.settings import read_settings
from gitreg.server.chain import NAME as CHAIN
from gitreg.server.chain import Chain
from gitreg.server.idempotency import Remembered
from gitreg.server.operations.metrics import Meters, outcome_of
from gitreg.server.operations.replica import primary_of
from gitreg.server.places import shared
from gitreg.server.staged import FOLDER
from gitreg.server.turns import Bounds, Turns
from gitreg.server.uploads import Uploads
from gitreg.writer.group import GroupWriter
from gitreg.writer.process import ProcessWriter
from gitreg.writer.staging import Change

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from gitreg.names import ModelName
    from gitreg.registry import Registry
    from gitreg.server.auth.callers import Caller
    from gitreg.writer.landing import Wrote
    from gitreg.writer.plan import Planner, Written
    from gitreg.writer.staging import Writer

PATIENCE = 90.0  # a little more than the writer has itself
# Fewer than the threads that answer: whatever is asked at length, short questions are answered.
QUESTIONS = Bounds(at_once=16, of_one=4, waiting=64, patience=30.0)


class UnfinishedError(UnavailableError):
    """A write that is still being done, and may land yet; `future` ends with it."""

    retry_after = 10

    def __init__(self, future: Future[Written]) -> None:
        super().__init__(
            f"the write was not done within {PATIENCE:g} s, and may still be",
            hint="ask again with the same Idempotency-Key; without one, look first whether it is there",
        )
        self.future = future


class Lacking:
    """Read what an answer lacks: once, however many ask for it; for one event loop."""

    def __init__(self) -> None:
        self._reading: dict[tuple[str, ...], asyncio.Task[None]] = {}

    async def read(self, registry: Registry, wanted: tuple[str, ...]) -> None:
        """Wait until what git was to be asked for was read, with the folders on the way there."""
        reading = self._reading.get(wanted)
        if reading is None:
            objects = registry.target.repository.objects
            reading = self._reading[wanted] = asyncio.ensure_future(asyncio.to_thread(objects.approach, wanted))
            reading.add_done_callback(lambda _: self._reading.pop(wanted))
        await asyncio.shield(reading)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What the rooms of one server share.

    `primary` is the server that takes the writes, where this one follows it. `together` is the folder in which several
    workers count what bounds all of them.
    """

    registry: Registry
    git_dir: Path
    authenticator: Authenticator
    refusals: Refusals
    writer: Writer
    remembered: Remembered
    primary: str | None = None
    together: Path | None = None
    whereabouts: Whereabouts = Whereabouts(())
    signs_urls: bool = True
    meters: Meters = field(default_factory=Meters)
    readers: Readers = field(default_factory=Readers)
    uploads: Uploads = field(default_factory=Uploads)
    chain: Chain = field(default_factory=Chain)
    questions: Turns = field(default_factory=lambda: Turns(QUESTIONS))
    lacking: Lacking = field(default_factory=Lacking)
    proving: asyncio.Lock = field(default_factory=asyncio.Lock)

    def close(self) -> None:
        """Finish what was accepted, and stop."""
        self.writer.close()
        self.uploads.close()
        self.refusals.close()
        self.authenticator.close()
        self.remembered.close()
        self.registry.close()

    async def write(self, asked: Wanted) -> Written:
        """Have a change judged, and committed unless it is a dry run; raises what the gate's verdict is classed as."""
        future = self.writer.submit(asked.change())
        try:
            written = await asyncio.wait_for(asyncio.wrap_future(future), PATIENCE)
        except TimeoutError as error:
            self.meters.wrote("failed")
            if future.cancel():
                raise UnavailableError(
                    f"the write had not begun after {PATIENCE:g} s, and is not done any more", hint="send it again"
                ) from error
            raise UnfinishedError(future) from error
        except GitregError as error:
            codes = [str(getattr(each, "code", "")) for each in error.violations]
            self.meters.wrote(outcome_of(error), codes)
            raise
        if written.commit is not None and not written.dry_run:
            self.meters.wrote("accepted")
        return written


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A write that a caller asks for; `expected` is the commit that they read, `models` those it is about."""

    planner: Planner
    caller: Caller
    expected: str | None = None
    dry_run: bool = False
    models: tuple[ModelName, ...] = ()

    def change(self) -> Change:
        """Say it as the group writer takes it."""
        caller = self.caller
        user = caller.require_user()
        return Change(
            planner=self.planner,
            actor=user,
            author=Signature.now(caller.name or str(user), caller.email),
            source=caller.source(),
            scopes=caller.scopes,
            expected=self.expected,
            dry_run=self.dry_run,
            models=self.models,
        )


def open_serving(path: str | os.PathLike[str], *, is_apart: bool = False, together: Path | None = None) -> Serving:
    """Open all that a server of a bare registry needs; close it afterwards.

    Whether changes are judged and written in a process of their own (`is_apart`) shows under load alone.
    """
    undo: list[Callable[[], object]] = []
    try:
        registry = open_registry(path)
        undo.append(registry.close)
        repository = registry.target.repository
        git_dir = repository.git_dir
        authenticator = Authenticator(git_dir, read_settings(repository))
        undo.append(authenticator.close)
        meters = Meters()

        def wrote(what: Wrote) -> None:
            repository.objects.learn(what.commit, what.objects)

        writer: Writer = (ProcessWriter if is_apart else GroupWriter)(git_dir, landed=meters.grouped, wrote=wrote)
        undo.append(writer.close)
        return Serving(
            registry=registry,
            git_dir=git_dir,
            authenticator=authenticator,
            refusals=Refusals(git_dir),
            writer=writer,
            meters=meters,
            remembered=Remembered(git_dir),
            uploads=Uploads(git_dir / FOLDER, places=shared(together, "uploads")),
            chain=Chain(git_dir / "gitreg" / CHAIN),
            questions=Turns(QUESTIONS, shared(together, "questions")),
            primary=primary_of(repository),
            together=together,
            whereabouts=whereabouts(repository),
            signs_urls=repository.config_flag("gitreg.serve.signedUrls", default=True),
        )
    except BaseException:
        for each in reversed(undo):
            with suppress(GitregError):
                each()
        raise
