from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gitreg.errors import InvalidError, NotFoundError, UnavailableError
from gitreg.scan import Format, inspect_files, sandbox
from tests.scan.samples import GOOD, inspected

SRC = str(Path(sandbox.__file__).parents[2])


def test_a_process_of_its_own_finds_what_the_library_finds(tmp_path: Path) -> None:
    for name, data in GOOD.items():
        (tmp_path / name).write_bytes(data)
    heard: list[str] = []
    found = inspect_files([(tmp_path / name, name) for name in GOOD], told=heard.append)
    assert found == tuple(inspected(data, name) for name, data in GOOD.items())
    assert heard == list(GOOD)


def test_a_file_that_takes_too_long_is_stopped_and_the_others_are_inspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("slow.pkl", "model.onnx"):
        (tmp_path / name).write_bytes(
            GOOD["model.onnx"] if name == "model.onnx" else b"\x80\x02" + b"N0" * 9_000_000 + b"N."
        )
    slow, sound = inspect_files([(tmp_path / "slow.pkl", "slow.pkl"), (tmp_path / "model.onnx", "m")], seconds=1)
    assert slow.problem == "its headers take more than 1 s to read"
    assert slow.format == Format.PICKLE
    assert sound.problem is None


def test_a_file_whose_headers_need_too_much_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.safetensors"
    header = b'{"":[' + b"[]," * 800_000 + b"[]]}"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    little = (
        "import sys; sys.path[:] = sys.argv[1:]; from gitreg.scan import child, confine; confine.MEMORY = 64 << 20; "
    )
    monkeypatch.setattr(sandbox, "_START", little + "child.main()")
    (found,) = inspect_files([(path, "big.safetensors")], seconds=60)
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
    assert "was ended" in str(found.problem)


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
import json, os, socket, sys
sys.path.insert(0, sys.argv[1])
from gitreg.scan.confine import confine
confine()
def outcome(function):
    try:
        function()
        return "done"
    except (OSError, MemoryError) as error:
        return type(error).__name__
said = {
    "read": outcome(lambda: open(os.__file__).close()),
    "write": outcome(lambda: open(sys.argv[2], "w")),
    "append": outcome(lambda: os.open(sys.argv[2], os.O_RDWR)),
    "unlink": outcome(lambda: os.unlink(sys.argv[2])),
    "socket": outcome(socket.socket),
    "fork": outcome(os.fork),
    "exec": outcome(lambda: os.execv(sys.executable, ["python"])),
    "kill": outcome(lambda: os.kill(os.getppid(), 0)),
    "memory": outcome(lambda: bytearray(3 << 30)),
}
print(json.dumps(said))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")
def test_the_process_can_read_and_nothing_else(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    command = [sys.executable, "-c", FORBIDDEN, SRC, str(victim)]
    said = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert said.pop("read") == "done"
    assert said.pop("memory") == "MemoryError"
    assert set(said.values()) == {"PermissionError"}, said
    assert victim.read_text() == "kept"


def test_to_tell_formats_or_show_a_version_loads_no_parser() -> None:
    script = (
        "import sys, gitreg.scan, gitreg.cli.group, gitreg.registry, gitreg.gate_hooks.hook\n"
        "heavy = ('gitreg.scan.headers', 'gitreg.scan.inspection', 'picklescan')\n"
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
