"""A server under load, beside `mlflow server` on SQLite where that is installed: see `benchmarks.peers`.

Servers and callers are processes of their own on the loopback. MLflow runs with its defaults; with `uvloop` beside it,
it answers 40 ms earlier.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.generate import ADMIN
from benchmarks.measure import Row, resident
from benchmarks.peers import PYTHON, has

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.setting import Setting

CLIENTS = 16
SECONDS = 8.0
_PATIENCE = 120.0
_MODEL = "bench-{c}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that runs: its port and process, what callers send along, seconds from start to first answer."""

    name: str
    port: int
    pid: int
    headers: Mapping[str, str]
    start: float

    def load(self, calls: Sequence[tuple[str, str, str | None, str]], *, clients: int = CLIENTS) -> dict[str, Any]:
        """Call it from several connections, and give what that took; a call that fails ends the benchmark."""
        asked = {"port": self.port, "clients": clients, "seconds": SECONDS, "headers": self.headers, "calls": calls}
        command = [sys.executable, "-m", "benchmarks.callers"]
        done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        if found["failed"]:
            raise RuntimeError(f"{self.name}: {len(found['failed'])} calls failed, such as {found['failed'][0]}")
        return found


def run(setting: Setting) -> Iterator[Row]:
    """Register, read and both at once, through gitreg's REST and MLflow's."""
    figures = {"gitreg": _figures(setting, _gitreg)}
    python = Path(os.environ.get(PYTHON, sys.executable))
    if has(str(python), "mlflow.server"):
        figures["mlflow"] = _figures(setting, _mlflow)
    peer = "mlflow" if "mlflow" in figures else "gitreg"
    for what, (target, unit) in _ROWS.items():
        yield Row(
            what=f"server: {what}",
            floor="mlflow server" if peer == "mlflow" else "itself",
            takes=figures["gitreg"][what],
            floor_takes=figures[peer][what],
            target=target if peer == "mlflow" else None,
            unit=unit,
        )


