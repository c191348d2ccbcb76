"""Run as one of git's hooks: read what git says, judge, answer by exit status."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gitreg.errors import DeniedError, GitregError
from gitreg.records import replace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from gitreg.gate import Violation
    from gitreg.gate_hooks.push import Verdict
    from gitreg.git import Repository

TIME_LIMIT = 120
_GRACE = 10
PUBLISH_LIMIT = 30
"""Seconds that a push may wait for the static index."""

# What a process may write to, in bytes; the hook, and each git that it starts. Packs that git maps do not count.
MEMORY_LIMIT = 384 << 20
MAX_INPUT = 1 << 21
# How the process that judges a push says yes: hooks/pre-receive takes nothing else for it.
ACCEPTED = 42
_SHOWN = 100
_ENDINGS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def main(name: str) -> NoReturn:
    """Run the hook of this name and exit; anything unexpected refuses.

    What the post-receive hook meets refuses nothing: the push has been accepted by then.
    """
    accepted = False
    verdict = "accepted, but" if name == "post-receive" else "refused:"
    try:
        _fill_streams()
        gc.set_threshold(50_000)  # most pushes are judged before the default would have collected anything
        accepted = _HOOKS[name]()
    except GitregError as error:
        _say(f"gitreg: {verdict} {error}")
    except BaseException:  # noqa: BLE001 - the process boundary: a bug, and an exit(0) too, must refuse, and be seen
        import traceback

        _say(f"gitreg: {verdict} the hook failed; this is a bug in gitreg or damage on the server")
        _say(f"  [internal] {traceback.format_exc(limit=-3).strip().splitlines()[-1]}")
    finally:
        # Nothing is left to tidy up: leave without the interpreter's slow way out, which might yet change the answer.
        yes = ACCEPTED if name == "pre-receive" else 0
        os._exit(yes if accepted is True else 1)


def _fill_streams() -> None:
    """Give each standard stream that was closed a file: what is opened next must not take its number."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _say(text: str) -> None:
    """Speak on standard error, which git shows to the pusher; what is pushed does not steer their terminal.

    Nobody may be listening any more. That changes no verdict.
    """
    plain = "".join(mark if mark.isprintable() or mark == "\n" else "\N{REPLACEMENT CHARACTER}" for mark in text)
    data = f"{plain}\n".encode()
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(2, data) :]


def _input() -> bytes:
    """Read what git says, and no more of it than could be judged."""
    parts = []
    missing = MAX_INPUT + 1
    while missing and (data := os.read(0, min(missing, 1 << 16))):
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)


class _EndedError(BaseException):
    """Judging has to end here. No `except Exception` on the way shall hold it up."""


class _Watch:
    """End the judging by an exception, so that the log hears of it: when it takes too long, or on a signal."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def start(self) -> None:
        """Watch from now on."""
        for number in (signal.SIGALRM, *_ENDINGS):
            signal.signal(number, self._end)
        # Again each second: an exception that is raised while an object is destroyed gets lost.
        signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT, 1)
        # A thread of C's, which no code that hangs can hold up.
        faulthandler.dump_traceback_later(TIME_LIMIT + _GRACE, exit=True, file=2)

    def _end(self, number: int, _frame: FrameType | None) -> NoReturn:
        if number == signal.SIGALRM:
            self.reason = f"judging took longer than {TIME_LIMIT} s; push less at once"
        else:
            self.reason = f"the hook was ended by {signal.Signals(number).name}; push again"
        raise _EndedError(self.reason)

    def stop(self) -> None:
        """Let what follows, which is short, go on to its end."""
        for number in (signal.SIGALRM, *_ENDINGS):
            signal.signal(number, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _limit_resources(memory: int | None) -> None:
    """Bound this process and those that it starts: memory (None: as it was), no dumps of it, no files for others."""
    import resource

    os.umask(0o077)
    # gitreg's ssh shell limits the processor time of git, not of the judgement, which has a time limit of its own.
    for name, wanted in (("RLIMIT_CORE", 0), ("RLIMIT_DATA", memory), ("RLIMIT_CPU", None)):
        number = getattr(resource, name, None)
        if number is None:
            continue
        with contextlib.suppress(ValueError, OSError):
            _, hard = resource.getrlimit(number)
            limits = [each for each in (wanted, hard) if each is not None and each != resource.RLIM_INFINITY]
            resource.setrlimit(number, (min(limits, default=hard), hard))


class _Push:
    """A push, as far as it is known by now: where it arrives, who pushes and how that is known, what was judged."""

    def __init__(self) -> None:
        self.git_dir = Path.cwd()  # where git runs this hook
        self.data = b""
        self.identity: str | None = None
        self.who: str | None = None
        self.verdict: Verdict | None = None


def pre_receive() -> bool:
    """Judge a push, and log the decision; True accepts it."""
    watch, push = _Watch(), _Push()
    watch.start()
    _limit_resources(MEMORY_LIMIT)
    try:
        verdict = _judge(push)
    except BaseException as error:  # noqa: BLE001 - fail closed, and leave a trace of it
        watch.stop()
        _limit_resources(None)  # to say so must not fail for want of memory
        verdict = _refused(push, error)
    else:
        watch.stop()
        if watch.reason:
            verdict = _refused(push, _EndedError(watch.reason))
    _limit_resources(None)
    _log(push, verdict)
    if verdict.violations == ():
        return True
    _tell(push, verdict.violations)
    return False


def _judge(push: _Push) -> Verdict:
    push.data = _input()
    threading.Thread(target=_import_meanwhile, daemon=True).start()
    from gitreg.git import Repository

    with Repository.open(".", quarantine=True) as repository:
        push.git_dir = repository.git_dir
        repository.objects.start()
        from gitreg.gate_hooks import identity
        from gitreg.gate_hooks.desk import server_desk
        from gitreg.gate_hooks.push import Verdict, judge_push

        push.identity = repository.config(identity.CONFIG)
        push.who = who = identity.actor(repository, os.environ)
        if len(push.data) > MAX_INPUT:
            return _refused_input(push)
        desk = replace(server_desk(repository), scopes=identity.scopes_of(os.environ))
        verdict: Any = judge_push(desk, push.data, who)
        if not isinstance(verdict, Verdict) or not isinstance(verdict.violations, tuple):
            raise TypeError("the gate gave no verdict")
        return verdict


def _import_meanwhile() -> None:
    """Import what judging takes while git's first processes are waited for; whoever needs it says what fails."""
    with contextlib.suppress(ImportError):
        import yaml  # noqa: F401


