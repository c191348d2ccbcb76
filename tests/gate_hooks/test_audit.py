"""The log of decisions: what stands in it, and that nothing breaks it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.errors import ConflictError, IntegrityError, UnavailableError
from gitreg.gate import Code, RefUpdate, Violation
from gitreg.gate_hooks import audit
from gitreg.gate_hooks.audit import log as audit_log
from gitreg.gate_hooks.audit.chain import Chain
from gitreg.gate_hooks.audit.entry import MAX_LINE, canonical, plain, unsealed
from gitreg.gate_hooks.audit.result import Findings
from gitreg.resources import resource
from tests.gate.support import pointer_file, version_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.gate_hooks.support import Server

MAIN = "refs/heads/main"
TIME = "2026-01-01T00:00:00Z"
ZERO = "0" * 40


def entry(actor: str | None = "alice", new: str = "b" * 40, ref: str = MAIN, *violations: Violation) -> audit.Entry:
    return audit.Entry(TIME, actor, (RefUpdate("a" * 40, new, ref),), violations, {"identity": "GL_USER"})


def beginning() -> audit.Entry:
    return audit.Entry(TIME, "root", (RefUpdate(ZERO, "a" * 40, MAIN),), (), {"identity": audit.INIT})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A git directory, as far as the log needs one, with a log that was begun."""
    audit.begin(tmp_path, beginning())
    return tmp_path


def lines(folder: Path) -> list[bytes]:
    return audit.audit_path(folder).read_bytes().splitlines()


def rewrite(folder: Path, *kept: bytes) -> None:
    audit.audit_path(folder).write_bytes(b"".join(line + b"\n" for line in kept))


def wrong(folder: Path) -> list[str]:
    """Tell what the chain and the head file say is wrong."""
    findings = Findings()
    with audit_log.locked(folder, shared=True) as files:
        head = audit_log.read_head(files.head)
    chain = Chain(findings, head)
    for number, line in enumerate(lines(folder), 1):
        chain.read(number, line)
    chain.end()
    return [each.message for each in findings.shown]


# What stands in it


def test_decisions_are_chained(folder: Path) -> None:
    first = json.loads(lines(folder)[0])["hash"]
    heads = [audit.append(folder, entry()) for _ in range(3)]

    found = [json.loads(line) for line in lines(folder)]

    assert [each["seq"] for each in found] == [1, 2, 3, 4]
    assert [each["previous"] for each in found] == [audit.GENESIS, first, *heads[:2]]
    assert [each["hash"] for each in found] == [first, *heads]
    assert audit.head(folder) == heads[-1]
    assert audit.position(folder) == 4
    assert wrong(folder) == []


def test_the_hash_is_what_the_documentation_says(folder: Path) -> None:
    audit.append(folder, entry("alice", "b" * 40, MAIN, Violation(Code.FILE_INVALID, 'a "hash":"x" of Zürich 模型')))

    for line in lines(folder):
        members = json.loads(line)
        stated = members.pop("hash")
        text = json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(text.encode()).hexdigest() == stated


@pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed")
def test_jq_and_sha256sum_come_to_the_same_hash(folder: Path) -> None:
    audit.append(
        folder, entry("alice", "b" * 40, MAIN, Violation(Code.FILE_INVALID, 'Zürich\x7f\t"模型"\\ \U0001f600'))
    )
    command = """while read -r line; do
        printf '%s' "$line" | jq -cjS 'del(.hash)' | sha256sum | cut -c 1-64; printf '%s\\n' "$line" | jq -r .hash
    done"""
    out = subprocess.run(
        ["sh", "-c", command], input=b"\n".join([*lines(folder), b""]), capture_output=True, check=True
    )

    found = out.stdout.decode().split()

    assert len(found) == 4
    assert found[::2] == found[1::2]


