from __future__ import annotations

import shutil
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import gitreg
from gitreg import ConflictError, DeniedError, InvalidError, Mode, NotFoundError
from gitreg.access import Action
from gitreg.gate_hooks.audit.export import Wanted
from gitreg.registry import open_registry
from gitreg.registry.importing import prepare
from gitreg.registry.locking import pull_locked, read_lock
from tests.client.front import Front, standing
from tests.server.githttp.site import make_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gitreg import Registry
    from gitreg.objects import Store
    from gitreg.registry.locking import LockedModel
    from tests.server.rest.client import Rest


def _weights(folder: Path, data: bytes = b"weights" * 1000) -> Path:
    path = folder / "model.bin"
    path.write_bytes(data)
    return path


# Reading


def test_a_server_answers_as_the_repository_behind_it_does(served: Rest, registry: Registry) -> None:
    name = served.model("1.0.0", "1.1.0", metrics={"auc": 0.5})
    served.ask("POST", "/models/deploy", json={"model": name, "version": "1.0.0", "environment": "staging"})
    served.ask("POST", "/models/alias", json={"model": name, "version": "1.1.0", "alias": "champion"})
    with open_registry(served.path) as here:
        assert registry.models() == here.models()
        assert registry.model(name) == here.model(name)
        assert registry.versions(name) == here.versions(name)
        assert registry.show(f"{name}@staging") == here.show(f"{name}@staging")
        assert registry.show(f"{name}@champion").manifest.version == here.show(f"{name}@^1.1").manifest.version
        assert registry.status(model=name) == here.status(model=name)
        assert registry.history(name) == here.history(name)
        assert registry.log(name) == here.log(name)
        assert registry.lineage(f"{name}@1.0.0") == here.lineage(f"{name}@1.0.0")
        assert registry.diff(f"{name}@1.0.0", f"{name}@1.1.0") == here.diff(f"{name}@1.0.0", f"{name}@1.1.0")
        assert registry.series(name, ["auc"]) == here.series(name, ["auc"])
        found = f"model = '{name}'"
        assert registry.search(found) == here.search(found)
        assert registry.search(found, limit=1).next
        assert registry.complete(f"{name}@1") == here.complete(f"{name}@1")


def test_a_search_of_several_conditions_means_all_of_them(served: Rest, registry: Registry) -> None:
    name = served.model("1.0.0", "1.1.0")
    found = registry.search([f"model = '{name}'", "version = '1.0.0' or version = '9.0.0'"])
    assert [str(row.version) for row in found.versions] == ["1.0.0"]


def test_the_past_is_read_at_a_time(served: Rest, registry: Registry) -> None:
    name = served.model("1.0.0")
    with pytest.raises(NotFoundError):
        registry.model(name, at="2000-01-01")
    assert registry.model(name, at="2999-01-01").model == registry.model(name).model


def test_errors_are_those_of_the_repository(served: Rest, registry: Registry) -> None:
    name = served.model("1.0.0")
    with pytest.raises(NotFoundError, match="gitreg versions"):
        registry.show(f"{name}@9.9.9")
    with pytest.raises(NotFoundError, match="did you mean"):
        registry.deploy(f"{name}@1.0.0", "stagin")
    with pytest.raises(NotFoundError, match="there is no project"):
        registry.models("nobody")


