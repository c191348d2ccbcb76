from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from gitreg.errors import InvalidError, NotFoundError, UnavailableError
from gitreg.scan import Format, inspect_files, sandbox
from gitreg.scan.inspection import Inspection
from tests.scan.samples import FILES, GOOD, inspected, tarred, zipped
from tests.scan.test_pickles import ARRAYS, BAD, EVIL, TORCH, called, saved

SRC = str(Path(sandbox.__file__).parents[2])


# Everything that is read, so that the filter of system calls is shown to leave what every parser needs.
EVERY = {
    **GOOD,
    "lambda.h5": (FILES / "lambda.h5").read_bytes(),
    "link.h5": (FILES / "link.h5").read_bytes(),
    "model.pt": TORCH,
    "script.pt": zipped({"m/data.pkl": pickle.dumps({}), "m/constants.pkl": pickle.dumps(()), "m/code/a.py": b""}),
    "model.pkl": pickle.dumps({"w": 1}),
    "unknown.pkl": called("package", "Model"),  # for picklescan's list
    "arrays.joblib": saved(ARRAYS),
    **{f"{how}.joblib": saved(ARRAYS, compress=(how, 3)) for how in ("zlib", "gzip", "bz2", "xz", "lzma")},
    "objects.npz": BAD["objects.npz"],
    "model.tar.bz2": tarred({"model.gguf": GOOD["model.gguf"]}, "w:bz2"),
    "model.tar.xz": tarred({"a.zip": zipped({"model.pkl": EVIL})}, "w:xz"),
    "config.json": b"{}",
    "config.yaml": b"a: 1\n",
    "card.md": b"# card\n",
    "empty": b"",
}


def test_a_process_of_its_own_finds_what_the_library_finds(tmp_path: Path) -> None:
    for name, data in EVERY.items():
        (tmp_path / name).write_bytes(data)
    heard: list[str] = []
    found = inspect_files([(tmp_path / name, name) for name in EVERY], told=heard.append)
    assert found == tuple(inspected(data, name) for name, data in EVERY.items())
    assert heard == list(EVERY)
    assert {each.format for each in found} == set(Format)


def test_a_file_that_takes_too_long_is_stopped_and_the_others_are_inspected(tmp_path: Path) -> None:
    slow, sound = tmp_path / "slow.pkl", tmp_path / "model.onnx"
    slow.write_bytes(b"\x80\x02" + b"N0" * 9_000_000 + b"N.")
    sound.write_bytes(GOOD["model.onnx"])
    with sandbox.Inspector() as inspector:
        assert inspector.inspect([(sound, "m")])[0].problem is None  # the process has started
        (stopped,) = inspector.inspect([(slow, "slow.pkl")], seconds=1)
        (found,) = inspector.inspect([(sound, "m")])
    assert stopped.problem == "its headers take more than 1 s to read"
    assert stopped.format == Format.PICKLE
    assert found.problem is None


def test_a_file_whose_headers_need_too_much_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.joblib"
    path.write_bytes(zlib.compress(pickle.dumps(bytes(64 << 20))))
    little = (
        "import sys; sys.path[:] = sys.argv[1:]; from gitreg.scan import child, confine; confine.MEMORY = 64 << 20; "
    )
    monkeypatch.setattr(sandbox, "_START", little + "child.main()")
    (found,) = inspect_files([(path, "big.joblib")], seconds=60)
    assert found.format == Format.JOBLIB
    assert found.problem == "its headers take more memory than they may"