def test_an_entry_says_who_what_and_from_where(folder: Path) -> None:
    violation = Violation(Code.FILE_INVALID, "unknown field", "remove it", "c" * 40, "models/x.yaml", 7, "licence")
    who = {"b" * 40: "alice"}
    update = RefUpdate("a" * 40, "b" * 40, MAIN)
    source = audit.source_of({"SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22", "GITREG_SESSION": "5e"}, "GITREG_USER")
    audit.append(folder, audit.Entry(TIME, "alice", (update,), (violation,), source, ("risk/fraud",), who))

    found = json.loads(lines(folder)[-1])

    assert {key: found[key] for key in found.keys() - {"hash", "previous"}} == {
        "seq": 2,
        "time": TIME,
        "actor": "alice",
        "source": {"identity": "GITREG_USER", "address": "10.0.0.1", "session": "5e"},
        "updates": [{"ref": MAIN, "old": "a" * 40, "new": "b" * 40}],
        "models": ["risk/fraud"],
        "signers": who,
        "verdict": "refused",
        "violations": [
            {
                "code": "file-invalid",
                "message": "unknown field",
                "remedy": "remove it",
                "commit": "c" * 40,
                "path": "models/x.yaml",
                "line": 7,
                "field": "licence",
            }
        ],
    }


def test_what_is_empty_is_left_out_of_a_violation_and_of_the_source(folder: Path) -> None:
    audit.append(folder, audit.Entry(TIME, None, (), (Violation(Code.INTERNAL, "boom"),), audit.source_of({}, None)))

    found = json.loads(lines(folder)[-1])

    assert (found["actor"], found["source"], found["updates"], found["models"]) == (None, {}, [], [])
    assert found["violations"] == [{"code": "internal", "message": "boom"}]
    assert "signers" not in found


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({"SSH_CONNECTION": "::1 1 ::1 22", "SSH_CLIENT": "10.0.0.9 1 22"}, "::1"),
        ({"SSH_CLIENT": "10.0.0.9 1 22", "REMOTE_ADDR": "10.0.0.8"}, "10.0.0.9"),
        ({"SSH_CONNECTION": "", "REMOTE_ADDR": "10.0.0.8"}, "10.0.0.8"),
        ({"REMOTE_ADDR": "\x1b[31m" + "9" * 500}, "\N{REPLACEMENT CHARACTER}[31m" + "9" * 249 + "…"),
    ],
)
def test_the_address_is_what_the_server_says_and_safe_to_print(environ: dict[str, str], address: str) -> None:
    assert audit.source_of(environ, "REMOTE_USER") == {"identity": "REMOTE_USER", "address": address}


def test_every_text_is_bounded_and_printable(folder: Path) -> None:
    evil = "\x1b[31m\u202e\udcff" + "x" * 10_000
    violation = Violation(Code.FILE_INVALID, evil, evil, evil, evil, 1, evil)
    audit.append(
        folder, audit.Entry(evil, evil, (RefUpdate("a" * 40, "b" * 40, evil),), (violation,), {"x": evil}, (evil,))
    )

    line = lines(folder)[-1]

    assert len(line) < 15_000
    assert line.decode().isprintable()
    assert wrong(folder) == []


def test_more_violations_than_are_kept_are_counted(folder: Path) -> None:
    audit.append(folder, entry("alice", "b" * 40, MAIN, *[Violation(Code.FILE_MODE, "no")] * 10_007))

    found = json.loads(lines(folder)[-1])

    assert (len(found["violations"]), found["omitted"]) == (10_000, 7)


def test_plain_text_is_left_alone() -> None:
    assert plain("Zürich 模型") == "Zürich 模型"
    assert plain("abc", 2) == "a…"


def page() -> str:
    found = resource("schemas").parent / "docs" / "audit.md"
    if not found.is_file():
        pytest.skip("the documentation is not installed")
    return found.read_text()


def test_the_program_in_the_documentation_proves_a_log(folder: Path) -> None:
    program = page().partition("```python\n")[2].partition("```")[0]
    assert 10 < len(program.splitlines()) <= 15
    last = audit.append(folder, entry("alice", "b" * 40, MAIN, Violation(Code.FILE_INVALID, "Zürich")))
    command = [sys.executable, "-c", program, str(audit.audit_path(folder))]

    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"2 {last}\n"
    for old, new in ((b"alice", b"carol"), (b'"seq":1', b'"seq":3')):
        audit.audit_path(folder).write_bytes(b"\n".join(lines(folder)).replace(old, new) + b"\n")
        assert subprocess.run(command, capture_output=True, check=False).returncode == 1


@pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed")
def test_the_lines_in_the_documentation_make_a_head_that_is_missing(folder: Path) -> None:
    lines_of_shell = page().partition("   set -- $(")[2].partition("   ```")[0]
    for _ in range(9):
        audit.append(folder, entry())
    audit.head_path(folder).unlink()
    program = f"set -- $({lines_of_shell}"
    subprocess.run(["sh", "-ec", program], cwd=folder / "gitreg", check=True)

    assert wrong(folder) == []
    assert audit.append(folder, entry())


