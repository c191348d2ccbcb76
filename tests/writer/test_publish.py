"""Writing while others write, while the line breaks, and while processes are killed."""

from __future__ import annotations

import difflib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from gitreg.errors import ConflictError, DeniedError, InvalidError, UnavailableError
from gitreg.git import Repository, refs, remote
from gitreg.registry import Mode, open_registry
from gitreg.writer import Plan, Target
from gitreg.writer.publish import MOST_COMPARED, diff_text, publish
from tests.registries import MAIN, git, request, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gitreg.git.remote import PushResult
    from gitreg.reader import Snapshot
    from gitreg.registry import Registry
    from tests.registries import Forge, Opener

KILLED_WHILE = """\
import os, signal, sys
from gitreg.registry import Mode, open_registry
from gitreg.writer import Target
from tests.registries import request

def die(*_args, **_options):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(Target, sys.argv[2], die)
open_registry(sys.argv[1]).register(request(version="3.0.0"), Mode())
"""


def _first(monkeypatch: pytest.MonkeyPatch, action: object, *, then_push: bool = True) -> list[str]:
    """Let something happen right before the first push of this process."""
    real, calls = Target.push, []

    def push(self: Target, oid: str, ref: str, old: str | None) -> list[str] | None:
        calls.append(oid)
        if len(calls) == 1:
            monkeypatch.setattr(Target, "push", real)
            assert callable(action)
            action()
            monkeypatch.setattr(Target, "push", push)
        return real(self, oid, ref, old) if then_push else None

    monkeypatch.setattr(Target, "push", push)
    return calls