def test_a_name_of_any_bytes_is_inspected(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\n.onnx")
    path.write_bytes(GOOD["model.onnx"])
    (found,) = inspect_files([(path, path.name)])
    assert (found.path, found.problem) == (path.name, None)


def test_a_process_that_is_ended_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(GOOD["model.onnx"])
    monkeypatch.setattr(sandbox, "_START", "import os, sys; sys.stdin.readline(); os.abort()")
    (found,) = inspect_files([(path, "model.onnx")])
    assert found.problem == "the process that read it was ended by signal SIGABRT"
    monkeypatch.setattr(
        sandbox, "_START", "import sys; sys.stdin.readline(); print('nonsense', flush=True); sys.stdin.read()"
    )
    (found,) = inspect_files([(path, "model.onnx")])
    assert found.problem == "the process that read it did not say what it found"


def test_no_python_to_start_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(GOOD["model.onnx"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    with pytest.raises(UnavailableError, match="cannot start the process that inspects files"):
        inspect_files([(path, "model.onnx")])


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("", "pipe"):
        with pytest.raises(InvalidError, match="not a regular file"):
            inspect_files([(tmp_path / name, "x")])
    with pytest.raises(NotFoundError, match="missing' does not exist"):
        inspect_files([(tmp_path / "missing", "x")])


FORBIDDEN = """
import ctypes, errno, fcntl, json, os, signal, socket, sys, termios
sys.path.insert(0, sys.argv[1])
from gitreg.scan.confine import confine
libc, victim, parent = ctypes.CDLL(None, use_errno=True), sys.argv[2], os.getppid()
held, (_, terminal) = os.open(victim, os.O_RDONLY), os.openpty()
name, other = os.fsencode(victim), os.fsencode(victim + "-other")
limits, buffer = ctypes.create_string_buffer(b"\\xff" * 16), ctypes.create_string_buffer(4096)
termios.tcgetattr(terminal)
confine()
def outcome(function):
    try:
        function()
        return "done"
    except (OSError, MemoryError, termios.error) as error:
        return type(error).__name__ if not isinstance(error, termios.error) else errno.errorcode[error.args[0]]
def called(function, *arguments):
    def call():
        if getattr(libc, function)(*arguments) == -1:
            raise OSError(ctypes.get_errno(), function)
    return call
def sent():
    os.pidfd_open(parent)
said = {
    "read": outcome(lambda: open(os.__file__).close()),
    "memory": outcome(lambda: bytearray(3 << 30)),
    "write": outcome(lambda: open(victim, "w")),
    "append": outcome(lambda: os.open(victim, os.O_RDWR)),
    "truncate at open": outcome(lambda: os.open(victim, os.O_RDONLY | os.O_TRUNC)),
    "create": outcome(lambda: os.open(victim + "-other", os.O_RDONLY | os.O_CREAT)),
    "unlink": outcome(lambda: os.unlink(victim)),
    "rename": outcome(lambda: os.rename(victim, victim + "-other")),
    "link": outcome(lambda: os.link(victim, victim + "-other")),
    "symlink": outcome(lambda: os.symlink(victim, victim + "-other")),
    "mkdir": outcome(lambda: os.mkdir(victim + "-other")),
    "mkfifo": outcome(lambda: os.mkfifo(victim + "-other")),
    "chmod": outcome(lambda: os.chmod(victim, 0o777)),
    "fchmod": outcome(lambda: os.fchmod(held, 0o777)),
    "fchown": outcome(lambda: os.fchown(held, 1, 1)),
    "utime": outcome(lambda: os.utime(victim, (1, 1))),
    "futimens": outcome(lambda: os.utime(held, (1, 1))),
    "utimes": outcome(called("utimes", name, None)),
    "setxattr": outcome(lambda: os.setxattr(victim, "user.x", b"1")),
    "fsetxattr": outcome(lambda: os.setxattr(held, "user.x", b"1")),
    "fremovexattr": outcome(lambda: os.removexattr(held, "user.x")),
    "ftruncate": outcome(lambda: os.ftruncate(held, 0)),
    "terminal": outcome(lambda: fcntl.ioctl(terminal, termios.TIOCSTI, b"x")),
    "terminal's settings": outcome(lambda: termios.tcgetattr(terminal)),
    "write to a terminal": outcome(lambda: os.write(terminal, b"x")),
    "socket": outcome(socket.socket),
    "socketpair": outcome(socket.socketpair),
    "pipe": outcome(os.pipe),
    "fork": outcome(os.fork),
    "exec": outcome(lambda: os.execv(sys.executable, ["python"])),
    "kill": outcome(lambda: os.kill(parent, 0)),
    "queue a signal": outcome(called("sigqueue", parent, 0, None)),
    "pidfd": outcome(sent) if hasattr(os, "pidfd_open") else "PermissionError",
    "prlimit": outcome(called("prlimit", parent, 7, limits, None)),
    "own limits": outcome(called("prlimit", 0, 7, limits, None)),
    "ptrace": outcome(called("ptrace", 16, parent, None, None)),
    "read memory": outcome(called("process_vm_readv", parent, buffer, 1, buffer, 1, 0)),
    "priority": outcome(called("setpriority", 0, parent, 5)),
    "owner of a file's signals": outcome(lambda: fcntl.fcntl(held, fcntl.F_SETOWN, parent)),
    "lock": outcome(lambda: fcntl.flock(held, fcntl.LOCK_SH)),
    "memory that is shared": outcome(called("shmget", 5, 4096, 0o1600)),
    "file in memory": outcome(called("memfd_create", b"x", 0)),
    "session": outcome(os.setsid),
    "root": outcome(lambda: os.chroot("/")),
    "user": outcome(lambda: os.setuid(os.getuid())),
    "mount": outcome(called("mount", name, name, None, 4096, None)),
    "namespaces": outcome(called("unshare", 0x10000000)),
    "other calls": outcome(called("syscall", 425, 1, buffer)),  # io_uring_setup
}
print(json.dumps(said))
"""


SECRETS = (".ssh/id", ".aws/credentials", ".netrc", "model", "a/b")
HIDDEN = """
import json, os, pwd, sys
home, *names = sys.argv[1:]
pwd.getpwuid = lambda _number: type("entry", (), {"pw_dir": home})
from gitreg.scan.confine import confine
paths = {"parent": f"/proc/{os.getppid()}/environ", "self": "/proc/self/maps"}
paths |= {name: f"{home}/{name}" for name in names}
confine()
def outcome(path):
    try:
        os.close(os.open(path, os.O_RDONLY))
        return "opened"
    except PermissionError:
        return "hidden"
print(json.dumps({name: outcome(path) for name, path in paths.items()}))
"""


def _has_landlock() -> bool:
    import ctypes

    return sys.platform == "linux" and bool(ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1) > 0)


@pytest.mark.skipif(not _has_landlock(), reason="this kernel has no Landlock")
def test_the_process_cannot_open_keys_and_other_processes(tmp_path: Path) -> None:
    for name in SECRETS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    command = [sys.executable, "-c", HIDDEN, str(tmp_path.resolve()), *SECRETS]
    environment = {"PYTHONPATH": SRC}
    said = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60, env=environment).stdout)
    opened = [name for name, outcome in said.items() if outcome == "opened"]
    assert opened == ["model", "a/b"]
    assert len(said) == 2 + len(SECRETS)


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")
def test_the_process_can_read_and_nothing_else(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    victim.chmod(0o600)
    before = victim.stat()
    command = [sys.executable, "-c", FORBIDDEN, SRC, str(victim)]
    said = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert said.pop("read") == "done"
    assert said.pop("memory") == "MemoryError"
    assert said.pop("terminal's settings") == "EPERM"
    assert set(said.values()) == {"PermissionError"}, {name: how for name, how in said.items() if "Perm" not in how}
    assert victim.read_text() == "kept"
    assert list(tmp_path.iterdir()) == [victim]
    after = victim.stat()
    assert (after.st_mode, after.st_ctime_ns, after.st_size) == (before.st_mode, before.st_ctime_ns, before.st_size)


def test_the_process_has_no_terminal() -> None:
    with sandbox.Inspector() as inspector:
        process = inspector._child._process.pid
        assert os.getsid(process) == process != os.getsid(0)


# --- one process for many files --------------------------------------------------------------------------------------

SECOND_FAILS = """
import os, sys; sys.path[:] = sys.argv[1:]
from gitreg.scan import child
told, asked = child._answer, []
def answer(path, name):
    asked.append(path)
    if len(asked) > 1:
        {how}
    return told(path, name)
child._answer = answer
child.main()
"""


@pytest.mark.parametrize("how", ["os.abort()", "return {'error': 'memory'}", "return []", "return {'path': 1}"])
def test_what_files_before_it_left_is_not_a_file_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(GOOD["model.onnx"])
    monkeypatch.setattr(sandbox, "_START", SECOND_FAILS.replace("{how}", how))
    found = inspect_files([(tmp_path / name, name) for name in "abc"])
    assert [(each.path, each.problem, each.format) for each in found] == [(name, None, "onnx") for name in "abc"]


@pytest.mark.parametrize(("limit", "value", "processes"), [("FILES", 2, 2), ("BUSY_SECONDS", -1.0, 4), ("FILES", 9, 1)])
def test_a_process_is_replaced_long_before_its_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: float, processes: int
) -> None:
    (tmp_path / "a").write_bytes(GOOD["model.onnx"])
    monkeypatch.setattr(sandbox, limit, value)
    before = sandbox._Child
    started: list[sandbox._Child] = []

    class Counted(before):  # type: ignore[misc, valid-type] # the class itself
        def __init__(self) -> None:
            super().__init__()
            started.append(self)

    monkeypatch.setattr(sandbox, "_Child", Counted)
    found = inspect_files([(tmp_path / "a", "a")] * 3)
    assert {each.problem for each in found} == {None}
    assert len(started) == processes
    assert all(each._process.returncode is not None for each in started)