# Beginning


def test_a_log_begins_once(folder: Path) -> None:
    with pytest.raises(ConflictError, match="already"):
        audit.begin(folder, beginning())

    assert audit.position(folder) == 1


def test_nothing_is_appended_to_no_log(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="no audit log"):
        audit.append(tmp_path, entry())

    assert audit.head(tmp_path) is None
    assert audit.position(tmp_path) == 0
    assert not audit.decided(tmp_path, "5e", 0)
    assert audit.actors_of(tmp_path, ["b" * 40]) == {}


@pytest.mark.parametrize("name", ["audit.jsonl", "audit.head"])
def test_a_log_that_lost_one_of_its_files_takes_nothing_and_is_not_begun_anew(folder: Path, name: str) -> None:
    (folder / "gitreg" / name).unlink()

    for write in (audit.append, audit.begin):
        with pytest.raises(IntegrityError, match=f"{name} is gone.*audit verify"):
            write(folder, beginning())
    assert not (folder / "gitreg" / name).exists()


@pytest.mark.parametrize(("shared", "mode"), [(0o755, 0o640), (0o775, 0o660), (0o700, 0o640)])
def test_the_log_is_writable_for_whom_the_repository_is(tmp_path: Path, shared: int, mode: int) -> None:
    tmp_path.chmod(shared)
    before = os.umask(0o077)
    try:
        audit.begin(tmp_path, beginning())
    finally:
        os.umask(before)

    for path in (audit.audit_path(tmp_path), audit.head_path(tmp_path)):
        assert stat.S_IMODE(path.stat().st_mode) == mode


# Kills and faults, at each step


class KilledError(BaseException):
    """What comes of SIGKILL: nothing that would tidy up is run."""


def broken(patch: pytest.MonkeyPatch, step: int, error: Callable[[], BaseException], *, half: bool) -> list[str]:
    """Let the nth call that writes fail, after half of the work or before it; give the calls that were made."""
    calls: list[str] = []

    def faulty(name: str) -> None:
        real = getattr(os, name)

        def call(fd: int, *args: Any) -> Any:  # noqa: ANN401 - of any of them
            calls.append(name)
            if len(calls) - 1 != step:
                return real(fd, *args)
            if half and name == "pwrite":
                real(fd, args[0][: len(args[0]) // 2], args[1])
            elif half:
                real(fd, *args)
            raise error()

        patch.setattr(os, name, call)

    for name in ("pwrite", "fsync", "ftruncate"):
        faulty(name)
    return calls


STEPS = ["pwrite", "fsync", "pwrite"]


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("step", range(len(STEPS)))
def test_a_kill_at_any_step_leaves_a_log_that_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: int, half: bool
) -> None:
    audit.append(folder, entry("alice", "1" * 40))
    with monkeypatch.context() as patch:
        calls = broken(patch, step, KilledError, half=half)
        with pytest.raises(KilledError):
            audit.append(folder, entry("bob", "2" * 40))
    assert calls == STEPS[: step + 1]

    audit.append(folder, entry("carol", "3" * 40))

    actors = [json.loads(line)["actor"] for line in lines(folder)]
    # Once the line is whole it stands, whether or not anybody was answered.
    logged = ["bob"] if step else []
    assert actors == ["root", "alice", *logged, "carol"]
    assert wrong(folder) == []


def test_a_kill_between_the_line_and_its_head_is_no_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        broken(patch, STEPS.index("fsync"), KilledError, half=True)
        with pytest.raises(KilledError):
            audit.append(folder, entry("bob"))

    assert audit.position(folder) == 2
    assert wrong(folder) == []


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("step", range(len(STEPS)))
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_fault_at_any_step_refuses_and_leaves_a_log_that_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: int, half: bool, number: int
) -> None:
    with monkeypatch.context() as patch:
        broken(patch, step, lambda: OSError(number, os.strerror(number)), half=half)
        with pytest.raises(UnavailableError, match="cannot be written"):
            audit.append(folder, entry("bob"))
    assert wrong(folder) == []

    audit.append(folder, entry("carol"))

    assert json.loads(lines(folder)[-1])["actor"] == "carol"
    assert wrong(folder) == []


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("step", range(6))
def test_a_beginning_that_is_killed_is_made_good_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, half: bool
) -> None:
    with monkeypatch.context() as patch:
        calls = broken(patch, step, KilledError, half=half)
        with pytest.raises(KilledError):
            audit.begin(tmp_path, beginning())
    assert len(calls) == step + 1

    try:
        audit.begin(tmp_path, beginning())
    except ConflictError:
        assert calls.count("fsync") > 1  # the entry was there

    assert audit.position(tmp_path) == 1
    assert wrong(tmp_path) == []
    audit.append(tmp_path, entry())


