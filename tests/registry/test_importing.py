"""Versions that go from one registry to another."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitreg.cli.boundary import run
from gitreg.errors import ConflictError, IntegrityError, InvalidError, NotFoundError, UnavailableError
from gitreg.registry import Mode, open_registry
from gitreg.registry.setup import InitRequest, init
from tests.registries import ACCESS, DRY, MAIN, PUSH, SETTINGS, Forge, files_of, git, request, weights_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitreg.registry import Registry

FRAUD = "models/risk/fraud"


@pytest.fixture(scope="module")
def _empty(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    source = folder / "rules"
    source.mkdir()
    (source / "registry.yaml").write_bytes(SETTINGS.replace(b"name: acme", b"name: far"))
    (source / "access.yaml").write_bytes(ACCESS)
    init(InitRequest(path=folder / "far" / "registry.git", bare=True, identity="GL_USER", source=source))
    return folder / "far"


@pytest.fixture
def far(_empty: Path, tmp_path: Path) -> Path:
    """Give a second, empty registry with a store of its own."""
    shutil.copytree(_empty, tmp_path / "far", symlinks=True)
    return tmp_path / "far" / "registry.git"


@pytest.fixture
def origin(forge: Forge) -> Iterator[Registry]:
    with open_registry(forge.bare) as registry:
        yield registry


@pytest.fixture
def target(far: Path) -> Iterator[Registry]:
    with open_registry(far) as registry:
        yield registry


def _read(repository: Path, path: str) -> bytes:
    return git(repository, "show", f"{MAIN}:{path}").encode()


def test_a_version_arrives_with_the_same_bytes(
    forge: Forge, far: Path, origin: Registry, target: Registry, tmp_path: Path
) -> None:
    written = target.import_version(origin, "risk/fraud@1.0.0")
    assert written.commit == git(far, "rev-parse", MAIN)
    assert _read(far, f"{FRAUD}/1.0.0.yaml") == _read(forge.bare, f"{FRAUD}/1.0.0.yaml")
    here, there = target.show("risk/fraud@1.0.0"), origin.show("risk/fraud@1.0.0")
    assert here.manifest_digest == there.manifest_digest
    shutil.rmtree(forge.folder / "store")
    pulled = target.pull("risk/fraud@1.0.0", tmp_path / "out")
    assert [file.name for file in pulled.files] == ["model.safetensors"]
    assert not target.fsck()[0].damage


def test_nothing_is_imported_into_a_store_that_is_gone(far: Path, origin: Registry, target: Registry) -> None:
    shutil.rmtree(far.parent / "store")  # of an empty registry: it is made with the first version
    target.import_version(origin, "risk/fraud@1.0.0")
    shutil.rmtree(far.parent / "store")
    with pytest.raises(UnavailableError, match="far has versions with weights in it"):
        target.import_version(origin, "risk/fraud@1.1.0", parents=True)
    assert not (far.parent / "store").exists()


def test_the_commit_tells_where_it_comes_from(forge: Forge, far: Path, origin: Registry, target: Registry) -> None:
    target.import_version(origin, "risk/fraud@1.0.0")
    message = git(far, "log", "-1", "--format=%s|%(trailers:key=Imported-From,valueonly)", MAIN)
    assert message.split("|") == ["Import risk/fraud 1.0.0 from acme", str(forge.bare)]
    trailers = git(far, "log", "-1", "--format=%(trailers:key=Imported-Commit,key=Imported-Versions,valueonly)", MAIN)
    digest = origin.show("risk/fraud@1.0.0").manifest_digest
    assert trailers.splitlines() == [forge.tip(), f"risk/fraud@1.0.0 {digest}"]


def test_the_model_comes_along_without_owners_and_aliases(origin: Registry, target: Registry) -> None:
    target.import_version(origin, "risk/fraud@champion", parents=True)
    there, here = origin.model("risk/fraud"), target.model("risk/fraud")
    assert there.aliases
    assert there.owners == ("alice",)
    assert (here.task, here.description, here.owners, here.aliases) == (there.task, there.description, (), {})


def test_once_more_changes_nothing(far: Path, origin: Registry, target: Registry) -> None:
    target.import_version(origin, "risk/fraud@1.0.0")
    tip, store = git(far, "rev-parse", MAIN), files_of(far.parent / "store")
    again = target.import_version(origin, "risk/fraud@1.0.0")
    assert again.commit is None
    assert (git(far, "rev-parse", MAIN), files_of(far.parent / "store")) == (tip, store)


def test_what_was_edited_on_either_side_stays(origin: Registry, target: Registry) -> None:
    target.import_version(origin, "risk/fraud@1.0.0")
    target.update("risk/fraud@1.0.0", description="Ours.")
    assert target.import_version(origin, "risk/fraud@1.0.0").commit is None
    assert target.show("risk/fraud@1.0.0").manifest.description == "Ours."


def test_another_version_of_that_number_is_a_conflict(far: Path, origin: Registry, target: Registry) -> None:
    Path("model.safetensors").write_bytes(weights_of(b"other"))
    target.register(request(version="1.0.0"))
    tip = git(far, "rev-parse", MAIN)
    with pytest.raises(ConflictError, match=r"risk/fraud@1\.0\.0 exists here, and is another"):
        target.import_version(origin, "risk/fraud@1.0.0")
    assert git(far, "rev-parse", MAIN) == tip


def test_parents_are_asked_for_or_come_along(origin: Registry, target: Registry) -> None:
    with pytest.raises(NotFoundError, match=r"came from risk/fraud@1\.1\.0, which") as caught:
        target.import_version(origin, "vision/ocr@0.1.0")
    assert "--parents" in (caught.value.hint or "")
    written = target.import_version(origin, "vision/ocr@0.1.0", parents=True)
    assert [path for path in written.paths if "model.yaml" not in path] == [
        f"{FRAUD}/1.0.0.yaml",
        f"{FRAUD}/1.1.0.yaml",
        "models/vision/ocr/0.1.0.yaml",
    ]
    assert [str(each.version) for each in target.versions("risk/fraud")] == ["1.1.0", "1.0.0"]
    assert target.import_version(origin, "vision/ocr@0.1.0", parents=True).commit is None


def test_what_became_of_a_version_there_becomes_of_it_here(far: Path, origin: Registry, target: Registry) -> None:
    origin.update("risk/fraud@1.0.0", lifecycle="deprecated")
    origin.yank("risk/fraud@1.1.0")
    told = target.import_version(origin, "vision/ocr@0.1.0", DRY, parents=True)
    assert [note.partition(" where")[0] for note in told.notes] == [
        "risk/fraud@1.0.0 is deprecated",
        "risk/fraud@1.1.0 is yanked",
    ]
    target.import_version(origin, "vision/ocr@0.1.0", parents=True)
    for version in ("1.0.0", "1.1.0"):
        there = origin.show(f"risk/fraud@{version}").manifest
        assert target.show(f"risk/fraud@{version}").manifest == there
        assert _read(far, f"{FRAUD}/{version}.yaml") == there.to_bytes().decode().rstrip("\n").encode()
    target.update("risk/fraud@1.0.0", lifecycle="active")
    assert target.import_version(origin, "vision/ocr@0.1.0", parents=True).commit is None
    assert target.show("risk/fraud@1.0.0").manifest.lifecycle == "active"  # decided here since


def test_a_dry_run_copies_nothing(far: Path, origin: Registry, target: Registry) -> None:
    tip, store = git(far, "rev-parse", MAIN), files_of(far.parent / "store")
    shown = target.import_version(origin, "risk/fraud@1.0.0", DRY)
    assert shown.dry_run
    assert not shown.violations
    assert "+version: 1.0.0" in (shown.diff or "")
    assert (git(far, "rev-parse", MAIN), files_of(far.parent / "store")) == (tip, store)


def test_what_the_gate_refuses_is_refused_before_a_byte_is_copied(
    far: Path, origin: Registry, target: Registry, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "--quiet", str(far), "rules-clone")
    (tmp_path / "rules-clone" / "registry.yaml").write_bytes(SETTINGS + b"formats: [onnx]\n")
    git(tmp_path / "rules-clone", "commit", "--quiet", "--all", "--message", "Only ONNX")
    git(tmp_path / "rules-clone", "push", "--quiet", env={**os.environ, "GL_USER": "root"})
    store = files_of(far.parent / "store")
    with pytest.raises(InvalidError, match="the registry would refuse this"):
        target.import_version(origin, "risk/fraud@1.0.0")
    assert files_of(far.parent / "store") == store


@pytest.mark.parametrize("damaged", [b"", b"x" * 16, b"x"])
def test_damaged_weights_do_not_arrive(
    forge: Forge, far: Path, origin: Registry, target: Registry, damaged: bytes
) -> None:
    (blob,) = {path for path in (forge.folder / "store" / "blobs").rglob("*") if path.is_file()}
    blob.chmod(0o644)
    blob.write_bytes(damaged)
    tip = git(far, "rev-parse", MAIN)
    with pytest.raises(IntegrityError):
        target.import_version(origin, "risk/fraud@1.0.0")
    assert git(far, "rev-parse", MAIN) == tip
    digest = origin.show("risk/fraud@1.0.0").manifest.artifacts[0].digest
    assert target.store.size_of(digest) is None


def test_what_is_yanked_there_is_not_taken(origin: Registry, target: Registry) -> None:
    origin.yank("risk/fraud@2.0.0-rc.1")
    with pytest.raises(ConflictError, match="is yanked in"):
        target.import_version(origin, "risk/fraud@2.0.0-rc.1")


def test_what_was_deleted_here_stays_deleted(origin: Registry, target: Registry) -> None:
    target.import_version(origin, "risk/fraud@1.0.0")
    target.update("risk/fraud@1.0.0", description="Ours.")
    target.delete("risk/fraud@1.0.0", reason="a mistake")
    with pytest.raises(ConflictError, match="was deleted here"):
        target.import_version(origin, "risk/fraud@1.0.0")


def test_a_proposal_leaves_main_alone(far: Path, origin: Registry, target: Registry) -> None:
    tip = git(far, "rev-parse", MAIN)
    written = target.import_version(origin, "risk/fraud@1.0.0", Mode(propose=True))
    assert written.ref.startswith("refs/heads/proposals/root/import-risk-fraud-1-0-0-")
    assert git(far, "rev-parse", MAIN) == tip


def test_the_command_imports_by_name_and_by_place(
    forge: Forge, far: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    git(forge.folder, "config", "--global", "gitreg.registry.corp.url", forge.bare.as_uri())
    git(forge.folder, "config", "--global", "gitreg.registry.prod.url", str(far))
    assert run(["--registry", "prod", "import", "corp:risk/fraud@1.0.0"]) == 0
    assert "imported risk/fraud 1.0.0 from acme" in capsys.readouterr().out
    monkeypatch.setenv("GITREG_REGISTRY", str(far))
    assert run(["import", "risk/fraud@1.1.0", "--from", str(forge.bare), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["subject"] == "Import risk/fraud 1.1.0 from acme"
    assert run(["import", "risk/fraud@1.1.0", "--from", str(forge.bare)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    for wrong in (["risk/fraud@1.1.0"], ["corp:risk/fraud@1.1.0", "--from", "corp"]):
        assert run(["import", *wrong]) == InvalidError.exit_code
        assert "which registry it comes from" in capsys.readouterr().err


def test_a_version_without_files_needs_no_store(origin: Registry, target: Registry, forge: Forge, far: Path) -> None:
    origin.register(request("risk/hosted", "1.0.0", external={"provider": "acme", "id": "m-1"}))
    shutil.rmtree(forge.folder / "store")
    assert target.import_version(origin, "risk/hosted@1.0.0").commit == git(far, "rev-parse", MAIN)


def test_importing_into_itself_changes_nothing(origin: Registry) -> None:
    assert origin.import_version(origin, "risk/fraud@1.0.0", PUSH).commit is None