def _refused_input(push: _Push) -> Verdict:
    from gitreg.gate import Code, Violation
    from gitreg.gate_hooks.push import Verdict

    push.data = b""
    message = f"more than {MAX_INPUT} bytes of ref updates"
    return Verdict((), (Violation(Code.REF_MALFORMED, message, "push fewer refs at once"),))


def _refused(push: _Push, error: BaseException) -> Verdict:
    """Refuse what could not be judged."""
    from gitreg.gate import Code, Violation, parse_updates
    from gitreg.gate_hooks.push import Verdict

    code = Code.ACTOR_UNKNOWN if isinstance(error, DeniedError) else Code.INTERNAL
    if isinstance(error, GitregError | _EndedError):
        violation = Violation(code, str(error))
    elif isinstance(error, MemoryError):
        message = f"judging took more than {MEMORY_LIMIT >> 20} MiB of memory"
        violation = Violation(code, message, "push less at once")
    else:
        violation = Violation(code, f"{type(error).__name__}: {error}", "tell the server's owner")
    return Verdict(tuple(parse_updates(push.data)[0]), (violation,))


def _log(push: _Push, verdict: Verdict) -> None:
    from gitreg.gate_hooks import audit
    from gitreg.reader.history import iso

    signed_by = set(verdict.signers.values())
    entry = audit.Entry(
        iso(int(time.time())),
        push.who or (signed_by.pop() if len(signed_by) == 1 else None),
        verdict.updates,
        verdict.violations,
        audit.source_of(os.environ, push.identity),
        verdict.models,
        verdict.signers,
    )
    audit.append(push.git_dir, entry)


def _outside(push: _Push, text: str) -> str:
    """Take out of a text where things lie on this machine, where whoever pushes has no account on it."""
    from gitreg.gate_hooks import identity
    from gitreg.gate_hooks.whereabouts import may_tell, whereabouts
    from gitreg.git import Repository

    if push.identity == identity.ACCOUNT or not may_tell(text):
        return text
    with Repository.open(push.git_dir) as repository:
        return whereabouts(repository).without(text)


def _tell(push: _Push, violations: Sequence[Violation]) -> None:
    """Tell why a push is refused."""
    count = len(violations)
    _say(f"gitreg: refused: {count} violation{'s' if count != 1 else ''}")
    _say(_outside(push, "\n".join(f"  {violation}" for violation in violations[:_SHOWN])))
    if count > _SHOWN:
        _say(f"  … and {count - _SHOWN} more")


def post_receive() -> bool:
    """Write the deploy tags that are due, and the static index; a failure is told, and made good by the next run."""
    from gitreg.gate_hooks.marks import server_marks, write_marks
    from gitreg.git import Repository

    with Repository.open(".") as repository:
        try:
            if server_marks(repository):
                for ref in write_marks(repository):
                    _say(f"gitreg: marked {ref.removeprefix('refs/tags/')}")
        except GitregError as error:
            _say(f"gitreg: deploy tags are not written yet: {error}; `gitreg mark` on the server makes it good")
        if repository.config("gitreg.indexpublish"):
            _publish(repository)
    return True


def _publish(repository: Repository) -> None:
    """Publish the static index, within a time limit: whoever pushed waits for it."""
    from gitreg.gate_hooks.publishing import publish_index

    signal.signal(signal.SIGALRM, _end_publishing)
    signal.setitimer(signal.ITIMER_REAL, PUBLISH_LIMIT, 1)
    reason = None
    try:
        publish_index(repository)
    except GitregError as error:
        reason = str(error)
    except _EndedError as error:
        reason = str(error)
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
    if reason:
        _say(f"gitreg: the index is not published yet: {reason}; the next push, or `gitreg index publish`, does it")


def _end_publishing(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _EndedError(f"it took longer than {PUBLISH_LIMIT} s")


def pre_commit() -> bool:
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
    return True


def pre_push() -> bool:
    """Judge what is about to go to main, as far as a clone can know."""
    from gitreg.gate import parse_updates, refusal
    from gitreg.gate_hooks.check import check_pushed
    from gitreg.git import Repository
    from gitreg.layout import MAIN

    lines = [line.split() for line in _input().decode("utf-8", "surrogateescape").splitlines()]
    data = "".join(f"{old} {new} {ref}\n" for _, new, ref, old in lines if ref == MAIN)
    if not data:
        return True
    with Repository.open(".") as repository:
        for update in parse_updates(data.encode())[0]:
            if update.deletes or update.creates or repository.objects.info(update.old) is None:
                continue
            violations = check_pushed(repository, update.old, update.new)
            if violations:
                raise refusal(violations, "this push would be refused by the registry")
    return True


_HOOKS = {
    "pre-receive": pre_receive,
    "post-receive": post_receive,
    "pre-commit": pre_commit,
    "pre-push": pre_push,
}