def test_memory_is_given_back_between_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Lists that hold themselves and a text, which only a collection frees: 20 MB for a file.
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02" + (b"]q\x00h\x00aT\x00\x10\x00\x00" + bytes(4096) + b"a0") * 5_000 + b"N.")
    script = "import sys; sys.path[:] = sys.argv[1:]; from gitreg.scan import child, confine; "
    monkeypatch.setattr(sandbox, "_START", script + "confine.MEMORY = 192 << 20; child.main()")
    with sandbox.Inspector() as inspector:
        first = inspector._child
        found = inspector.inspect([(path, "a.pkl")] * 12)
        assert {each.problem for each in found} == {None}
        assert inspector._child is first


# --- what a process that was taken over may say ---------------------------------------------------------------------

SOUND = {"path": "a", "format": "onnx", "size": 1}


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        [SOUND],
        {},
        {"path": "a"},
        SOUND | {"unknown": 1},
        SOUND | {"size": "1"},
        SOUND | {"size": True},
        SOUND | {"format": "exe"},
        SOUND | {"format": ["onnx"]},
        SOUND | {"problem": {}},
        SOUND | {"dangers": "os.system"},
        SOUND | {"imports": [1]},
        SOUND | {"dtypes": {"f": "1"}},
        SOUND | {"details": {"a": []}},
        SOUND | {"files": [["a", 1]]},
        SOUND | {"tensors": [{"name": "a"}]},
        SOUND | {"tensors": [{"name": "a", "dtype": "b", "shape": [[]]}]},
        SOUND | {"tensors": [{"name": "a", "dtype": "b", "shape": [], "more": 1}]},
        SOUND | {"inputs": 1},
    ],
)
def test_what_is_no_inspection_is_not_taken_for_one(data: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        Inspection.from_data(data)


@pytest.mark.parametrize(
    "said",
    ["[]", "{}", '{"told": "exe"}', '{"path": 1, "format": "onnx", "size": 1}', "[" * 100_000, "[[],]" * 150_001],
)
def test_nonsense_from_the_process_is_a_problem_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "said").write_text(said + "\n")
    script = f"import sys; sys.stdin.readline(); print(open({str(tmp_path / 'said')!r}).read(), flush=True)"
    monkeypatch.setattr(sandbox, "_START", script + "; sys.stdin.read()")
    (found,) = inspect_files([(tmp_path / "a", "a")], seconds=30)
    assert (found.path, found.problem) == ("a", "the process that read it did not say what it found")


def test_to_tell_formats_or_show_a_version_loads_no_parser() -> None:
    script = (
        "import sys, gitreg.scan, gitreg.cli.group, gitreg.registry, gitreg.gate_hooks.hook\n"
        "heavy = ('gitreg.scan.headers', 'gitreg.scan.inspection', 'picklescan')\n"
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
