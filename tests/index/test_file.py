from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.errors import UnavailableError
from gitreg.git import Repository
from gitreg.git.process import Runner
from gitreg.index import file as index_file
from gitreg.index import workers
from gitreg.index.file import DamagedError, IndexFile
from gitreg.index.precedence import precedence
from gitreg.index.rows import LISTS, rows_of
from gitreg.names import Version
from gitreg.reader import Snapshot, indexing
from gitreg.registry.search import build, state
from tests.index.conftest import MODELS, SETTINGS, START, VERSIONS, Made, Writer, finder, names, pointer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

WHOLE = len(MODELS) * len(VERSIONS)


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Path:
    """A copy of the registry, with an index."""
    import shutil

    folder = tmp_path / "copy.git"
    shutil.copytree(made.folder, folder, ignore=shutil.ignore_patterns("index.*"))
    assert len(finder(folder)("size > 0")) == WHOLE
    return folder


def _path(folder: Path) -> Path:
    return folder / "gitreg" / "index.sqlite"


def _flip(path: Path, places: Iterator[int] | range) -> None:
    data = bytearray(path.read_bytes())
    for place in places:
        data[place % len(data)] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("place", [0, 20, 60, 100, 5_000, 20_000, -50])
def test_flipped_bytes_are_found_and_made_good(copy: Path, place: int) -> None:
    _flip(_path(copy), range(place, place + 8))
    found = finder(copy)("size > 0")
    assert (len(found), found.notes) == (WHOLE, ())
    with sqlite3.connect(_path(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("data", [b"", b"x", b"SQLite format 3\0", os.urandom(9_000)])
def test_a_file_that_is_no_index_is_made_anew(copy: Path, data: bytes) -> None:
    _path(copy).write_bytes(data)
    assert len(finder(copy)("size > 0")) == WHOLE


def test_damage_that_nobody_noted_is_made_good_when_it_is_met(copy: Path) -> None:
    size = _path(copy).stat().st_size
    _flip(_path(copy), range(4_096, size, 97))
    _path(copy).with_suffix(".stamp").unlink()
    assert len(finder(copy)("size > 0")) == WHOLE


def test_an_index_of_another_schema_is_made_anew(copy: Path) -> None:
    with sqlite3.connect(_path(copy)) as connection:
        connection.execute("PRAGMA user_version = 999")
        connection.execute("DROP TABLE metrics")
    connection.close()
    assert len(finder(copy)("metrics.auc >= 0")) > 0


def test_a_folder_that_cannot_be_written_is_answered_from_git_and_says_so(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _path(copy).unlink()

    def refuse(self: IndexFile) -> None:
        raise UnavailableError("the index cannot be written: No space left on device")

    monkeypatch.setattr(IndexFile, "writing", refuse)
    found = finder(copy)("size > 0")
    assert len(found) == WHOLE
    assert "No space left on device; answered from git" in found.notes[0]
    assert not _path(copy).exists()


def test_who_finds_another_writing_for_long_answers_from_a_copy(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _flip(_path(copy), range(8))
    monkeypatch.setattr(index_file, "PATIENCE", 0.0)
    with IndexFile(_path(copy))._alone():
        found = finder(copy)("size > 0")
    assert len(found) == WHOLE
    assert "another process" in found.notes[0]


def test_damage_in_a_place_that_cannot_be_written_is_answered_from_git(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _damage(copy)

    def refuse(self: IndexFile) -> None:
        raise UnavailableError("the index cannot be thrown away: Read-only file system")

    monkeypatch.setattr(IndexFile, "discard", refuse)
    found = finder(copy)("metrics.auc >= 0 or size > 0")
    assert (len(found), len(found.notes)) == (WHOLE, 1)
    assert "Read-only file system; answered from git" in found.notes[0]


def _damage(folder: Path) -> None:
    size = _path(folder).stat().st_size
    _flip(_path(folder), range(4_096, size, 97))
    _path(folder).with_suffix(".stamp").unlink()


def test_the_past_is_answered_where_the_index_is_damaged(copy: Path, made: Made) -> None:
    _damage(copy)
    assert len(finder(copy)("size > 0", at=made.tips[0])) == WHOLE


def test_damage_is_told_by_the_state_and_made_good_by_building(copy: Path, made: Made) -> None:
    _damage(copy)
    with Repository.open(copy) as repository:
        before = Snapshot(repository, made.tips[0])
        assert state(before).versions == 0
        assert build(before, anew=False).versions == WHOLE


def test_what_the_machine_refuses_is_no_damage(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(sqlite3.Connection):
        def execute(self, sql: str, *args: object) -> sqlite3.Cursor:
            if sql.startswith("SELECT v.model"):
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
                raise error
            return super().execute(sql, *args)  # type: ignore[arg-type]

    before = _path(copy).stat().st_ino
    connect = sqlite3.connect
    made = iter([Refusing])

    def one(*args: Any, **named: Any) -> sqlite3.Connection:  # noqa: ANN401 - what sqlite3.connect takes
        return connect(*args, factory=next(made, sqlite3.Connection), **named)

    monkeypatch.setattr(sqlite3, "connect", one)
    found = finder(copy)("size > 0")
    assert (len(found), _path(copy).stat().st_ino) == (WHOLE, before)
    assert "disk I/O error; answered from git" in found.notes[0]


def test_nobody_waits_for_a_reader(copy: Path, made: Made) -> None:
    with IndexFile(_path(copy)).reading() as reader:
        assert reader.execute("SELECT count(*) FROM versions").fetchone() == (WHOLE,)
        with Repository.open(copy) as repository:
            began = time.monotonic()
            indexing.update(Snapshot(repository, made.tips[0]))
            assert time.monotonic() - began < index_file.PATIENCE / 2
    assert len(finder(copy)("deployed('prod')")) == 3


def test_a_file_that_was_made_anew_while_it_was_opened_is_not_read(
    copy: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, opened = IndexFile(_path(copy)), index_file._opened

    @contextlib.contextmanager
    def slowly(path: Path | None, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        with opened(path, create=create) as connection:
            monkeypatch.undo()
            with Repository.open(copy) as repository:
                build(Snapshot(repository, made.tips[0]), anew=True)
            yield connection

    monkeypatch.setattr(index_file, "_opened", slowly)
    with pytest.raises(DamagedError, match="anew"), file.reading():
        pass
    with file.reading() as connection:
        assert connection.execute("SELECT count(*) FROM versions").fetchone() == (WHOLE,)


def test_a_reader_sees_what_was_there_while_another_process_writes(copy: Path, made: Made) -> None:
    file = IndexFile(_path(copy))
    with file.reading() as reader, pytest.raises(ZeroDivisionError), file.writing() as writer:  # noqa: PT012
        writer.execute("DELETE FROM versions")
        assert reader.execute("SELECT count(*) FROM versions").fetchone() == (WHOLE,)
        raise ZeroDivisionError
    with file.reading() as reader:
        assert reader.execute("SELECT count(*) FROM versions").fetchone() == (WHOLE,)


def test_one_more_commit_reads_what_it_changed_and_drops_what_that_said_before(writer: Writer) -> None:
    manifest = "models/risk/fraud/{}.yaml"
    text = (
        "api_version: gitreg/v1\nkind: ModelVersion\nmodel: risk/fraud\nversion: 1.0.0\ncreated: 2026-01-01T00:00:00Z\n"
        "author: {name: A, email: a@example.org}\nartifacts: []\nmetrics: {auc: 0.5}\ndescription: Told at 0.5\n"
        "evaluations: [{dataset: {name: holdout}, metrics: {auc: 0.5}}]\n"
    )
    read, rows = [], []
    changes: list[dict[str, str | None]] = [
        {"registry.yaml": SETTINGS, manifest.format("1.0.0"): text},
        {manifest.format("1.0.0"): text.replace("0.5", "0.6")},
        {"README.md": "x\n"},
        {manifest.format("1.0.0"): text},
        {manifest.format("1.0.0"): None},
        {manifest.format("1.0.0"): text},
    ]
    for number, change in enumerate(changes):
        writer.commit(START + number, change)
        with Repository.open(writer.folder) as repository:
            read.append(indexing.update(Snapshot(repository, writer.tip())))
        there = [] if change.get(manifest.format("1.0.0"), "") is None else ["risk/fraud@1.0.0"]
        assert names(finder(writer.folder)("metrics.auc > 0")) == there
        assert names(finder(writer.folder)("text('told')")) == there
        with IndexFile(_path(writer.folder)).reading() as connection:
            counts = [f"(SELECT count(*) FROM {table})" for table in ("manifests", *LISTS)]  # noqa: S608 - our own names
            rows.append(sum(connection.execute(f"SELECT {', '.join(counts)}").fetchone()))
    assert read == [1, 1, 0, 1, 0, 1]
    assert rows == [4, 4, 4, 4, 0, 4]


@pytest.mark.parametrize("later", [1, -300_000_000], ids=["in order", "dated before all others"])
def test_a_few_more_commits_are_followed_without_another_process(
    copy: Path, made: Made, monkeypatch: pytest.MonkeyPatch, later: int
) -> None:
    # git would walk all history for a commit that is dated before what it follows.
    writer = object.__new__(Writer)
    writer.folder = copy
    for version in ("1.0.0", "2.0.0"):
        text = pointer("staging", "risk/churn", version)
        writer.commit(START + 10 * 86_400 + later, {"deployments/staging/risk/churn.yaml": text})
    writer.commit(START + 10 * 86_400 + later, {"deployments/prod/risk/fraud.yaml": None, "README.md": "x"})
    started: list[str] = []
    start = Runner.start
    with Repository.open(copy) as repository:
        snapshot = Snapshot(repository, writer.tip())
        repository.objects.start()

        def noted(self: Runner, args: Sequence[str], **how: Any) -> Any:  # noqa: ANN401 - as the method it stands for
            started.append(args[0])
            return start(self, args, **how)

        monkeypatch.setattr(Runner, "start", noted)
        indexing.update(snapshot)
    assert started == []
    monkeypatch.undo()
    find = finder(copy)
    assert names(find("deployed('staging')")) == ["risk/churn@2.0.0"]
    assert "risk/fraud@2.0.0" not in names(find("deployed('prod')"))


def test_a_card_is_found_wherever_it_stands_among_many_files(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "_AT_ONCE", 1)
    monkeypatch.setattr(indexing, "_TOGETHER", 1)
    model = "api_version: gitreg/v1\nkind: Model\nmodel: risk/fraud\n"
    files: dict[str, str | None] = {"registry.yaml": SETTINGS, "models/risk/fraud/model.yaml": model}
    files["models/risk/fraud/README.md"] = "Finds stolen cards.\n"
    files["models/risk/fraud/1.0.0.yaml"] = (
        "kind: ModelVersion\ncreated: 2026-01-01T00:00:00Z\nauthor: {name: A, email: a@example.org}\n"
    )
    writer.commit(START, files)
    assert names(finder(writer.folder)("text('stolen')")) == ["risk/fraud@1.0.0"]


def test_a_main_that_was_rewound_is_followed(copy: Path, made: Made) -> None:
    import subprocess

    subprocess.run(["git", "update-ref", "refs/heads/main", made.tips[0]], cwd=copy, check=True)
    assert names(finder(copy)("deployed('prod')")) == []
    assert len(finder(copy)("size > 0")) == WHOLE


def test_files_that_cannot_be_read_are_left_out_and_told_of(writer: Writer) -> None:
    good = "models/risk/fraud/1.0.0.yaml"
    bad = {
        "2.0.0": "kind: [",
        "3.0.0": "kind: ModelVersion\n",
        "4.0.0": "kind: ModelVersion\ncreated: 1\nauthor: x\nmetrics: []\n",
        "5.0.0": "- a\n",
    }
    text = (
        "kind: ModelVersion\nmodel: risk/fraud\nversion: 1.0.0\ncreated: 2026-01-01T00:00:00Z\n"
        "author: {name: A, email: a@example.org}\n"
    )
    files = {f"models/risk/fraud/{version}.yaml": each for version, each in bad.items()}
    writer.commit(START, {"registry.yaml": SETTINGS, good: text, "models/odd.txt": "x", **files})
    found = finder(writer.folder)("created > 2000")
    assert names(found) == ["risk/fraud@1.0.0"]
    assert found.notes == ("4 files could not be read and are left out; `gitreg check` shows what is wrong",)
    with Repository.open(writer.folder) as repository:
        assert len(state(Snapshot(repository, writer.tip())).problems) == 4


def test_the_state_tells_whether_the_index_is_current(copy: Path, made: Made) -> None:
    with Repository.open(copy) as repository:
        now, before = Snapshot(repository, made.tips[-1]), Snapshot(repository, made.tips[0])
        assert (state(now).current, state(before).current, state(now).versions) == (True, False, WHOLE)
        assert build(now, anew=False).read == 0
        assert build(now, anew=True).read == WHOLE + len(MODELS) + 1
        _path(copy).unlink()
        assert (state(now).commit, state(now).current) == (None, False)


def test_processes_read_what_one_process_reads(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"kind: Deployment\nenvironment: prod\nmodel: a/b\nversion: 1.0.0\n"
    tasks = [("pointer", text.replace(b"1.0.0", b"1.0.%d" % n)) for n in range(600)] + [("version", b"[")]
    alone = list(workers.read_all(tasks, 1))
    assert list(workers.read_all(tasks, workers.FEW, processes=2)) == alone
    assert isinstance(alone[-1], str)


def test_reading_that_is_broken_off_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    close = workers._Worker.close

    def noted(worker: workers._Worker) -> None:
        close(worker)
        closed.append(worker._process.returncode)

    monkeypatch.setattr(workers._Worker, "close", noted)
    answers = workers.read_all((("card", b"x") for _ in range(5_000)), workers.FEW, processes=2)
    next(answers)
    answers.close()
    assert len(closed) == 2
    assert None not in closed


def test_a_pointer_that_a_person_wrote_reads_as_one_that_gitreg_wrote() -> None:
    plain = b"api_version: gitreg/v1\nkind: Deployment\nenvironment: prod\nmodel: a/b\nversion: 1.0.0-rc.1\n"
    by_hand = b"# by hand\nkind: Deployment\nversion: '1.0.0-rc.1'\nmodel: a/b\nenvironment: prod\n"
    assert rows_of("pointer", plain) == rows_of("pointer", by_hand) == (("1.0.0-rc.1", None, None), {})


def test_precedence_orders_as_semver_does() -> None:
    texts = ["0.0.0-0", "0.0.0", "0.2.0", "0.10.0", "1.0.0-1", "1.0.0-2", "1.0.0-10", "1.0.0-alpha", "1.0.0-alpha.1"]
    texts += ["1.0.0-alpha.1.0", "1.0.0-alpha.beta", "1.0.0-alpha-", "1.0.0-alphaa", "1.0.0-beta", "1.0.0", "1.0.1-a"]
    texts += ["9.0.0", "10.0.0", f"{10**60}.0.0"]
    assert sorted(texts, key=precedence) == [str(each) for each in sorted(map(Version, texts))]
