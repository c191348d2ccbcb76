"""Registering: what is recorded, and what is refused with nothing changed."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from gitreg.manifest import Manifest
from gitreg.objects import streams
from gitreg.registry import Mode, open_registry
from tests.registries import DRY, WEIGHTS, git, request, state_of, weights_of

if TYPE_CHECKING:
    from gitreg.registry import Registry
    from tests.registries import Forge


def test_everything_that_is_said_is_recorded(bare: Registry) -> None:
    Path("out/tokenizer").mkdir(parents=True)
    Path("out/model.safetensors").write_bytes(WEIGHTS)
    Path("out/tokenizer/vocab.txt").write_text("a\nb\n")
    written = bare.register(
        request(
            "risk/new",
            "1.0.0",
            paths=(Path("out"),),
            description="First.\n\nLonger.",
            metrics={"auc": 0.9},
            hyperparameters={"layers": [1, 2], "dropout": 0.1},
            datasets=({"name": "ledger", "version": "2026.01", "uri": "s3://data/ledger"},),
            framework="pytorch==2.13.0",
            labels={"team": "risk"},
            parents=("risk/fraud@1.1.0", "risk/fraud@1.0.0:distilled-from"),
            base="hf://org/model@main",
            evaluations=({"dataset": {"name": "holdout"}, "metrics": {"auc": 0.8}},),
            signature={"inputs": [{"name": "x", "dtype": "float32", "shape": [-1, 4]}]},
            model_description="A new model.",
            task="tabular-classification",
            owners=("alice", "bob"),
            created="2026-01-31T12:00:00Z",
        )
    )
    assert written.paths == ("models/risk/new/1.0.0.yaml", "models/risk/new/model.yaml")
    manifest = bare.show("risk/new@1.0.0").manifest
    assert manifest == written.about
    assert [(each.path, each.format) for each in manifest.artifacts] == [
        ("model.safetensors", "safetensors"),
        ("tokenizer/vocab.txt", manifest.artifacts[1].format),
    ]
    assert manifest.training is not None
    assert manifest.training.hyperparameters == {"layers": [1, 2], "dropout": 0.1}
    assert [(str(each), each.relation) for each in manifest.parents] == [
        ("risk/fraud@1.1.0", "derived-from"),
        ("risk/fraud@1.0.0", "distilled-from"),
    ]
    assert (manifest.author.name, manifest.author.email) == ("Test User", "test@example.org")
    model = bare.model("risk/new")
    assert (model.description, model.task, model.owners) == ("A new model.", "tabular-classification", ("alice", "bob"))
    message = git(bare.target.repository.git_dir, "log", "-1", "--format=%B", "main")
    assert message == "Register risk/new 1.0.0\n\nFirst.\n\nLonger."


def test_a_model_behind_an_api_has_no_files(bare: Registry) -> None:
    wanted = request("llm/chat", "1.0.0", external={"provider": "acme", "id": "chat-large"}, description="Faster.")
    bare.register(wanted)
    assert bare.model("llm/chat").description == "The model llm/chat."  # what is new in a version is not what it is
    assert bare.show("llm/chat").manifest.external is not None
    with pytest.raises(InvalidError, match="has no files: it is external"):
        bare.pull("llm/chat@1.0.0", "out")


def test_the_commit_of_the_code_is_found_with_and_without_a_remote(bare: Registry, forge: Forge) -> None:
    project = forge.folder / "project"
    git(forge.folder, "init", "--quiet", "project")
    git(project, "commit", "--quiet", "--allow-empty", "-m", "Train")
    (project / "model.safetensors").write_bytes(WEIGHTS)
    head = git(project, "rev-parse", "HEAD")
    os.chdir(project)
    bare.register(request(version="3.0.0", code=True))
    git(project, "remote", "add", "origin", "https://user:secret@git.example.org/train.git")
    git(project, "add", "model.safetensors")
    written = bare.register(request(version="3.1.0", code=True))
    assert written.notes == ("the checkout has uncommitted changes, which the recorded code commit does not contain",)
    bare.register(request(version="3.2.0", code=False))
    found = []
    for version in ("3.0.0", "3.1.0", "3.2.0"):
        training = bare.show(f"risk/fraud@{version}").manifest.training
        code = training.code if training else None
        found.append((code.repository, code.commit, code.dirty) if code else None)
    assert found == [(None, head, None), ("https://git.example.org/train.git", head, True), None]


def test_words_about_the_model_do_not_overwrite_what_it_says(bare: Registry) -> None:
    written = bare.register(request(version="3.0.0", task="other", owners=("mallory",)))
    assert written.notes == (
        "risk/fraud exists: its description is left as it is (gitreg update risk/fraud changes it)",
    )
    assert bare.model("risk/fraud").owners == ("alice",)


@pytest.mark.parametrize(
    ("fields", "kind", "said"),
    [
        ({"model": "Risk/Fraud"}, InvalidError, "not a project name"),
        ({"model": "fraud"}, InvalidError, "write it as project/name"),
        ({"version": "1.0"}, InvalidError, "write MAJOR.MINOR.PATCH"),
        ({"version": "V3.0.0"}, InvalidError, "not a version"),
        ({"version": None}, InvalidError, "no version is named; --version 1.0.0, or --bump"),
        ({"bump": "minor"}, InvalidError, "exclude each other"),
        ({"version": None, "bump": "more"}, InvalidError, "allowed: major, minor, patch"),
        ({"version": "1.0.0"}, ConflictError, r"registered .* by Test User; the next one is 2\.0\.0 \(bump patch\)"),
        ({"paths": (Path("nope.safetensors"),)}, NotFoundError, "'nope.safetensors' does not exist"),
        ({"paths": ()}, InvalidError, "either files or an external provider"),
        ({"external": {"provider": "a", "id": "b"}, "paths": (Path("model.safetensors"),)}, InvalidError, "either"),
        ({"external": {"provider": "a"}}, InvalidError, "missing field 'id'"),
        ({"parents": ("risk/fraud",)}, InvalidError, "names no version"),
        ({"parents": ("risk/frod@1.0.0",)}, NotFoundError, "did you mean risk/fraud"),
        ({"parents": ("risk/fraud@1.0.1",)}, NotFoundError, r"did you mean 1\.0\.0"),
        ({"parents": ("risk/fraud@prod",)}, InvalidError, "not a version"),
        ({"metrics": {"auc": "high"}}, InvalidError, "metrics"),
        ({"created": "yesterday"}, InvalidError, "created"),
        ({"base": "hf://user:secret@org/model"}, InvalidError, "credentials"),
        ({"description": "a\0b"}, InvalidError, "description|zero|character"),
        ({"license": ""}, InvalidError, "license"),
        ({"signature": {"input": []}}, InvalidError, "did you mean 'inputs'"),
    ],
)
def test_a_wrong_request_is_refused_and_nothing_changes(
    forge: Forge, bare: Registry, fields: dict[str, Any], kind: type[Exception], said: str
) -> None:
    before = state_of(forge.bare)
    for mode in (Mode(), DRY):
        with pytest.raises(kind, match=said):
            bare.register(request(**{"version": "3.0.0", **fields}), mode)
    assert state_of(forge.bare) == before


def test_a_parent_that_was_deleted_is_refused_before_the_upload(forge: Forge, bare: Registry) -> None:
    bare.delete("risk/fraud@2.0.0-rc.1", reason="leak")
    before = state_of(forge.bare)
    Path("model.safetensors").write_bytes(weights_of(b"\0"))
    with pytest.raises(NotFoundError, match="was deleted: leak"):
        bare.register(request(version="3.0.0", parents=("risk/fraud@2.0.0-rc.1",)))
    assert state_of(forge.bare) == before


def test_a_pickle_is_refused_before_the_upload(forge: Forge, bare: Registry) -> None:
    import pickle

    Path("model.pkl").write_bytes(pickle.dumps({"weights": [1.0]}))
    before = state_of(forge.bare)
    with pytest.raises(InvalidError, match=r"format-refused.*pickle"):
        bare.register(request(version="3.0.0", paths=(Path("model.pkl"),)))
    assert state_of(forge.bare) == before


def test_weights_that_change_while_they_are_hashed_are_refused(
    forge: Forge, bare: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path("model.safetensors")
    path.write_bytes(weights_of(bytes(3 * streams.CHUNK)))
    before = state_of(forge.bare)

    def progress(_path: str, _moved: int) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(ConflictError, match="changed"):
        bare.register(request(version="3.0.0", progress=progress))
    assert state_of(forge.bare) == before


def test_a_full_disk_leaves_nothing_behind(forge: Forge) -> None:
    before = state_of(forge.bare)
    Path("model.safetensors").write_bytes(weights_of(bytes(600_000)))
    script = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "from gitreg.errors import GitregError\n"
        "from gitreg.registry import open_registry\n"
        "from tests.registries import request\n"
        "try:\n"
        "    open_registry(sys.argv[1]).register(request(version='3.0.0'))\n"
        "except GitregError as error:\n"
        "    sys.exit(f'{type(error).__name__}: {error}')\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, forge.bare],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert finished.stderr.decode().startswith("UnavailableError: "), finished.stderr.decode()
    assert b"risk/fraud@3.0.0: model.safetensors: no room left" in finished.stderr
    assert state_of(forge.bare) == before
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    with open_registry(forge.bare) as registry:
        assert registry.register(request(version="3.0.0")).commit == forge.tip()


def test_a_store_that_cannot_be_reached_is_told_of_before_the_weights_are_read(forge: Forge, bare: Registry) -> None:
    (forge.folder / "store").rename(forge.folder / "elsewhere")
    (forge.folder / "store").touch()
    before = forge.tip()
    with pytest.raises(UnavailableError, match="store"):
        bare.register(request(version="3.0.0"))
    git(forge.bare, "config", "gitreg.store", f"file:{forge.folder}/elsewhere")
    with open_registry(forge.bare) as registry:
        assert registry.register(request(version="3.0.0")).commit != before


def test_a_clone_of_another_machines_registry_has_to_be_told_where_the_store_is(forge: Forge) -> None:
    folder = forge.clone()
    git(folder, "config", "remote.origin.url", "ssh://127.0.0.1:1/registry.git")
    with open_registry(folder) as registry:
        with pytest.raises(
            UnavailableError, match=r"lies beside the registry, on another machine; .*git config gitreg\.store"
        ):
            registry.pull("risk/fraud@prod", "out")
        git(folder, "config", "gitreg.store", f"file:{forge.folder}/store")
    with open_registry(folder) as registry:
        assert registry.pull("risk/fraud@prod", "out").bytes == len(WEIGHTS)


def test_the_python_face_registers_and_gives_the_version_back(bare: Registry) -> None:
    version = bare.register_model("risk/fraud", "model.safetensors", license="MIT", metrics={"auc": 1.0}, code=False)
    assert (str(version.model), str(version.version)) == ("risk/fraud", "2.0.0")
    assert version.metrics == {"auc": 1.0}
    assert (version.download() / "model.safetensors").read_bytes() == WEIGHTS
    folder = version.download("elsewhere", link=False)
    assert folder == Path("elsewhere")
    shown = bare.register_model("risk/fraud", [Path("model.safetensors")], "9.0.0", license="MIT", code=False, mode=DRY)
    assert str(shown.version) == "9.0.0"
    with pytest.raises(NotFoundError):
        bare.get_model("risk/fraud@9.0.0")
    with pytest.raises(TypeError):
        bare.register_model("risk/fraud", "model.safetensors", licence="MIT")


def test_what_is_ignored_is_not_registered_and_links_are_followed_where_asked_for(bare: Registry) -> None:
    Path("out").mkdir()
    Path("out/model.safetensors").symlink_to(Path("model.safetensors").absolute())
    Path("out/notes.tmp").write_text("mine")
    Path("out/.gitregignore").write_text("*.tmp\n")
    with pytest.raises(InvalidError, match="--follow-symlinks"):
        bare.register(request("risk/linked", "1.0.0", paths=(Path("out"),)))
    written = bare.register(request("risk/linked", "1.0.0", paths=(Path("out"),), follow_symlinks=True))

    assert isinstance(written.about, Manifest)
    assert [file.path for file in written.about.artifacts] == ["model.safetensors"]


def test_the_same_file_is_not_read_again_for_the_next_version(
    bare: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GITREG_CACHE", str(tmp_path / "own-cache"))
    first = bare.register(request("risk/again", "1.0.0"))

    def read(*_: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr("gitreg.objects.store.Store.put_open", read)
    second = bare.register(request("risk/again", "1.0.1"))

    assert isinstance(first.about, Manifest)
    assert isinstance(second.about, Manifest)
    assert first.about.artifacts == second.about.artifacts


def test_a_store_that_is_gone_is_not_begun_anew(forge: Forge, bare: Registry) -> None:
    store = forge.folder / "store"
    store.rename(forge.folder / "away")
    weights_of_another = weights_of(b"another")
    Path("model.safetensors").write_bytes(weights_of_another)
    before = forge.tip()
    for is_mount_point in (False, True):
        if is_mount_point:
            store.mkdir()
        with pytest.raises(
            UnavailableError, match=r"is not there, and acme has versions with weights in it; .*mount its disk"
        ):
            bare.register(request(version="3.0.0"))
        assert list(store.rglob("*")) == []
        assert forge.tip() == before
    (store / "blobs").mkdir()  # as the error says
    assert bare.register(request(version="3.0.0")).commit == forge.tip() != before