def test_a_commit_is_built_again_where_another_writer_was_first(
    forge: Forge, opened: Opener, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = open_registry(forge.repository(place))
    # The other one's turn must not wait for ours, which is under way.
    monkeypatch.setattr(Target, "turn", _no_turn)
    calls = _first(monkeypatch, lambda: other.register(request(bump="minor", metrics={"other": 1})))
    written = opened(place).register(request(bump="minor", metrics={"mine": 1}))
    assert written.subject == "Register risk/fraud 2.1.0"
    assert calls[0] != written.commit == forge.tip(place)
    metrics = [row.metrics for row in other.versions("risk/fraud")[:2]]
    assert metrics == [{"mine": 1}, {"other": 1}]


def _no_turn(_self: Target) -> object:
    import contextlib

    return contextlib.nullcontext()


def test_the_version_that_another_writer_took_is_a_conflict(
    forge: Forge, bare: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = open_registry(forge.bare)
    monkeypatch.setattr(Target, "turn", _no_turn)
    _first(monkeypatch, lambda: other.register(request(version="3.0.0", metrics={"other": 1})))
    with pytest.raises(
        ConflictError, match=r"risk/fraud@3\.0\.0 exists, registered .* by Test User; the next one is 3\.0\.1"
    ):
        bare.register(request(version="3.0.0"))
    assert bare.show("risk/fraud@3.0.0").manifest.metrics == {"other": 1}


def test_a_rollback_goes_back_from_what_another_writer_deployed(
    forge: Forge, bare: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = open_registry(forge.bare)
    monkeypatch.setattr(Target, "turn", _no_turn)
    _first(monkeypatch, lambda: other.deploy("risk/fraud@2.0.0-rc.1", "staging"))
    written = bare.rollback("risk/fraud", "staging")
    assert written.subject == "Roll back risk/fraud to 1.1.0 in staging"


def test_a_main_that_keeps_moving_ends_in_a_conflict(bare: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitreg.writer.publish.PATIENCE", 0.0)
    monkeypatch.setattr(Target, "push", lambda *_: None)
    with pytest.raises(ConflictError, match="main kept moving for 0 s; nothing was changed"):
        bare.alias("risk/fraud@1.0.0", "champion")


@pytest.mark.parametrize("propose", [False, True])
@pytest.mark.parametrize("place", ["bare", "clone", "mirror"])
def test_a_client_cut_off_after_the_server_accepted_finds_that_out(
    forge: Forge, opened: Opener, place: str, propose: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = remote.push

    def cut_off(repository: Repository, url: str, updates: Mapping[str, tuple[str | None, str | None]]) -> PushResult:
        assert real(repository, url, updates).accepted
        raise UnavailableError("the remote end hung up")

    registry = opened(place)
    monkeypatch.setattr(remote, "push", cut_off)
    written = registry.alias("risk/fraud@1.0.0", "champion", Mode(propose=propose))
    assert git(forge.bare, "rev-parse", written.ref) == written.commit
    monkeypatch.undo()


def test_a_client_cut_off_before_changes_nothing(
    forge: Forge, opened: Opener, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> PushResult:
        raise UnavailableError("the remote end hung up")

    registry = opened(place)
    before = state_of(forge.repository(place))
    monkeypatch.setattr(remote, "push", cut_off)
    monkeypatch.setattr(refs, "update", cut_off)
    with pytest.raises(UnavailableError, match="hung up"):
        registry.alias("risk/fraud@1.0.0", "champion")
    assert state_of(forge.repository(place)) == before


@pytest.mark.parametrize("step", ["write", "push", "arrived"])
def test_a_killed_client_leaves_the_registry_unchanged_or_complete(
    forge: Forge, opened: Opener, place: str, step: str
) -> None:
    before = forge.tip(place)
    script = forge.folder / "killed.py"
    script.write_text(KILLED_WHILE)
    process = subprocess.run(
        [sys.executable, script, forge.place(place), step],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    commits = git(forge.repository(place), "rev-list", f"{before}..{MAIN}").split()
    assert len(commits) == (1 if step == "arrived" else 0)
    assert not [path for path in forge.folder.rglob("*.lock") if path.name != "marks.lock"]
    registry = opened(place)
    assert registry.alias("risk/fraud@1.0.0", "champion").commit == forge.tip(place)
    git(forge.repository(place), "fsck", "--strict", "--no-dangling")


def test_another_writers_turn_is_waited_for(forge: Forge, bare: Registry) -> None:
    script = (
        "import sys, time\n"
        "from gitreg.registry import open_registry\n"
        "with open_registry(sys.argv[1]).target.turn():\n"
        "    print('mine', flush=True)\n"
        "    time.sleep(0.5)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, forge.bare], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        start = time.monotonic()
        bare.alias("risk/fraud@1.0.0", "champion")
        assert time.monotonic() - start > 0.4


def test_where_there_is_no_place_for_a_queue_writes_go_on(
    forge: Forge, bare: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").touch()
    monkeypatch.setenv("GITREG_CACHE", str(Path("file").absolute()))
    assert bare.alias("risk/fraud@1.0.0", "champion").commit == forge.tip()


@pytest.mark.parametrize("user", ["alice", "mallory", "Not A Name", ""])
@pytest.mark.parametrize("place", ["bare", "clone", "mirror"])
def test_a_refusal_by_the_server_has_the_class_of_its_codes(
    forge: Forge, opened: Opener, place: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GL_USER", user)
    before = state_of(forge.bare)
    with pytest.raises(DeniedError) as refused:
        opened(place).deploy("risk/fraud@1.0.0", "staging")
    assert refused.value.message == "the registry refused the push"
    code = "[access-denied]" if user == "alice" else "[actor-unknown]"
    assert str(refused.value.problems[0]).startswith(code)
    assert state_of(forge.bare) == before


def test_a_plan_that_breaks_the_rules_is_refused_before_a_commit_is_written(forge: Forge, bare: Registry) -> None:
    def planner(_: Snapshot) -> Plan:
        return Plan(edits={"models/risk/fraud/1.0.0.yaml": None, "registry.yaml": b"kind: No\n"}, subject="Break")

    with pytest.raises(InvalidError) as refused:
        publish(bare.target, planner, Mode())
    said = str(refused.value)
    assert all(code in said for code in ("[version-removed]", "[policy-mixed]", "[file-invalid]"))
    assert forge.tip() == bare.snapshot().commit


class _Files(dict[str, bytes]):
    """Files in the place of a snapshot's."""

    def read(self, path: str) -> bytes | None:
        return self.get(path)


def _show(files: Mapping[str, bytes], **edits: bytes | None) -> str:
    return diff_text(edits, cast("Snapshot", _Files(files)))


def test_a_plan_of_few_lines_is_compared_line_by_line() -> None:
    before = b"".join(b"%d\n" % number for number in range(MOST_COMPARED // 2))
    shown = _show({"a": before, "b": b"gone\n"}, a=before.replace(b"\n500\n", b"\nx\n"), b=None)
    assert shown == (
        "--- a/a\n+++ b/a\n@@ -498,7 +498,7 @@\n 497\n 498\n 499\n-500\n+x\n 501\n 502\n 503\n"
        "--- a/b\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n"
    )


def test_a_plan_of_many_lines_is_shown_without_being_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = list[int]()
    unified_diff = difflib.unified_diff

    def counting(old: list[str], new: list[str], before: str, after: str) -> Iterator[str]:
        compared.append(len(old) * len(new))
        return unified_diff(old, new, before, after)

    monkeypatch.setattr("gitreg.writer.publish.difflib.unified_diff", counting)
    half = MOST_COMPARED // 2
    files = {"a": b"x\n" * half, "b": b"y\n" * half, "c": b"z\n"}
    shown = _show(files, a=b"y\n" * half, b=b"x\n", c=b"z\n", d=b"w\n")
    assert sum(compared) == half * half
    assert f"--- a/b\n+++ b/b\n@@ -1,{half} +1,1 @@\n" + "-y\n" * half + "+x\n--- /dev/null\n" in shown
    assert "/c" not in shown


def test_a_messages_trailers_stay_on_one_line() -> None:
    plan = Plan(edits={}, subject="Deploy", body="Why", trailers={"Reason": "a\nb  c", "Action": ""})
    assert plan.message == "Deploy\n\nWhy\n\nReason: a b c\n"


def test_a_dry_run_judges_for_the_user_who_is_named_by_hand(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GL_USER", "dana")
    with open_registry(forge.bare) as registry:
        own = registry.deploy("vision/ocr@0.1.0", "staging", Mode(dry_run=True))
        named = registry.deploy("vision/ocr@0.1.0", "staging", Mode(dry_run=True, user="root"))
    assert [each.code for each in own.violations] == ["access-denied"]
    assert named.violations == ()


def test_a_user_who_is_named_by_hand_is_still_whom_the_server_sees(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GL_USER", "dana")
    before = state_of(forge.bare)
    with open_registry(forge.bare) as registry, pytest.raises(DeniedError):
        registry.deploy("vision/ocr@0.1.0", "staging", Mode(user="root"))
    assert state_of(forge.bare)[0] == before[0]