def test_long_lists_come_in_pages(served: Rest, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    name = served.model("1.0.0", "1.1.0", "1.2.0")
    monkeypatch.setattr("gitreg.registry.connected._PAGE", 2)
    with open_registry(served.path) as here:
        assert registry.log(name, limit=None) == here.log(name, limit=None)
        assert registry.log(limit=5) == here.log(limit=5)
        assert registry.versions(name) == here.versions(name)
        wanted = Wanted(model=name)
        assert list(registry.audit(wanted)) == list(here.audit(wanted))
        assert registry.search(f"model = '{name}'") == here.search(f"model = '{name}'")


def test_what_is_unchanged_is_not_sent_again(served: Rest, registry: Registry, front: Front) -> None:
    name = served.model("1.0.0")
    registry.show(f"{name}@1.0.0")
    served.model("1.0.0")
    front.seen.clear()
    registry.show(f"{name}@1.0.0")
    assert any("if-none-match" in headers for headers in front.ways("GET"))


def test_what_needs_git_says_what_to_use_instead(served: Rest, registry: Registry, front: Front) -> None:
    name = served.model("1.0.0")
    for asked in (registry.snapshot, registry.gc, registry.fsck):
        with pytest.raises(InvalidError, match=f"{front.url}/registry.git"):
            asked()
    with pytest.raises(InvalidError, match="no proposals"):
        registry.deploy(f"{name}@1.0.0", "staging", Mode(propose=True))


# Finding


def test_a_server_is_asked_once_what_it_is_and_without_the_token(front: Front) -> None:
    for _ in range(2):
        gitreg.open(front.url).close()
    assert [(way, path) for way, path, _ in front.seen] == [("GET", "/")]
    assert "authorization" not in front.seen[0][2]


def test_a_git_url_is_not_asked_what_it_is(front: Front) -> None:
    assert type(gitreg.open(f"{front.url}/registry.git")).__name__ == "Registry"
    assert not front.seen


def test_a_place_that_is_no_server_is_none() -> None:
    with standing(says=lambda _: (200, {"content-type": "application/json"}, b'{"service":"other"}')) as other:
        assert type(gitreg.open(other.url)).__name__ == "Registry"


# Who


def test_a_wrong_token_is_denied_and_named_nowhere(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITREG_TOKEN", "wrong-and-secret")
    with pytest.raises(DeniedError, match="GITREG_TOKEN") as caught:
        registry.models()
    assert "wrong-and-secret" not in str(caught.value)


def test_without_a_token_one_is_asked_for(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITREG_TOKEN")
    with pytest.raises((InvalidError, DeniedError), match="GITREG_TOKEN"):
        registry.show("risk/fraud@1.0.0")


def test_a_token_file_is_for_nobody_else(
    served: Rest, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{served.token('root')}\n")
    monkeypatch.delenv("GITREG_TOKEN")
    monkeypatch.setenv("GITREG_TOKEN_FILE", str(file))
    file.chmod(0o644)
    with pytest.raises(DeniedError, match="chmod 600"):
        registry.models()
    file.chmod(0o600)
    assert registry.models()


def test_a_reader_is_refused_a_write_with_the_gate_s_words(
    served: Rest, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = served.model("1.0.0")
    monkeypatch.setenv("GITREG_TOKEN", served.token("alice"))
    with pytest.raises(DeniedError, match="alice"):
        registry.deploy(f"{name}@1.0.0", "staging")


# Writing


def test_each_write_does_what_it_does_to_a_repository(served: Rest, registry: Registry) -> None:
    name = served.model("1.0.0", "1.1.0")
    registry.deploy(f"{name}@1.0.0", "staging", reason="try it")
    registry.promote(name, "staging", "prod")
    registry.deploy(f"{name}@1.1.0", "staging")
    registry.rollback(name, "staging")
    registry.report(f"{name}@1.0.0", "staging", state="failed", detail="no room")
    registry.approve(f"{name}@1.1.0", "prod", comment="good")
    registry.alias(f"{name}@1.1.0", "champion")
    registry.update(f"{name}@1.0.0", description="Another.", labels={"stage": "old"})
    registry.update_model(name, description="A model.", card="# Card\n")
    with open_registry(served.path) as here:
        assert {row.environment: str(row.version) for row in here.status(model=name)} == {
            "staging": "1.0.0",
            "prod": "1.0.0",
        }
        assert here.show(f"{name}@champion").approvals[0].comment == "good"
        assert here.show(f"{name}@1.0.0").manifest.labels == {"stage": "old"}
        assert here.card(name) == registry.card(name) == "# Card\n"
    registry.undeploy(name, "prod")
    registry.alias(name, "champion", remove=True)
    registry.yank(f"{name}@1.1.0", reason="bad")
    registry.yank(f"{name}@1.1.0", undo=True)
    registry.archive(f"{name}@1.1.0")
    registry.delete(f"{name}@1.1.0", reason="wrong")
    assert [row.lifecycle for row in registry.versions(name)] == ["deleted", "active"]


def test_a_dry_run_changes_nothing(served: Rest, registry: Registry, tmp_path: Path) -> None:
    name = served.model("1.0.0")
    shown = registry.deploy(f"{name}@1.0.0", "staging", Mode(dry_run=True))
    assert shown.dry_run
    assert "+version: 1.0.0" in (shown.diff or "")
    made = registry.register_model(
        name, _weights(tmp_path), "2.0.0", license="MIT", description="d", mode=Mode(dry_run=True)
    )
    assert str(made.version) == "2.0.0"
    assert registry.status(model=name) == []
    assert len(registry.versions(name)) == 1


def test_weights_go_there_and_come_back_the_same(registry: Registry, tmp_path: Path) -> None:
    data = bytes(range(256)) * 40_000
    file = _weights(tmp_path, data)
    made = registry.register_model("risk/weights", file, "1.0.0", metrics={"auc": 0.9}, license="MIT", description="d")
    assert made.metrics == {"auc": 0.9}
    folder = registry.get_model("risk/weights@1.0.0").download(tmp_path / "out")
    assert (folder / "model.bin").read_bytes() == data
    with pytest.raises(ConflictError, match="exists"):
        registry.register_model("risk/weights", file, "1.0.0", license="MIT", description="d")


def test_who_may_register_need_not_read(
    served: Rest, registry: Registry, front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITREG_TOKEN", served.token("root", Action.REGISTER))
    file = _weights(tmp_path, b"of who only registers")
    wanted: dict[str, Any] = {"license": "MIT", "description": "Blind."}
    made = registry.register_model("risk/blind", file, "1.0.0", **wanted)
    assert str(made.version) == "1.0.0"
    with pytest.raises(DeniedError, match="may not read"):
        registry.versions("risk/blind")
    front.seen.clear()
    with pytest.raises(ConflictError, match=r"risk/blind@1\.0\.0 exists"):
        registry.register_model("risk/blind", _weights(tmp_path, b"others"), "1.0.0", **wanted)
    assert not front.ways("PUT")


def test_what_the_gate_would_refuse_is_refused_before_weights_are_sent(
    registry: Registry, front: Front, tmp_path: Path
) -> None:
    with pytest.raises(InvalidError, match="the registry would refuse this") as caught:
        registry.register_model("risk/refused", _weights(tmp_path), "1.0.0", created="2999-01-01T00:00:00Z")
    assert [violation.code for violation in caught.value.violations] == ["time-in-future"]
    assert not front.ways("PUT")


def test_files_that_are_there_are_not_sent(registry: Registry, front: Front, tmp_path: Path) -> None:
    file = _weights(tmp_path, b"the same" * 99)
    for version in ("1.0.0", "1.1.0"):
        registry.register_model("risk/same", file, version, license="MIT", description="d")
    assert len(front.ways("PUT")) == 1


def test_an_upload_that_broke_off_is_sent_again(
    registry: Registry, front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitreg.client.weights._PAUSES", (0.01, 0.01))
    registry.models()
    broken = iter([True])
    monkeypatch.setattr(
        front,
        "before",
        lambda: front.faults.append("cut") if front.seen[-1][0] == "PUT" and next(broken, False) else None,
    )
    registry.register_model("risk/broken", _weights(tmp_path, b"again" * 50), "1.0.0", license="MIT", description="d")
    assert len(front.ways("PUT")) == 2
    assert registry.pull("risk/broken@1.0.0", tmp_path / "out").bytes == 250


def test_it_needs_no_git(served: Rest, tmp_path: Path) -> None:
    name = served.model("1.0.0")
    told = {
        "PATH": str(tmp_path / "nothing"),
        "HOME": str(tmp_path),
        "GITREG_TOKEN": served.token("root"),
        "GITREG_REGISTRY": f"http://127.0.0.1:{served.port}",
    }
    file = _weights(tmp_path, b"no git")

    def run(*args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "gitreg", *args], env=told, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "1.0.0" in run("show", f"{name}@latest")
    run("register", "risk/gitless", str(file), "--version", "1.0.0", "--license", "MIT", "--description", "d")
    run("deploy", "risk/gitless@1.0.0", "staging")
    run("pull", "risk/gitless@staging", "-o", "out")
    assert (tmp_path / "out" / "model.bin").read_bytes() == b"no git"


# Between registries


@pytest.fixture(scope="module")
def _far(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "far"
    make_registry(folder / "models.git")
    return folder


@pytest.fixture
def far(_far: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """Open another registry, which git writes to."""
    monkeypatch.setenv("GITREG_USER", "root")
    shutil.copytree(_far, tmp_path / "far", symlinks=True)
    with open_registry(tmp_path / "far" / "models.git") as found:
        yield found


def _read(path: Path, version: str) -> bytes | None:
    with open_registry(path) as found:
        return found.snapshot().read(f"models/{version}.yaml")


def test_a_version_is_taken_over_from_a_server_and_back_with_its_bytes_and_weights(
    served: Rest, registry: Registry, far: Registry, tmp_path: Path
) -> None:
    data, weights = b"taken over" * 100, tmp_path / "model.bin"
    weights.write_bytes(data)
    for version, parents in (("1.0.0", ()), ("1.1.0", ("risk/taken@1.0.0:finetuned-from",))):
        registry.register_model("risk/taken", weights, version, license="MIT", description="d", parents=parents)
    with pytest.raises(NotFoundError, match="--parents"):
        far.import_version(registry, "risk/taken@1.1.0")
    written = far.import_version(registry, "risk/taken@1.1.0", parents=True)
    assert written.subject == "Import risk/taken 1.1.0 from acme"
    assert _read(served.path, "risk/taken/1.1.0") == _read(far.location.path, "risk/taken/1.1.0")
    assert far.pull("risk/taken@1.1.0", tmp_path / "out").bytes == len(data)

    weights.write_bytes(data * 2)
    far.register_model("risk/back", weights, "1.0.0", license="MIT", description="d", code=False)
    shown = registry.import_version(far, "risk/back@1.0.0", Mode(dry_run=True))
    assert (shown.violations, shown.dry_run) == ((), True)
    assert registry.import_version(far, "risk/back@1.0.0").commit
    assert registry.import_version(far, "risk/back@1.0.0").commit is None
    assert _read(served.path, "risk/back/1.0.0") == _read(far.location.path, "risk/back/1.0.0")
    assert registry.pull("risk/back@1.0.0", tmp_path / "again").bytes == 2 * len(data)


def test_a_number_that_is_taken_by_another_is_refused_before_weights_are_sent(
    registry: Registry, far: Registry, front: Front, tmp_path: Path
) -> None:
    registry.register_model("risk/double", _weights(tmp_path), "1.0.0", license="MIT", description="one")
    far.register_model("risk/double", _weights(tmp_path, b"other"), "1.0.0", license="MIT", description="two")
    front.seen.clear()
    with pytest.raises(ConflictError, match="exists here, and is another"):
        registry.import_version(far, "risk/double@1.0.0")
    assert not front.ways("PUT")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"versions": ["kind: ModelVersion"]}, "versions[0]"),
        ({"versions": []}, "versions"),
        ({"origin": {"url": "https://x\nActor: root", "commit": "a" * 40, "name": "n"}}, "origin.url"),
        ({"models": {}}, "nothing describes it"),
        ({"models": {"risk/strange": {"model": "[]"}}}, "models[risk/strange]"),
    ],
)
def test_an_import_that_is_not_right_is_a_problem_of_the_sender(
    served: Rest, far: Registry, change: dict[str, object], said: str
) -> None:
    external = {"provider": "example", "id": "m"}
    far.register_model("risk/strange", (), "1.0.0", license="MIT", description="d", external=external, code=False)
    body = prepare(far, "risk/strange@1.0.0", parents=False).to_body()
    answer = served.ask("POST", "/models/import", json={**body, **change})
    assert answer.status_code == 422
    assert said in answer.text


def test_who_may_not_register_imports_nothing(
    registry: Registry, served: Rest, far: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    external = {"provider": "example", "id": "m"}
    far.register_model("risk/denied", (), "1.0.0", license="MIT", description="d", external=external, code=False)
    monkeypatch.setenv("GITREG_TOKEN", served.token("bob"))
    with pytest.raises(DeniedError, match="bob may register nothing"):
        registry.import_version(far, "risk/denied@1.0.0")


# What a project uses


def _without_name(store: Callable[[LockedModel], Store], _: str, locked: LockedModel) -> Store:
    return store(locked)


def test_what_was_locked_through_a_server_is_pulled_from_a_clone_as_well(
    served: Rest, registry: Registry, tmp_path: Path
) -> None:
    registry.register_model("risk/locked", _weights(tmp_path), "1.0.0", license="MIT", description="d")
    lock = tmp_path / "models.lock"
    registry.lock(["risk/locked@latest"], lock)
    registry.register_model("risk/locked", _weights(tmp_path, b"newer"), "1.1.0", license="MIT", description="d")
    with open_registry(served.path) as here:
        for place in (registry.locked_store, here.locked_store):
            (pulled,) = pull_locked(lock, partial(_without_name, place), to=tmp_path / "out")
            assert str(pulled.version) == "1.0.0"
    with pytest.raises(ConflictError, match="out of date"):
        registry.lock((), lock, check=True)


def test_a_lock_file_with_a_commit_that_main_never_had_is_refused(registry: Registry, tmp_path: Path) -> None:
    registry.register_model("risk/unlocked", _weights(tmp_path), "1.0.0", license="MIT", description="d")
    lock = tmp_path / "models.lock"
    (locked,) = registry.lock(["risk/unlocked@1.0.0"], lock).models
    lock.write_text(lock.read_text().replace(locked.commit, "0" * 39 + "1"))
    (locked,) = read_lock(lock).models.values()
    with pytest.raises(ConflictError, match="does not have the commit"):
        registry.locked_store(locked)
