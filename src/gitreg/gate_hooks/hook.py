"""Run as one of git's hooks: read what git says, judge, answer by exit status."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gitreg.errors import DeniedError, GitregError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from gitreg.gate import RefUpdate, Violation
    from gitreg.git import Repository

TIME_LIMIT = 120
_GRACE = 10
MAX_INPUT = 1 << 21
_SHOWN = 100


def main(name: str) -> NoReturn:
    """Run the hook of this name and exit; anything unexpected refuses.

    What the post-receive hook meets refuses nothing: the push has been accepted by then.
    """
    run = {
        "pre-receive": pre_receive,
        "post-receive": post_receive,
        "pre-commit": pre_commit,
        "pre-push": pre_push,
    }[name]
    gc.set_threshold(50_000)  # most pushes are judged before the default would have collected anything
    verdict = "accepted, but" if name == "post-receive" else "refused:"
    try:
        status = run()
    except GitregError as error:
        _say(f"gitreg: {verdict} {error}")
        status = 1
    except Exception:  # noqa: BLE001 - the process boundary: a bug must refuse, and be seen
        import traceback

        _say(f"gitreg: {verdict} the hook failed; this is a bug in gitreg or damage on the server")
        _say(f"  [internal] {traceback.format_exc(limit=-3).strip().splitlines()[-1]}")
        status = 1
    sys.stderr.flush()
    # Nothing is left to tidy up: leave without the interpreter's slow way out.
    os._exit(status)


def _say(text: str) -> None:
    """Speak on standard error, which git shows to the pusher; what is pushed does not steer their terminal."""
    plain = "".join(mark if mark.isprintable() or mark == "\n" else "\N{REPLACEMENT CHARACTER}" for mark in text)
    print(plain, file=sys.stderr)  # noqa: T201 - a hook speaks on standard error


class _LateError(Exception):
    """Judging took too long."""


def _limit_time() -> None:
    """Refuse when judging takes too long: by an exception, so that the log hears of it, or else by the end."""

    def late(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise _LateError(f"judging took longer than {TIME_LIMIT} s; push less at once")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(TIME_LIMIT)
    # A thread of C's, which no code that hangs can hold up.
    faulthandler.dump_traceback_later(TIME_LIMIT + _GRACE, exit=True)


def pre_receive() -> int:
    """Judge a push; 0 accepts it."""
    _limit_time()
    data = sys.stdin.buffer.read(MAX_INPUT + 1)
    threading.Thread(target=_import_meanwhile, daemon=True).start()
    from gitreg.git import Repository

    with Repository.open(".", quarantine=True) as repository:
        repository.objects.start()
        return _decide(repository, data)


def _import_meanwhile() -> None:
    """Import what judging takes while git's first processes are waited for; whoever needs it says what fails."""
    with contextlib.suppress(ImportError):
        import jsonschema_rs  # noqa: F401
        import yaml  # noqa: F401


def _decide(repository: Repository, data: bytes) -> int:
    from gitreg.gate import Code, Violation, parse_updates
    from gitreg.gate_hooks import audit, identity
    from gitreg.gate_hooks.desk import server_desk
    from gitreg.gate_hooks.push import judge_push
    from gitreg.reader.history import iso

    who = None
    updates: Sequence[RefUpdate] = ()
    violations: Sequence[Violation]
    try:
        who = identity.actor(repository, os.environ)
        verdict = judge_push(server_desk(repository), data, who)
        updates, violations = verdict.updates, verdict.violations
    except GitregError as error:
        code = Code.ACTOR_UNKNOWN if isinstance(error, DeniedError) else Code.INTERNAL
        updates, violations = tuple(parse_updates(data)[0]), (Violation(code, str(error)),)
    except _LateError as error:
        violations = (Violation(Code.INTERNAL, str(error)),)
    except Exception as error:  # noqa: BLE001 - fail closed, and leave a trace of it
        updates = tuple(parse_updates(data)[0])
        violations = (Violation(Code.INTERNAL, f"{type(error).__name__}: {error}", "tell the server's owner"),)
    signal.alarm(0)
    audit.append(repository.git_dir, audit.Entry(iso(int(time.time())), who, tuple(updates), tuple(violations)))
    if not violations:
        return 0
    count = len(violations)
    _say(f"gitreg: refused: {count} violation{'s' if count != 1 else ''}")
    for violation in violations[:_SHOWN]:
        _say(f"  {violation}")
    if count > _SHOWN:
        _say(f"  … and {count - _SHOWN} more")
    return 1


def post_receive() -> int:
    """Write the deploy tags that are due; a failure is told, and made good by the next run."""
    from gitreg.gate_hooks.marks import server_marks, write_marks
    from gitreg.git import Repository

    with Repository.open(".") as repository:
        try:
            if not server_marks(repository):
                return 0
            for ref in write_marks(repository):
                _say(f"gitreg: marked {ref.removeprefix('refs/tags/')}")
        except GitregError as error:
            _say(f"gitreg: deploy tags are not written yet: {error}; `gitreg mark` on the server makes it good")
    return 0


def pre_commit() -> int:
    """Check what is staged in a clone of a registry."""
    from gitreg.gate import refusal
    from gitreg.gate_hooks.check import check_staged
    from gitreg.git import Repository

    # `git commit -a` and `git commit PATH` prepare an index of their own.
    index = os.environ.get("GIT_INDEX_FILE")
    with Repository.open(".") as repository:
        violations = check_staged(repository, Path(index) if index else None)
    if violations:
        raise refusal(violations, "this commit would be refused by the registry")
    return 0


def pre_push() -> int:
    """Judge what is about to go to main, as far as a clone can know."""
    from gitreg.gate import parse_updates, refusal
    from gitreg.gate_hooks.check import check_pushed
    from gitreg.git import Repository
    from gitreg.layout import MAIN

    lines = [line.split() for line in sys.stdin.read(MAX_INPUT).splitlines()]
    data = "".join(f"{old} {new} {ref}\n" for _, new, ref, old in lines if ref == MAIN)
    if not data:
        return 0
    with Repository.open(".") as repository:
        for update in parse_updates(data.encode())[0]:
            if update.deletes or update.creates or repository.objects.info(update.old) is None:
                continue
            violations = check_pushed(repository, update.old, update.new)
            if violations:
                raise refusal(violations, "this push would be refused by the registry")
    return 0
