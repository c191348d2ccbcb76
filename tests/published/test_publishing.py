"""Publishing writes what changed and nothing else, switches at once, and never goes back."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

import gitreg
from gitreg.errors import ConflictError, IntegrityError, InvalidError, NotFoundError
from gitreg.objects.local import LocalBucket
from gitreg.published import publish as publish_module
from gitreg.published.publish import Destination, publish
from gitreg.published.shape import Part
from tests.registries import files_of, git, request

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.registry import Registry
    from tests.registries import Forge


def _shards(folder: Path) -> set[str]:
    return {path.name for path in (folder / "shards").rglob("*.json")}


def test_nothing_is_written_where_nothing_changed(bare: Registry, tmp_path: Path) -> None:
    bare.publish_index(str(tmp_path / "index"))
    before = files_of(tmp_path / "index")
    again = bare.publish_index(str(tmp_path / "index"))
    assert (again.changed, again.files_written, again.bytes_written) == (False, 0, 0)
    assert files_of(tmp_path / "index") == before


def test_only_what_changed_is_written(bare: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    bare.publish_index(str(folder))
    before = _shards(folder)
    bare.alias("risk/fraud@1.0.0", "old")
    assert bare.publish_index(str(folder)).files_written == 2  # the catalogue of its project, the head
    bare.yank("risk/fraud@1.0.0", reason="old")
    assert bare.publish_index(str(folder)).files_written == 3  # the shard of the model as well
    assert len(_shards(folder) - before) == 3


def test_what_is_published_depends_on_the_commit_alone(bare: Registry, tmp_path: Path) -> None:
    bare.publish_index(str(tmp_path / "one"))
    bare.alias("risk/fraud@1.0.0", "old")
    bare.register(request("risk/other", "1.0.0"))
    bare.publish_index(str(tmp_path / "one"))
    bare.publish_index(str(tmp_path / "two"))
    one, two = (json.loads((tmp_path / name / "head.json").read_bytes()) for name in ("one", "two"))
    assert {**one, "published": ""} == {**two, "published": ""}
    assert _shards(tmp_path / "two") <= _shards(tmp_path / "one")


def test_old_shards_stay_for_a_while(bare: Registry, tmp_path: Path) -> None:
    to = Destination(bucket=LocalBucket(tmp_path / "index"))
    publish(bare.snapshot, to)
    old = _shards(tmp_path / "index")
    bare.alias("risk/fraud@1.0.0", "old")
    assert publish(bare.snapshot, to).files_removed == 0
    assert old < _shards(tmp_path / "index")
    assert publish(bare.snapshot, to, grace=0).files_removed == 1
    assert len(_shards(tmp_path / "index")) == len(old)


def test_what_was_lost_is_written_again(bare: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    bare.publish_index(str(folder))
    before = _shards(folder)
    for path in list((folder / "shards").rglob("*.json"))[:2]:
        path.unlink()
    assert bare.publish_index(str(folder)).files_written == 2
    assert _shards(folder) == before
    (folder / "head.json").unlink()
    assert bare.publish_index(str(folder)).changed


def test_a_damaged_shard_is_written_again_anew(bare: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    bare.publish_index(str(folder))
    before = files_of(folder / "shards")
    path = next((folder / "shards").rglob("*.json"))
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[::-1])
    bare.publish_index(str(folder), anew=True)
    assert files_of(folder / "shards") == before


@pytest.mark.parametrize("notes", [b"", b"gitreg-index/v1 00\n{}", b"\xff"])
def test_damaged_notes_cost_time_alone(bare: Registry, forge: Forge, tmp_path: Path, notes: bytes) -> None:
    bare.publish_index(str(tmp_path / "index"))
    kept = next((forge.bare / "gitreg" / "published").glob("*.json"))
    kept.unlink()
    kept.write_bytes(notes)
    bare.alias("risk/fraud@1.0.0", "old")
    bare.publish_index(str(tmp_path / "index"))
    assert gitreg.open(tmp_path / "index").models() == bare.models()


def test_an_older_commit_never_replaces_a_newer_one(bare: Registry, forge: Forge, tmp_path: Path) -> None:
    old = bare.snapshot()
    bare.alias("risk/fraud@1.0.0", "old")
    bare.publish_index(str(tmp_path / "index"))
    before = files_of(tmp_path / "index")
    with pytest.raises(ConflictError, match="newer"):
        publish(lambda: old, Destination(bucket=LocalBucket(tmp_path / "index")))
    assert files_of(tmp_path / "index") == before


def test_the_head_is_written_after_all_that_it_names(
    bare: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real = LocalBucket.put

    def put(self: LocalBucket, key: str, data: bytes, *, replace: bool = False) -> None:
        order.append(key)
        real(self, key, data, replace=replace)

    monkeypatch.setattr(LocalBucket, "put", put)
    bare.publish_index(str(tmp_path / "index"))
    assert order.index("head.json") > max(place for place, key in enumerate(order) if key.startswith("shards/"))


def test_a_publication_that_broke_off_shows_nothing_new(
    bare: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "index"
    bare.publish_index(str(folder))
    before = gitreg.open(folder).models()
    bare.alias("risk/fraud@1.0.0", "old")
    real = LocalBucket.put

    def put(self: LocalBucket, key: str, data: bytes, *, replace: bool = False) -> None:
        if key == "head.json":
            raise OSError(28, "no room")
        real(self, key, data, replace=replace)

    with monkeypatch.context() as patch:
        patch.setattr(LocalBucket, "put", put)
        with pytest.raises(OSError, match="no room"):
            bare.publish_index(str(folder))
    assert gitreg.open(folder).models() == before
    bare.publish_index(str(folder))
    assert gitreg.open(folder).models() == bare.models()


def test_by_default_it_goes_into_the_store_and_gc_leaves_it(bare: Registry, forge: Forge) -> None:
    bare.publish_index()
    folder = forge.folder / "store" / "index"
    assert gitreg.open(folder).models() == bare.models()
    bare.gc(dry_run=False, grace="0")
    assert gitreg.open(folder).show("risk/fraud@prod") == bare.show("risk/fraud@prod")


def test_a_file_that_git_damaged_is_published_as_that(bare: Registry, forge: Forge, tmp_path: Path) -> None:
    clone = forge.clone()
    (clone / "models/risk/fraud/1.1.0.yaml").write_text("a: [")
    git(clone, "commit", "--quiet", "--no-verify", "-am", "damage")
    git(forge.bare, "fetch", "--quiet", str(clone), "+HEAD:refs/heads/main")
    done = bare.publish_index(str(tmp_path / "index"))
    assert done.damaged == ("models/risk/fraud/1.1.0.yaml",)
    with gitreg.open(tmp_path / "index") as reader:
        assert reader.show("risk/fraud@1.0.0") == bare.show("risk/fraud@1.0.0")
        with pytest.raises(gitreg.IntegrityError, match="was damaged when it was published"):
            reader.show("risk/fraud@1.1.0")


def test_whether_it_is_current_is_told(bare: Registry, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no index is published"):
        bare.published(str(tmp_path / "index"))
    bare.publish_index(str(tmp_path / "index"))
    assert bare.published(str(tmp_path / "index")).current
    bare.alias("risk/fraud@1.0.0", "old")
    assert not bare.published(str(tmp_path / "index")).current


def test_a_key_that_cannot_sign_publishes_nothing(bare: Registry, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="cannot sign"):
        bare.publish_index(str(tmp_path / "index"), key=tmp_path / "no-key")
    assert not (tmp_path / "index" / "head.json").exists()


def test_a_signature_is_added_to_what_was_published_without(bare: Registry, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    bare.publish_index(str(tmp_path / "index"))
    assert bare.publish_index(str(tmp_path / "index"), key=tmp_path / "key").changed
    assert not bare.publish_index(str(tmp_path / "index"), key=tmp_path / "key").changed


def test_what_was_forged_there_is_not_taken_over(bare: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    bare.publish_index(str(folder))
    for path in [*(folder / "shards").rglob("*.json"), folder / "head.json"]:
        data = path.read_bytes().replace(b"1.1.0", b"6.6.6")
        path.unlink()
        path.write_bytes(data)
    bare.alias("vision/ocr@0.1.0", "best")
    bare.publish_index(str(folder), anew=True)
    assert b"6.6.6" not in b"".join(path.read_bytes() for path in folder.rglob("*.json"))
    assert gitreg.open(folder).models() == bare.models()


# The server's hook


def _push(forge: Forge) -> subprocess.CompletedProcess[str]:
    clone = forge.clone()
    path = clone / "models/risk/fraud/model.yaml"
    path.write_text(re.sub(r"(?m)^description:.*$", "description: pushed", path.read_text()))
    git(clone, "commit", "--quiet", "--no-verify", "-am", "describe")
    return subprocess.run(
        ["git", "push", "--no-verify", "origin", "HEAD:main"], cwd=clone, capture_output=True, text=True, check=False
    )


def test_each_push_publishes_where_configuration_says_so(bare: Registry, forge: Forge) -> None:
    git(forge.bare, "config", "gitreg.indexpublish", "../site")
    done = _push(forge)
    assert done.returncode == 0, done.stderr
    assert gitreg.open(forge.folder / "site").model("risk/fraud").description == "pushed"


def test_a_push_is_accepted_where_publishing_fails(bare: Registry, forge: Forge) -> None:
    git(forge.bare, "config", "gitreg.indexpublish", "/nowhere/at/all")
    done = _push(forge)
    assert done.returncode == 0, done.stderr
    assert "the index is not published yet" in done.stderr
    assert bare.model("risk/fraud").description == "pushed"


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut a model of more than three files into shards of two on average."""
    monkeypatch.setattr(publish_module, "MOST_TOGETHER", 3)
    monkeypatch.setattr(publish_module, "_FILES", 2)


