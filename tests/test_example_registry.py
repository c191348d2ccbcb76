"""The example is a registry that could have come about as its history says."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitreg import wire
from gitreg.errors import InvalidError
from gitreg.layout import Kind, place
from gitreg.resources import resource

EXAMPLE = resource("example-registry")
BLOBS = EXAMPLE / "store" / "blobs" / "sha256"
CANONICAL = ("approvals", "deployments", "models", "status")


def _history() -> dict[str, Any]:
    return wire.load_plain((EXAMPLE / "history.yaml").read_bytes(), "history.yaml")


def _written(step: dict[str, Any]) -> dict[str, bytes]:
    """Give what a step writes, by path."""
    return {
        **{file: (EXAMPLE / file).read_bytes() for file in step["files"] if isinstance(file, str)},
        **{file["path"]: file["text"].encode() for file in step["files"] if not isinstance(file, str)},
    }


def _states() -> list[tuple[dict[str, Any], dict[str, bytes]]]:
    """Give every step and the whole registry after it."""
    states: list[tuple[dict[str, Any], dict[str, bytes]]] = []
    files: dict[str, bytes] = {}
    for step in _history()["steps"]:
        files = files | _written(step)
        states.append((step, files))
    return states


def _yaml_files() -> list[str]:
    return sorted(
        path.relative_to(EXAMPLE).as_posix() for path in EXAMPLE.rglob("*") if path.suffix in {".yaml", ".yml"}
    )


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.mark.parametrize("path", _yaml_files())
def test_every_yaml_file_is_read_the_same_strictly_and_by_anybody(path: str) -> None:
    data = (EXAMPLE / path).read_bytes()
    assert wire.load_plain(data, path).keys() == {key if key is not True else "on" for key in yaml.safe_load(data)}


@pytest.mark.parametrize("path", [path for path in _yaml_files() if path.startswith(CANONICAL)])
def test_registry_files_are_in_the_canonical_form(path: str) -> None:
    data = (EXAMPLE / path).read_bytes()
    header = data.split(b"\n")[0].decode().removeprefix("# ") if data.startswith(b"#") else None
    assert wire.dump(wire.load_plain(data, path), header=header) == data


def _manifests() -> list[dict[str, Any]]:
    paths = [path for path in _yaml_files() if place(path).kind is Kind.VERSION]
    return [wire.load_plain((EXAMPLE / path).read_bytes(), path) for path in paths]


def test_the_store_holds_every_artifact_with_its_digest_and_size_and_nothing_else() -> None:
    said = {item["digest"]: item["size"] for manifest in _manifests() for item in manifest["artifacts"]}
    blobs = [path for path in BLOBS.glob("*/*") if path.is_file()]
    assert {_digest(path.read_bytes()): path.stat().st_size for path in blobs} == said
    assert all(path == BLOBS / path.name[:2] / _digest(path.read_bytes()).removeprefix("sha256:") for path in blobs)


def test_the_weights_stay_small() -> None:
    sizes = [path.stat().st_size for path in BLOBS.glob("*/*")]
    assert max(sizes) < 200_000
    assert sum(sizes) < 600_000


def test_the_last_step_leaves_the_folder() -> None:
    history = _history()
    left_out = tuple(history["not_replayed"])
    here = {path.relative_to(EXAMPLE).as_posix() for path in EXAMPLE.rglob("*") if path.is_file()}
    registry = {path for path in here if Path(path).parts[0] not in left_out and "__pycache__" not in path}
    _, files = _states()[-1]
    assert files == {path: (EXAMPLE / path).read_bytes() for path in registry}


def test_steps_follow_each_other_in_time_and_are_done_by_known_people() -> None:
    history = _history()
    times = [step["at"] for step in history["steps"]]
    assert times == sorted(set(times))
    assert {step["user"] for step in history["steps"]} <= set(history["people"])
    for step, files in _states():
        for path in _written(step):
            value = {} if place(path).kind is Kind.FREE else _plain(files, path)
            assert value.get("created", step["at"]) <= step["at"], path
            assert value.get("reported", step["at"]) <= step["at"], path


def _plain(files: dict[str, bytes], path: str) -> dict[str, Any]:
    return wire.load_plain(files[path], path) if path.endswith(".yaml") else {}


def test_every_step_changes_what_it_writes() -> None:
    before: dict[str, bytes] = {}
    for step, files in _states():
        assert all(before.get(path) != data for path, data in _written(step).items()), step["subject"]
        before = files


def test_earlier_states_of_a_manifest_differ_only_in_what_may_change() -> None:
    editable = {"description", "metrics", "evaluations", "labels", "license", "lifecycle"}
    seen = 0
    for step, files in _states():
        for path in _written(step):
            if place(path).kind is Kind.VERSION:
                then, now = _plain(files, path), wire.load_plain((EXAMPLE / path).read_bytes(), path)
                assert {key for key in {*then, *now} if then.get(key) != now.get(key)} <= editable, path
                assert then["metrics"] == now["metrics"], path
                seen += then != now
    assert seen


def test_approvals_name_the_manifest_they_were_given_for_and_nobody_approves_for_another() -> None:
    found = 0
    for step, files in _states():
        for path in _written(step):
            where = place(path)
            if where.kind is Kind.APPROVAL:
                approval = _plain(files, path)
                manifest = files[f"models/{where.model}/{where.version}.yaml"]
                assert approval["manifest_digest"] == _digest(manifest), path
                assert manifest == (EXAMPLE / f"models/{where.model}/{where.version}.yaml").read_bytes()
                assert step["user"] == approval["user"] == where.user
                found += 1
    assert found


def test_the_example_shows_what_a_registry_is_for() -> None:
    manifests = _manifests()
    assert {manifest["model"].partition("/")[0] for manifest in manifests} == {"cellar", "health", "vision"}
    assert {item["format"] for manifest in manifests for item in manifest["artifacts"]} == {"onnx", "safetensors"}
    assert {"active", "deprecated"} == {manifest["lifecycle"] for manifest in manifests}
    assert any("evaluations" in manifest for manifest in manifests)
    assert {parent["relation"] for manifest in manifests for parent in manifest.get("parents", ())} == {
        "finetuned-from",
        "retrained-from",
    }


def test_no_weights_lie_in_the_registry_itself() -> None:
    for path in _states()[-1][1]:
        try:
            place(path)
        except InvalidError as error:
            pytest.fail(str(error))
        assert not path.endswith((".safetensors", ".onnx", ".pkl"))