def test_half_a_line_gives_way_to_the_next_decision(folder: Path) -> None:
    with audit.audit_path(folder).open("ab") as file:
        file.write(b'{"actor":"bob","hash":"12' + b"\0" * 100_000)

    audit.append(folder, entry("carol"))

    assert [json.loads(line)["actor"] for line in lines(folder)] == ["root", "carol"]
    assert wrong(folder) == []


def test_one_torn_slot_of_the_head_does_no_harm(folder: Path) -> None:
    for _ in range(3):
        audit.append(folder, entry())
        data = audit.head_path(folder).read_bytes()
        assert len(data) == audit_log.HEAD_SIZE
        newest = audit.position(folder) % 2 * (len(data) // 2)
        audit.head_path(folder).write_bytes(data[:newest] + b"\0" * 40 + data[newest + 40 :])
        assert wrong(folder) == []

    audit.append(folder, entry())

    assert audit.position(folder) == 5


def test_a_head_of_some_time_ago_is_caught_up(folder: Path) -> None:
    old = audit.head_path(folder).read_bytes()
    for _ in range(5):
        audit.append(folder, entry())
    audit.head_path(folder).write_bytes(old)
    assert wrong(folder) == []

    audit.append(folder, entry())

    assert b"%020d" % 7 in audit.head_path(folder).read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes file systems")
def test_a_disk_that_is_really_full_refuses_and_leaves_the_log_whole(server: Server, tmp_path: Path) -> None:
    place = server.path / "gitreg"
    kept = tmp_path / "kept"
    shutil.copytree(place, kept)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("this machine mounts nothing")
    try:
        shutil.copytree(kept, place, dirs_exist_ok=True)
        (place / "filler").write_bytes(b"x" * (os.statvfs(place).f_bavail * os.statvfs(place).f_frsize))
        # The page that holds the end of the log has room left for some lines.
        assert any("No space left" in server.hook(b"garbage\n").said for _ in range(30))
        before = server.tip()
        pushed = server.push("alice", version_file("1.1.0"))
        assert not pushed.accepted
        assert "No space left" in pushed.said
        assert server.tip() == before
        assert wrong(server.path) == []
        (place / "filler").unlink()
        assert server.push("alice", version_file("1.1.0")).accepted
        assert wrong(server.path) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


FULL = """
import resource, sys
from pathlib import Path
from gitreg.errors import UnavailableError
from gitreg.gate import RefUpdate
from gitreg.gate_hooks import audit
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
count = 0
try:
    while True:
        audit.append(folder, audit.Entry("2026-01-01T00:00:00Z", "bob", (RefUpdate("a" * 40, "b" * 40, "x"),), ()))
        count += 1
except UnavailableError as error:
    print(count, error.message)
"""


@pytest.mark.parametrize("size", [1000, 1024, 1500, 4096])
def test_a_file_that_may_not_grow_refuses_and_keeps_what_is_whole(folder: Path, size: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(folder), str(size)], capture_output=True, text=True, check=True
    )

    count, _, message = done.stdout.partition(" ")
    assert "File too large" in message
    assert audit.position(folder) == 1 + int(count)
    assert audit.audit_path(folder).stat().st_size <= size
    assert wrong(folder) == []
    audit.append(folder, entry())


# What is refused


def links(path: Path) -> None:
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere"))


