"""Clones that left files, or the past, with their server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.generate import generate
from gitreg.cli.boundary import run
from gitreg.errors import InvalidError, UnavailableError
from gitreg.git import Repository
from gitreg.registry import open_registry
from tests.registries import DRY, MAIN, git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gitreg.registry import Registry

VERSIONS = 200
MODEL = "risk-00/ranker-0000"


@pytest.fixture(scope="module")
def server(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate a registry whose server allows partial clones."""
    made = generate(tmp_path_factory.mktemp("large"), VERSIONS)
    git(made.repository, "config", "uploadpack.allowFilter", "true")
    git(made.repository, "config", "uploadpack.allowAnySHA1InWant", "true")
    return made.repository


@pytest.fixture
def blobless(server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Clone without any file's contents."""
    monkeypatch.setenv("GITREG_USER", "root")
    monkeypatch.setenv("GITREG_CACHE", str(tmp_path / "cache"))
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", "--no-checkout", server.as_uri(), "blobless")
    return tmp_path / "blobless"


def _fetches(trace: Path) -> int:
    found = trace.read_text(encoding="utf-8").count("built-in: git fetch")
    trace.unlink()
    return found


CASES: dict[str, tuple[Callable[[Registry], object], int]] = {
    "list": (lambda registry: registry.models(), 3),
    "versions": (lambda registry: registry.versions(MODEL), 6),
    "show": (lambda registry: registry.show(f"{MODEL}@prod"), 6),
    "status": (lambda registry: registry.status(), 8),
    "history": (lambda registry: registry.history(MODEL), 8),
    "search": (lambda registry: registry.search("metrics.auc > 0.5"), 12),
    "log": (lambda registry: registry.log(limit=5), 20),
    "deploy": (lambda registry: registry.deploy(f"{MODEL}@latest", "staging", DRY), 12),
}


@pytest.mark.parametrize("what", CASES)
def test_a_blobless_clone_answers_with_few_fetches(
    server: Path, blobless: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    question, most = CASES[what]
    with open_registry(server) as registry:
        wanted = question(registry)
    trace = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE", str(trace))
    with open_registry(blobless) as registry:
        found = question(registry)
    assert 0 < _fetches(trace) <= most
    if what not in {"deploy", "search"}:
        assert found == wanted
    with open_registry(blobless) as registry:
        question(registry)
    # What came once is here; a write asks the server for its main.
    assert _fetches(trace) <= (1 if what == "deploy" else 0)


def test_a_search_finds_the_same_in_a_blobless_clone(server: Path, blobless: Path) -> None:
    with open_registry(server) as whole, open_registry(blobless) as partial:
        for condition in ("metrics.auc > 0.5", "deployed('prod')"):
            one, other = whole.search(condition), partial.search(condition)
            assert [(each.model, each.version) for each in one.versions] == [
                (each.model, each.version) for each in other.versions
            ]
            assert one.versions


def test_without_its_server_a_blobless_clone_says_what_it_lacks(server: Path, blobless: Path, tmp_path: Path) -> None:
    git(blobless, "config", "remote.origin.url", (tmp_path / "gone").as_uri())
    with open_registry(blobless) as registry, pytest.raises(UnavailableError, match="this clone is partial") as caught:
        registry.versions(MODEL)
    assert "make a whole clone" in (caught.value.hint or "")
    assert server.is_dir()


def test_upkeep_leaves_what_was_promised_to_the_server(blobless: Path) -> None:
    with open_registry(blobless) as registry:
        wanted = registry.versions(MODEL)
        for full in (False, True):
            registry.upkeep(full=full)
    git(blobless, "fsck", "--connectivity-only")
    with open_registry(blobless) as registry:
        assert registry.versions(MODEL) == wanted
        assert registry.models()


def test_only_a_partial_clone_asks_what_it_lacks(server: Path, blobless: Path) -> None:
    with Repository.open(server) as whole, Repository.open(blobless) as partial:
        assert (whole.promisor, partial.promisor) == (None, "origin")


def test_a_shallow_clone_answers_for_now_and_says_so_for_the_past(
    server: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(tmp_path, "clone", "--quiet", "--depth=1", server.as_uri(), "shallow")
    with open_registry(server) as whole, open_registry(tmp_path / "shallow") as shallow:
        assert shallow.models() == whole.models()
        assert shallow.show(f"{MODEL}@prod").manifest == whole.show(f"{MODEL}@prod").manifest
        assert shallow.status() == whole.status()
        assert shallow.search("metrics.auc > 0.5").versions
        for path, told in ((server, "all there were"), (tmp_path / "shallow", "older ones that this shallow clone")):
            capsys.readouterr()
            assert run(["--registry", str(path), "index", "status"]) == 0
            assert told in capsys.readouterr().out
        for question in (
            lambda: shallow.history(MODEL),
            shallow.log,
            lambda: shallow.show(MODEL, at="2024-01-01"),
            lambda: shallow.search("deployed('prod', at '2024-01-01')"),
        ):
            with pytest.raises(InvalidError, match=r"(?s)shallow.*git fetch --unshallow"):
                question()


def test_the_mirror_of_a_url_holds_main_and_nothing_else(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITREG_CACHE", str(tmp_path / "cache"))
    with open_registry(server.as_uri()) as registry:
        assert registry.models()
        registry.upkeep()
    (mirror,) = (tmp_path / "cache" / "registries").iterdir()
    assert git(mirror, "for-each-ref", "--format=%(refname)") == MAIN
    with open_registry(server.as_uri()) as registry:
        assert registry.show(f"{MODEL}@prod").deployed
    assert len(list((tmp_path / "cache" / "registries").iterdir())) == 1