@pytest.mark.usefixtures("in_parts")
def test_a_model_of_very_many_versions_is_cut_and_a_new_one_changes_one_shard(bare: Registry, tmp_path: Path) -> None:
    for number in range(8):
        bare.register(request("risk/fraud", f"2.{number}.0"))
    bare.approve("risk/fraud@2.3.0", "prod", gitreg.Mode(user="root"), comment="good")
    bare.update_model("risk/fraud", card="# Fraud\n")
    folder = tmp_path / "index"
    bare.publish_index(str(folder))
    catalogue = _catalogue(folder)
    assert len(catalogue["models"]["fraud"]["shards"]) > 2
    _answers_as(bare, folder)

    bare.register(request("risk/fraud", "2.8.0"))
    changed = bare.publish_index(str(folder))
    before, after = (
        {each["sha256"] for each in of["models"]["fraud"]["shards"]} for of in (catalogue, _catalogue(folder))
    )
    assert len(after - before) <= 2  # the one that it is in; two where there is a cut before it
    assert changed.files_written == len(after - before) + 2
    _answers_as(bare, folder)
    assert not bare.publish_index(str(folder)).changed
    assert publish(bare.snapshot, Destination(bucket=LocalBucket(folder)), grace=0).files_removed > 0
    _answers_as(bare, folder)


