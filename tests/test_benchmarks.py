from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks import callers
from benchmarks.generate import ADMIN, Generated, generate, git
from benchmarks.measure import Peak, Row, interleaved, table
from gitreg.gate_hooks.audit.proof import verify
from gitreg.gate_hooks.check import check_range
from gitreg.gate_hooks.examine import examine
from gitreg.gate_hooks.marks import implied_mark
from gitreg.git import Repository, refs
from gitreg.layout import DeployTag
from gitreg.registry import open_registry

VERSIONS = 200


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    return generate(tmp_path_factory.mktemp("generated"), VERSIONS)


def test_every_generated_commit_passes_the_gate(generated: Generated) -> None:
    with Repository.open(generated.repository) as repository:
        found = check_range(repository, generated.first, generated.tip, None, store_base=repository.git_dir)
        assert found == []


def test_a_generated_registry_is_whole(generated: Generated) -> None:
    git(generated.repository, "fsck", "--strict")
    with Repository.open(generated.repository) as repository:
        assert [finding for finding in examine(repository) if not finding.fine] == []
        assert verify(repository).findings == ()
        tags = refs.list_tags(repository, "refs/tags/deploy/")
        assert len(tags) == generated.tags == VERSIONS
        for tag in tags[::20]:
            implied = implied_mark(repository, generated.tip, DeployTag.parse(tag.ref))
            assert implied is not None
            assert tag.target == implied.target
            assert tag.trailers.items() - implied.trailers.items() == {("Audit", tag.trailers["Audit"])}
    chain = git(generated.repository, "rev-list", "--first-parent", "main").splitlines()
    assert len(chain) == len(git(generated.repository, "rev-list", "main").splitlines()) == 2 * VERSIONS + 1


def test_a_generated_registry_answers_and_needs_no_tags(generated: Generated) -> None:
    with open_registry(generated.repository) as registry:
        assert len(registry.models()) == len(generated.models)
        model = generated.models[len(generated.models) // 2]
        assert registry.show(f"{model}@prod").deployed
        assert {record.action for record in registry.history(model, "prod")} == {"promote", "rollback"}
        assert all(record.marked for record in registry.history(model))
        assert registry.mark() == []
        assert registry.check_range(f"{generated.tip}~3", generated.tip, ADMIN) == []


@pytest.mark.parametrize("heavy", ["git", "jsonschema", "jsonschema_rs", "rich", "semver", "dataclasses"])
def test_showing_a_deployed_version_imports_nothing_heavy(generated: Generated, heavy: str) -> None:
    arguments = ["gitreg", "--registry", str(generated.repository), "show", f"{generated.models[0]}@prod"]
    code = (
        f"import sys; from gitreg.cli import main; sys.argv = {arguments!r}\n"
        "try: main()\n"
        f"except SystemExit as end: sys.exit(end.code or (3 if {heavy!r} in sys.modules else 0))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_cases_take_turns_and_medians_are_taken() -> None:
    told = {"a": iter([9.0, 1.0, 3.0, 2.0]), "b": iter([9.0, 4.0, 4.0, 4.0])}
    order: list[str] = []

    def case(name: str) -> float:
        order.append(name)
        return next(told[name])

    taken = interleaved({"a": lambda: case("a"), "b": lambda: case("b")}, 3)
    assert taken == {"a": 2.0, "b": 4.0}
    assert order == ["a", "b"] * 4


def test_a_row_says_whether_its_target_is_met(tmp_path: Path) -> None:
    rows = [Row(what=str(tmp_path), floor="floor", takes=ratio, floor_takes=1.0, target=2) for ratio in (2.0, 2.1)]
    assert [row.verdict for row in rows] == ["met", "missed"]
    assert "≤ 2" in table(rows)
    assert table(rows, markdown=True).count("|\n|") == 3


def test_bytes_are_shown_as_bytes() -> None:
    row = Row(what="memory", floor="the aim", takes=150e6, floor_takes=300e6, target=1, unit="B")
    assert (row.verdict, row.cells()[2:5]) == ("met", ("150 MB", "300 MB", "0.50\N{MULTIPLICATION SIGN}"))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="no /proc")
def test_the_memory_of_a_process_and_of_what_it_starts_is_summed_up() -> None:
    child = "import time; held = bytearray(30_000_000); time.sleep(1)"
    marked = f"import subprocess, sys; marker = 'look here'; subprocess.run([sys.executable, '-c', {child!r}])"
    around = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {marked!r}])"
    with subprocess.Popen([sys.executable, "-c", around]) as process, Peak(process.pid, b"marker = 'look") as peak:
        process.wait()
    # The outermost holds those words as well; so it is the one that was found.
    assert 30e6 < peak.bytes < 300e6
    assert Peak(process.pid, b"nothing").bytes == 0


def test_callers_call_in_turn_and_tell_what_failed() -> None:
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            seen.append(self.path + self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(201 if len(seen) < 3 else 500)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asked = {
            "port": server.server_port,
            "clients": 3,
            "headers": {"X-Of": "us"},
            "calls": [["POST", "/{c}", "{n}", "a"]],
        }
        found = callers.call({**asked, "seconds": 0})
        assert len(found["taken"]["a"]) == 3
        assert len(found["failed"]) == 1
        assert found["failed"][0].startswith("HTTP/1.1 500")
        assert {each[:2] for each in seen} == {"/0", "/1", "/2"}
        assert len({each[2:] for each in seen}) == 3
        found = callers.call({**asked, "seconds": 0.05, "clients": 1})
        server.shutdown()
    assert len(seen) == 3 + len(found["taken"]["a"])