_REGISTER = f"register, {CLIENTS} at once, each"
_ALONE = "register, one after the other"
_GET = "get by environment, median"
_BESIDE = f"the same while {CLIENTS} register, median"
_SLOWEST = f"the same while {CLIENTS} register, of a hundred the slowest"
_LOADED = f"{CLIENTS // 2} get without a pause while {CLIENTS // 2} register, median"
_WORST = f"{CLIENTS // 2} get without a pause while {CLIENTS // 2} register, of a hundred the slowest"
_START = "start to first answer"
_MEMORY = "memory, all its processes"
_ROWS: dict[str, tuple[float | None, str]] = {
    _ALONE: (None, "s"),
    _REGISTER: (1 / 3, "s"),
    _GET: (1 / 3, "s"),
    _BESIDE: (None, "s"),
    _SLOWEST: (None, "s"),
    _LOADED: (None, "s"),
    _WORST: (None, "s"),
    _START: (0.15, "s"),
    _MEMORY: (None, "B"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """What is asked of a server: what goes first, the registration of a version, the reading of one by its pointer."""

    first: Sequence[tuple[str, str, str | None, str]]
    register: tuple[str, str, str, str]
    get: tuple[str, str, None, str]


def _figures(setting: Setting, served: Any) -> dict[str, float]:  # noqa: ANN401 - one of the two below
    with served(setting) as (server, calls):
        for call in calls.first:
            _call(server, *call[:3])
        server.load([calls.register, calls.get], clients=2)  # what is met first is slow, for both
        alone = server.load([calls.register], clients=1)["taken"]["register"]
        many = server.load([calls.register])
        reads = server.load([calls.get], clients=1)["taken"]["get"]
        with _writing(server, calls, clients=CLIENTS):
            beside = sorted(server.load([calls.get], clients=1)["taken"]["get"])
        with _writing(server, calls, clients=CLIENTS // 2):
            loaded = sorted(server.load([calls.get], clients=CLIENTS // 2)["taken"]["get"])
        return {
            _ALONE: statistics.median(alone) / 1000,
            _REGISTER: many["seconds"] / len(many["taken"]["register"]),
            _GET: statistics.median(reads) / 1000,
            _BESIDE: statistics.median(beside) / 1000,
            _SLOWEST: beside[len(beside) * 99 // 100] / 1000,
            _LOADED: statistics.median(loaded) / 1000,
            _WORST: loaded[len(loaded) * 99 // 100] / 1000,
            _START: server.start,
            _MEMORY: float(resident(server.pid)),
        }


@contextlib.contextmanager
def _writing(server: Server, calls: Calls, *, clients: int) -> Iterator[None]:
    """Register from other connections meanwhile."""
    asked = {"port": server.port, "clients": clients, "seconds": SECONDS + 1, "headers": server.headers}
    command = [sys.executable, "-m", "benchmarks.callers"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        if process.stdin:
            json.dump({**asked, "calls": [calls.register]}, process.stdin)
            process.stdin.close()
        yield


@contextlib.contextmanager
def _gitreg(setting: Setting) -> Iterator[tuple[Server, Calls]]:
    path = _copy(setting)
    program = [sys.executable, "-m", "gitreg"]
    made = [*program, "--registry", str(path), "server", "token", "create", ADMIN]
    environment = {**setting.environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    token = subprocess.run(made, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    port = _free_port()
    command = [*program, "serve", str(path), "--port", str(port), "--log-level", "warning"]
    body = {
        "model": f"bench/{_MODEL}",
        "version": "10.{n}.0",
        "external": {"provider": "example", "id": "scorer-2"},
        "metrics": {"auc": 0.98},
        "datasets": [{"name": "ledger", "version": "week-1"}],
        "license": "Apache-2.0",
    }
    calls = Calls(
        first=(),
        register=("POST", "/models/register", json.dumps(body), "register"),
        get=("GET", f"/models/version?model={setting.model(setting.large)}&version=prod", None, "get"),
    )
    headers = {"Authorization": f"Bearer {token}"}
    with _started("gitreg", command, environment, port, headers, "/healthz") as server:
        yield server, calls


def _copy(setting: Setting) -> Path:
    """Make a copy of the large registry, which this benchmark fills: both servers begin without what they write."""
    source, target = setting.registry(setting.large), setting.folder / "served" / "registry.git"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
    return target


@contextlib.contextmanager
def _mlflow(setting: Setting) -> Iterator[tuple[Server, Calls]]:
    port, folder = _free_port(), setting.folder / f"mlflow-server-{time.time_ns()}"
    folder.mkdir()
    python = os.environ.get(PYTHON, sys.executable)
    command = [python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.sqlite", "--artifacts-destination", str(folder)]
    api = "/api/2.0/mlflow"
    first: list[tuple[str, str, str | None, str]] = [
        ("POST", f"{api}/registered-models/create", json.dumps({"name": _MODEL.replace("{c}", str(each))}), "")
        for each in range(CLIENTS)
    ]
    version = {"name": _MODEL, "source": "s3://bucket/model"}
    once = (("{c}", "0"),)
    of_one = {key: value.replace(*once[0]) for key, value in version.items()}
    first.append(("POST", f"{api}/model-versions/create", json.dumps(of_one), ""))
    alias = {"name": of_one["name"], "alias": "prod", "version": "1"}
    first.append(("POST", f"{api}/registered-models/alias", json.dumps(alias), ""))
    calls = Calls(
        first=first,
        register=("POST", f"{api}/model-versions/create", json.dumps(version), "register"),
        get=("GET", f"{api}/registered-models/alias?name={of_one['name']}&alias=prod", None, "get"),
    )
    environment = {**setting.environment, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with _started("mlflow", command, environment, port, {}, "/health") as server:
        yield server, calls


@contextlib.contextmanager
def _started(  # noqa: PLR0913, PLR0917 - what a server is
    name: str, command: Sequence[str], environment: Mapping[str, str], port: int, headers: Mapping[str, str], path: str
) -> Iterator[Server]:
    """Start a server, wait for its first answer, and end it afterwards with all that it started."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while not _answers(port, path):
            if process.poll() is not None or time.monotonic() > began + _PATIENCE:
                raise RuntimeError(f"{' '.join(command)} did not start")
            time.sleep(0.02)
        taken = time.monotonic() - began
        yield Server(name=name, port=port, pid=process.pid, headers=headers, start=taken)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def _call(server: Server, method: str, path: str, body: str | None) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_PATIENCE)
    connection.request(method, path, body, {"Content-Type": "application/json", **server.headers})
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    if answer.status != http.client.OK:
        raise RuntimeError(f"{server.name}: {method} {path}: {answer.status} {said[:300]!r}")


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