def _catalogue(folder: Path) -> dict[str, Any]:
    sha256 = json.loads((folder / "head.json").read_bytes())["projects"]["risk"]["sha256"]
    found: dict[str, Any] = json.loads((folder / "shards" / sha256[:2] / f"{sha256}.json").read_bytes())
    return found


def _answers_as(bare: Registry, folder: Path) -> None:
    with gitreg.open(folder) as reader:
        assert reader.versions("risk/fraud") == bare.versions("risk/fraud")
        for each in bare.versions("risk/fraud"):
            assert reader.show(f"risk/fraud@{each.version}") == bare.show(f"risk/fraud@{each.version}")
        assert reader.card("risk/fraud") == "# Fraud\n"


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"shards": []},
        {"shards": "x"},
        {"shards": [{"first": "b", "sha256": "0" * 64, "size": 1}]},
        {"shards": [{"first": first, "sha256": "0" * 64, "size": 1} for first in ("", "c", "b")]},
        {"shards": [{"first": "", "sha256": "../x", "size": 1}]},
    ],
)
def test_a_row_that_names_no_shards_in_their_order_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        Part.all_of(row)


def test_notes_of_an_earlier_gitreg_cost_time_alone(bare: Registry, forge: Forge, tmp_path: Path) -> None:
    bare.publish_index(str(tmp_path / "index"))
    (notes,) = (forge.bare / "gitreg" / "published").glob("*.json")
    said = b'{"projects":{"risk":{}},"models":{},"left":{}}'
    notes.write_bytes(f"gitreg-index/v1 {hashlib.sha256(said).hexdigest()}\n".encode() + said)
    assert not bare.publish_index(str(tmp_path / "index")).changed
