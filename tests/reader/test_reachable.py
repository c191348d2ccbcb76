"""Which blobs are needed, by whom: on main, in its history, on side branches, behind tags and proposals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.errors import InvalidError
from gitreg.git import Repository, refs
from gitreg.reader.reachable import Listed, Release, added, artifacts_in, present, reachable
from tests.registries import git

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAIN = "refs/heads/main"


def _hex(number: int) -> str:
    return f"{number:064x}"


def _manifest(version: str, *numbers: int, style: str = "") -> str:
    rows = "".join(
        f"  - path: file-{number}.bin\n    digest: sha256:{_hex(number)}\n    size: {number}\n    format: other\n"
        for number in numbers
    )
    return f"kind: ModelVersion\nmodel: a/b\nversion: {version}\nartifacts:\n{rows}license: MIT\n{style}"


class Work:
    """A repository that is written with plain git."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        git(folder.parent, "init", "--quiet", folder.name)

    def commit(self, files: dict[str, str | None], when: int = 1_700_000_000) -> str:
        for path, text in files.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                target.unlink()
            else:
                target.write_text(text)
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--allow-empty", "-m", "x", env={"GIT_COMMITTER_DATE": f"@{when} +0000"})
        return git(self.folder, "rev-parse", "HEAD")

    def refs(self, repository: Repository) -> dict[str, str]:
        return dict(refs.list_refs(repository, "refs/"))


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "work")


@pytest.fixture
def repository(work: Work) -> Iterator[Repository]:
    with Repository.open(work.folder) as opened:
        yield opened


def _version(number: int) -> str:
    return f"models/a/b/1.0.{number}.yaml"


def _needs(repository: Repository, release: Release | None = None) -> dict[str, list[str]]:
    found = reachable(repository, dict(refs.list_refs(repository, "refs/")), release)
    return {f"{int(digest, 16)}": [need.where for need in needs] for digest, needs in sorted(found.needs.items())}


def test_the_present_history_proposals_tags_and_side_branches_count(work: Work, repository: Repository) -> None:
    work.commit({_version(1): _manifest("1.0.1", 1)})
    work.commit({_version(2): _manifest("1.0.2", 2)})
    work.commit({_version(2): None})
    git(work.folder, "checkout", "--quiet", "-b", "side", "HEAD~2")
    work.commit({_version(3): _manifest("1.0.3", 3)})
    work.commit({_version(3): None})
    git(work.folder, "checkout", "--quiet", "main")
    git(work.folder, "merge", "--quiet", "--no-ff", "-m", "merged", "-s", "ours", "side")
    git(work.folder, "branch", "-D", "--quiet", "side")
    git(work.folder, "checkout", "--quiet", "-b", "proposals/bob/x")
    work.commit({_version(4): _manifest("1.0.4", 4)})
    git(work.folder, "checkout", "--quiet", "-b", "other", "main")
    work.commit({_version(5): _manifest("1.0.5", 5)})
    git(work.folder, "tag", "-a", "kept", "-m", "kept")
    git(work.folder, "checkout", "--quiet", "main")
    git(work.folder, "branch", "-D", "--quiet", "other")
    assert _needs(repository) == {
        "1": ["main"],
        "2": ["history"],
        "3": ["history"],
        "4": ["refs/heads/proposals/bob/x"],
        "5": ["a tag or a proposal"],
    }
    assert set(present(repository, git(work.folder, "rev-parse", "main")).needs) == {_hex(1)}


def test_what_a_merge_alone_brings_counts(work: Work, repository: Repository) -> None:
    work.commit({_version(1): _manifest("1.0.1", 1)})
    git(work.folder, "checkout", "--quiet", "-b", "side")
    work.commit({"free.txt": "x"})
    git(work.folder, "checkout", "--quiet", "main")
    work.commit({"more.txt": "x"})
    git(work.folder, "merge", "--quiet", "--no-ff", "--no-commit", "side")
    work.commit({_version(2): _manifest("1.0.2", 2)})
    work.commit({_version(2): None})
    assert _needs(repository)["2"] == ["history"]


def test_what_came_since_is_found_by_itself(work: Work, repository: Repository) -> None:
    work.commit({_version(1): _manifest("1.0.1", 1)})
    known = work.refs(repository)
    work.commit({_version(2): _manifest("1.0.2", 2), _version(3): _manifest("1.0.3", 3, 1)})
    assert added(repository, work.refs(repository), list(known.values())) == {_hex(1), _hex(2), _hex(3)}
    assert added(repository, known, list(known.values())) == frozenset()


def _tombstone(version: str) -> str:
    return f"kind: Tombstone\nmodel: a/b\nversion: {version}\nmanifest_digest: sha256:{_hex(99)}\nreason: gone\n"