def replaced_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def given_away(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(path, 12345, -1)


@pytest.mark.parametrize("name", ["audit.jsonl", "audit.head"])
@pytest.mark.parametrize("how", [links, replaced_by_a_pipe, replaced_by_a_folder, given_away])
def test_a_file_that_is_not_the_registry_s_own_takes_nothing(
    folder: Path, name: str, how: Callable[[Path], None]
) -> None:
    how(folder / "gitreg" / name)

    for write in (audit.append, audit.begin):
        with pytest.raises(IntegrityError, match=r"regular file|belongs to the account"):
            write(folder, beginning())
    assert audit.head_path(folder).exists()


def test_a_log_of_the_repository_s_owner_is_taken_by_everybody_who_may_write(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = folder.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 4711)

    audit.append(folder, entry())


def test_a_folder_that_may_not_be_written_refuses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def denied(path: Any, flags: int, *args: int) -> int:  # noqa: ANN401 - a path of any kind
        if flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, *args)

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(UnavailableError, match="Permission denied"):
        audit.append(folder, entry())


def test_a_log_that_was_cut_takes_nothing_and_says_what_to_do(folder: Path) -> None:
    audit.append(folder, entry())
    audit.append(folder, entry("eve", "c" * 40, MAIN, Violation(Code.ACCESS_DENIED, "no")))
    rewrite(folder, *lines(folder)[:2])

    with pytest.raises(IntegrityError, match=r"ends at entry 2, and audit.head knows of 3.*audit verify"):
        audit.append(folder, entry())

    assert len(lines(folder)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: line.replace(b"bob", b"eve"), "was altered"),
        (lambda _: b"garbage", "is no entry"),
        (lambda _: b"[]", "is no entry"),
        (lambda line: line.replace(b'"seq"', b' "seq"'), "not written as gitreg writes it"),
        (lambda line: b'{"actor":"eve",' + line[1:], "not written as gitreg writes it"),
    ],
)
def test_a_last_line_that_was_altered_stops_everything(
    folder: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    audit.append(folder, entry("bob"))
    *rest, last = lines(folder)
    rewrite(folder, *rest, change(last))

    with pytest.raises(IntegrityError, match=message):
        audit.append(folder, entry())


def test_a_log_that_was_rewritten_takes_nothing(folder: Path) -> None:
    audit.append(folder, entry("bob"))
    other = folder / "other"
    (other / "gitreg").mkdir(parents=True)
    audit.begin(other, beginning())
    audit.append(other, entry("eve"))
    shutil.copy(audit.audit_path(other), audit.audit_path(folder))

    with pytest.raises(IntegrityError, match="cut or altered"):
        audit.append(folder, entry())


def test_lines_put_behind_the_head_must_be_of_the_chain(folder: Path) -> None:
    old = audit.head_path(folder).read_bytes()
    audit.append(folder, entry("bob"))
    audit.append(folder, entry("carol"))
    audit.head_path(folder).write_bytes(old)
    one, _, three = lines(folder)
    rewrite(folder, one, three)

    with pytest.raises(IntegrityError, match=r"chain is broken|cut or altered"):
        audit.append(folder, entry())


@pytest.mark.parametrize("data", [b"", b"\0" * 172, b"x" * 173])
def test_a_head_that_cannot_be_read_takes_nothing(folder: Path, data: bytes) -> None:
    audit.head_path(folder).write_bytes(data)

    with pytest.raises(IntegrityError, match=r"audit\.head is damaged"):
        audit.append(folder, entry())


def test_an_entry_longer_than_one_read_is_followed(folder: Path) -> None:
    audit.append(folder, entry("alice", "b" * 40, MAIN, *[Violation(Code.FILE_INVALID, "x" * 1900)] * 500))
    audit.append(folder, entry())

    assert audit.position(folder) == 3
    assert wrong(folder) == []


def test_a_line_is_not_read_whole_without_bounds(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no entry"):
        unsealed(b"[" * 100_000)
    assert MAX_LINE < 1 << 30


# The lock


def test_decisions_at_once_make_one_chain(folder: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: audit.append(folder, entry()), range(60)))

    assert audit.position(folder) == 61
    assert wrong(folder) == []


def test_a_log_that_stays_locked_refuses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "LOCK_PATIENCE", 0.05)
    with audit.audit_path(folder).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UnavailableError, match="locked"):
            audit.append(folder, entry())

    audit.append(folder, entry())


