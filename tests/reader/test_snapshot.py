"""A registry at one commit, and with edits that are in no commit yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.digest import Digest
from gitreg.errors import NotFoundError
from gitreg.manifest import Tombstone
from gitreg.names import EnvironmentName, ModelName, Version
from gitreg.reader import Overlay, Snapshot, VersionFile
from tests.registries import MAIN, git

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitreg.registry import Registry

FRAUD = ModelName("risk", "fraud")
NAMES = st.sampled_from("abc")
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


def test_files_are_read_as_far_as_a_question_needs(reading: Registry) -> None:
    snapshot = reading.snapshot()
    assert {"access.yaml", "deployments", "models", "registry.yaml", "status"} <= set(snapshot.names(""))
    assert snapshot.names("nowhere") == snapshot.names("access.yaml") == []
    assert snapshot.read("models") is None
    assert snapshot.read("nowhere") is None
    assert snapshot.settings.name == "acme"
    assert snapshot.environments() == ["staging", "prod"]
    assert [str(name) for name in snapshot.models()] == ["risk/fraud", "vision/ocr"]
    assert [str(version) for version in snapshot.versions(FRAUD)] == ["1.0.0", "1.1.0", "2.0.0-rc.1"]


def test_a_version_is_known_by_the_digest_of_its_bytes(reading: Registry) -> None:
    snapshot = reading.snapshot()
    found = snapshot.version(FRAUD, Version("1.0.0"))
    assert found.digest == Digest.of(snapshot.read("models/risk/fraud/1.0.0.yaml") or b"")
    assert list(snapshot.every_version(FRAUD)) == [
        snapshot.find(FRAUD, version) for version in snapshot.versions(FRAUD)
    ]
    assert snapshot.find(FRAUD, Version("9.0.0")) is None
    with pytest.raises(NotFoundError, match="there is no model a/b"):
        snapshot.versions(ModelName("a", "b"))


def test_a_tombstone_is_no_version(bare: Registry) -> None:
    bare.delete("risk/fraud@2.0.0-rc.1", reason="leak")
    snapshot = bare.snapshot()
    assert isinstance(snapshot.find(FRAUD, Version("2.0.0-rc.1")), Tombstone)
    assert [type(each) for each in snapshot.every_version(FRAUD)] == [VersionFile, VersionFile, Tombstone]


def test_pointers_and_status_are_read_by_place(reading: Registry) -> None:
    snapshot = reading.snapshot()
    assert [str(pointer.version) for pointer in snapshot.pointers(EnvironmentName("prod"))] == ["1.0.0"]
    assert snapshot.pointer(EnvironmentName("prod"), ModelName("vision", "ocr")) is None
    assert snapshot.status(EnvironmentName("staging"), FRAUD) is None
    assert list(snapshot.approvals(FRAUD, Version("1.0.0"))) == []
    first = git(reading.target.repository.git_dir, "rev-list", "--max-parents=0", MAIN)
    assert list(Snapshot(reading.target.repository, first).models()) == []


class Files:
    """A state in memory, as an overlay should answer."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def names(self, folder: str) -> Sequence[str]:
        prefix = f"{folder}/" if folder else ""
        return sorted({path[len(prefix) :].partition("/")[0] for path in self.files if path.startswith(prefix)})


def _tree(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Leave out what no tree can hold: a file that is a folder, too."""
    return {path: data for path, data in files.items() if not any(other.startswith(f"{path}/") for other in files)}


@given(
    st.dictionaries(PATHS, st.binary(max_size=1), max_size=6).map(_tree),
    st.dictionaries(PATHS, st.none() | st.binary(max_size=1), max_size=6),
)
def test_edits_lie_over_a_state_as_if_they_were_committed(
    below: dict[str, bytes], edits: dict[str, bytes | None]
) -> None:
    merged = {path: data for path, data in {**below, **edits}.items() if data is not None}
    if _tree(merged) != merged:
        return  # no commit could hold this
    overlay, expected = Overlay(Files(below), edits), Files(merged)
    for path in {"", "a", "b", "a/b", "a/b/c", *below, *edits}:
        assert overlay.read(path) == expected.read(path)
        assert sorted(overlay.names(path)) == expected.names(path)