def test_a_release_frees_deleted_versions_alone_and_not_what_another_needs(work: Work, repository: Repository) -> None:
    work.commit({_version(1): _manifest("1.0.1", 1, 7), _version(2): _manifest("1.0.2", 2, 7)}, 1000)
    work.commit({_version(1): _tombstone("1.0.1")}, 2000)
    work.commit({"free.txt": "later"}, 9000)
    assert set(_needs(repository)) == {"1", "2", "7"}
    assert set(_needs(repository, Release(2000))) == {"1", "2", "7"}
    assert set(_needs(repository, Release(2001))) == {"2", "7"}
    assert set(_needs(repository, Release(2001, ("a/*",)))) == {"1", "2", "7"}
    found = reachable(repository, work.refs(repository), Release(2001))
    assert [str(need) for need in found.released[_hex(1)]] == ["a/b@1.0.1 (file-1.bin)"]
    work.commit({_version(1): _manifest("1.0.1", 1, 7)}, 9000)  # restored
    assert set(_needs(repository, Release(2001))) == {"1", "2", "7"}


def test_the_clock_of_who_deletes_counts_from_the_commit_before_at_the_earliest(
    work: Work, repository: Repository
) -> None:
    work.commit({_version(1): _manifest("1.0.1", 1)}, 5000)
    work.commit({_version(1): _tombstone("1.0.1")}, 1000)
    assert set(_needs(repository, Release(5000))) == {"1"}
    assert set(_needs(repository, Release(5001))) == set()


def test_an_open_proposal_holds_what_main_has_deleted(work: Work, repository: Repository) -> None:
    work.commit({_version(1): _manifest("1.0.1", 1)}, 1000)
    git(work.folder, "checkout", "--quiet", "-b", "proposals/bob/again")
    work.commit({_version(2): _manifest("1.0.2", 1)}, 1000)
    git(work.folder, "checkout", "--quiet", "main")
    work.commit({_version(1): _tombstone("1.0.1")}, 2000)
    assert _needs(repository, Release(9000)) == {"1": ["refs/heads/proposals/bob/again"]}


def test_a_clone_whose_history_is_cut_off_is_not_believed(work: Work, tmp_path: Path) -> None:
    work.commit({_version(1): _manifest("1.0.1", 1)})
    work.commit({})
    git(tmp_path, "clone", "--quiet", "--depth=1", work.folder.as_uri(), "shallow")
    with Repository.open(tmp_path / "shallow") as shallow, pytest.raises(InvalidError, match="cut off"):
        reachable(shallow, work.refs(shallow))


EXPECTED = [Listed("file-1.bin", _hex(1), 1)]


@pytest.mark.parametrize(
    "text",
    [
        _manifest("1.0.0", 1),
        _manifest("1.0.0", 1).replace("file-1.bin", '"file-1.bin"'),
        _manifest("1.0.0", 1).replace("file-1.bin", '"file\\x2d1.bin"'),
        _manifest("1.0.0", 1).replace("sha256:0", '"sha256:\\x30').replace("1\n    size", '1"\n    size'),
        f'kind: ModelVersion\n"artifacts": [{{"size": 1, "path": file-1.bin, "digest": "sha256:{_hex(1)}"}}]\n',
        _manifest("1.0.0", 1, style='description: "\n\n  artifacts: none\n"\n'),
        _manifest("1.0.0", 1).replace("    format: other\n", "    format: other\n    inspection:\n      tensors: 1\n"),
        _manifest("1.0.0", 1).replace("license: MIT\n", f"training:\n  datasets: [{{digest: sha256:{_hex(5)}}}]\n"),
    ],
)
def test_artifacts_are_found_however_they_are_written(text: str) -> None:
    assert artifacts_in(text.encode()) == EXPECTED


@pytest.mark.parametrize(
    "text",
    [
        f"broken: [sha256:{_hex(1)}",
        f"artifacts: sha256:{_hex(1)}",
        f"artifacts: [sha256:{_hex(1)}]",
        f"artifacts: [{{path: [], digest: sha256:{_hex(1)}, size: x}}]",
    ],
)
def test_what_is_no_manifest_keeps_whatever_looks_like_a_digest(text: str) -> None:
    assert [each.digest for each in artifacts_in(text.encode())] == [_hex(1)]


@pytest.mark.parametrize("text", ["", "a: b", _tombstone("1.0.0"), "kind: ModelVersion\nexternal: {}\n", "\xff"])
def test_what_names_no_artifact_needs_none(text: str) -> None:
    assert artifacts_in(text.encode("latin-1")) == []


def test_a_name_that_yaml_takes_for_a_number_is_read_as_it_was_written() -> None:
    [listed] = artifacts_in(_manifest("1.0.0", 1).replace("file-1.bin", "1.50").encode())
    assert listed.digest == _hex(1)


def test_other_files_of_a_model_name_no_blobs(work: Work, repository: Repository) -> None:
    work.commit({"models/a/b/model.yaml": _manifest("1.0.0", 1), "models/a/b/README.md": _manifest("1.0.0", 2)})
    (work.folder / "models/a/b/1.0.9.yaml").symlink_to("model.yaml")
    work.commit({})
    assert _needs(repository) == {}