@pytest.mark.parametrize("is_new", [True, False])
def test_a_log_that_is_replaced_while_one_waits_for_it_is_opened_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, is_new: bool
) -> None:
    path = audit.audit_path(folder)
    real, moved = fcntl.flock, list[object]()

    def replaced(fd: int, kind: int) -> None:
        real(fd, kind)
        if not moved:
            moved.append(path.rename(path.with_suffix(".old")))
            if is_new:
                shutil.copy(path.with_suffix(".old"), path)

    monkeypatch.setattr(fcntl, "flock", replaced)
    if is_new:
        audit.append(folder, entry())
        assert audit.position(folder) == 2
    else:
        with pytest.raises(IntegrityError, match="is gone"):
            audit.append(folder, entry())
    assert len(path.with_suffix(".old").read_bytes().splitlines()) == 1


# What others ask it


def test_who_pushed_is_read_from_accepted_pushes_of_main(folder: Path) -> None:
    one, two, three = "1" * 40, "2" * 40, "3" * 40
    audit.append(folder, entry("alice", one))
    audit.append(folder, entry("eve", two, MAIN, Violation(Code.ACCESS_DENIED, "no")))
    audit.append(folder, entry("eve", one, "refs/heads/proposals/eve/x"))
    audit.append(folder, entry(None, three))

    assert audit.actors_of(folder, [one, two, three]) == {one: "alice"}


def test_who_signed_comes_before_who_pushed(folder: Path) -> None:
    one, two = "1" * 40, "2" * 40
    signers = {one: "carol", two: "dana"}
    audit.append(folder, audit.Entry(TIME, "alice", (RefUpdate("a" * 40, two, MAIN),), (), {}, (), signers))

    assert audit.actors_of(folder, [one, two, "3" * 40]) == signers


def test_damage_hides_nobody_newer(folder: Path) -> None:
    audit.append(folder, entry("alice", "1" * 40))
    audit.append(folder, entry("bob", "2" * 40))
    rewrite(folder, b"garbage", lines(folder)[-1])

    assert audit.actors_of(folder, ["1" * 40, "2" * 40]) == {"2" * 40: "bob"}


def test_whether_a_session_was_decided_is_asked_of_newer_entries_alone(folder: Path) -> None:
    def by(session: str) -> audit.Entry:
        return audit.Entry(TIME, "alice", (), (Violation(Code.INTERNAL, "no"),), {"session": session})

    audit.append(folder, by("old"))
    since = audit.position(folder)
    audit.append(folder, by("mine"))
    audit.append(folder, by("another's"))

    assert audit.decided(folder, "mine", since)
    assert not audit.decided(folder, "old", since)
    assert not audit.decided(folder, "mine", since + 1)
    assert not audit.decided(folder, "none", 0)


# By the hook


def test_every_decision_is_logged_refused_ones_too(server: Server) -> None:
    assert server.push("alice", version_file("1.1.0")).accepted
    server.push("bob", version_file("1.2.0"))
    server.push("Nobody", version_file("1.2.0"))
    server.hook(b"garbage\n", "root")

    found = server.log()

    assert [(each["actor"], each["verdict"]) for each in found] == [
        ("alice", "accepted"),
        ("bob", "refused"),
        (None, "refused"),
        ("root", "refused"),
    ]
    assert found[0]["updates"][0]["new"] == server.tip()
    assert found[0]["source"]["identity"] == "GL_USER"
    assert [each["models"] for each in found[:2]] == [["risk/fraud"], ["risk/fraud"]]
    violation = found[1]["violations"][0]
    assert (violation["code"], violation["path"]) == ("access-denied", "models/risk/fraud/1.2.0.yaml")
    assert violation["message"].startswith("bob may not register")
    assert found[2]["violations"][0]["code"] == "actor-unknown"
    assert wrong(server.path) == []


def test_a_deploy_tag_anchors_the_head_of_the_chain(server: Server) -> None:
    server.push("bob", version_file("1.2.0"))
    assert server.push("bob", pointer_file("1.0.0")).accepted

    assert server.trailers("deploy/staging/risk/fraud/1")["Audit"] == audit.head(server.path)


def test_a_registry_whose_log_was_deleted_takes_no_push(server: Server) -> None:
    audit.audit_path(server.path).unlink()
    audit.head_path(server.path).unlink()

    pushed = server.push("alice", version_file("1.1.0"))

    assert not pushed.accepted
    assert "doctor --fix" in pushed.said


def test_canonical_form_is_sorted_and_without_spaces() -> None:
    assert canonical({"b": [1, {"d": None, "c": "ü"}], "a": True}) == '{"a":true,"b":[1,{"c":"ü","d":null}]}'.encode()
