"""A registry read from static files answers as git does, asks as little as it may, and believes nothing unverified."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import gitreg
from gitreg import connections
from gitreg.errors import DeniedError, GitregError, IntegrityError, InvalidError, NotFoundError, UnavailableError
from gitreg.published import site, sources
from gitreg.registry.locking import pull_locked, read_lock
from tests.registries import WEIGHTS, git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gitreg.registry import Registry
    from tests.published.conftest import Web
    from tests.registries import Forge

WEIGHTS_DIGEST = f"sha256:{hashlib.sha256(WEIGHTS).hexdigest()}"

QUESTIONS: dict[str, Callable[[Registry], object]] = {
    "models": lambda registry: registry.models(),
    "project": lambda registry: registry.models("risk"),
    "model": lambda registry: registry.model("risk/fraud"),
    "card": lambda registry: registry.card("vision/ocr"),
    "exact": lambda registry: registry.show("risk/fraud@1.0.0"),
    "latest": lambda registry: registry.show("risk/fraud"),
    "prod": lambda registry: registry.show("risk/fraud@prod"),
    "alias": lambda registry: registry.show("risk/fraud@champion"),
    "range": lambda registry: registry.show("risk/fraud@^1.0"),
    "versions": lambda registry: registry.versions("risk/fraud"),
    "status": lambda registry: registry.status(),
    "status of one": lambda registry: registry.status("prod", "risk/fraud"),
    "lineage": lambda registry: registry.lineage("vision/ocr"),
    "diff": lambda registry: registry.diff("risk/fraud@1.0.0", "risk/fraud@1.1.0"),
    "compare": lambda registry: registry.compare(["risk/fraud@1.0.0", "risk/fraud@1.1.0"]),
    "series": lambda registry: registry.series("risk/fraud", ["auc"]),
    "complete": lambda registry: registry.complete("risk/fraud@"),
    "no model": lambda registry: registry.show("risk/froud"),
    "no version": lambda registry: registry.show("risk/fraud@9.9.9"),
    "no alias": lambda registry: registry.show("risk/fraud@champoin"),
    "no project": lambda registry: registry.models("nothing"),
}


def _answer(question: Callable[[Registry], object], registry: Registry) -> object:
    try:
        return question(registry)
    except GitregError as error:
        return type(error), str(error)


def test_every_question_is_answered_as_git_answers_it(published: Registry, web: Web) -> None:
    with gitreg.open(web.url) as reader:
        for name, question in QUESTIONS.items():
            assert _answer(question, reader) == _answer(question, published), name


def test_approvals_and_the_card_are_in_the_index(bare: Registry, web: Web) -> None:
    bare.update_model("risk/fraud", card="# Fraud\n")
    bare.approve("risk/fraud@1.1.0", "prod", gitreg.Mode(user="root"), comment="good")
    bare.publish_index(str(web.folder))
    with gitreg.open(web.url) as reader:
        assert reader.card("risk/fraud") == "# Fraud\n"
        assert [each.comment for each in reader.show("risk/fraud@1.1.0").approvals] == ["good"]


def test_one_answer_is_one_conditional_request_where_nothing_changed(published: Registry, web: Web) -> None:
    gitreg.open(web.url).get_model("risk/fraud@prod")
    # The first time it might be a gitreg server as well.
    assert web.answers() == [("", 404), ("head.json", 200), ("shards", 200), ("shards", 200)]
    gitreg.open(web.url).get_model("risk/fraud@prod")
    assert web.answers() == [("head.json", 304)]
    with gitreg.open(web.url) as reader:
        for _ in range(3):
            reader.get_model("risk/fraud@prod")
        assert web.answers() == [("head.json", 304)]
        reader.refresh()
        assert web.answers() == [("head.json", 304)]


def test_only_what_changed_is_asked_for_again(published: Registry, web: Web) -> None:
    gitreg.open(web.url).models()
    gitreg.open(web.url).show("risk/fraud@1.0.0")
    web.answers()
    published.alias("vision/ocr@0.1.0", "best")
    published.publish_index(str(web.folder))
    gitreg.open(web.url).show("risk/fraud@1.0.0")
    assert web.answers() == [("head.json", 200)]


def test_a_reader_sees_one_state_while_the_head_is_switched(published: Registry, web: Web) -> None:
    with gitreg.open(web.url) as reader:
        before = reader.models()
        published.alias("risk/fraud@1.0.0", "old")
        published.deploy("risk/fraud@1.1.0", "prod")
        published.publish_index(str(web.folder))
        assert str(reader.show("risk/fraud@prod").manifest.version) == "1.0.0"
        assert reader.models() == before
        reader.refresh()
        assert str(reader.show("risk/fraud@prod").manifest.version) == "1.1.0"


def test_no_git_is_needed(published: Registry, web: Web, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    command = [sys.executable, "-m", "gitreg", "--registry", web.url, "show", "risk/fraud@prod", "--json"]
    done = subprocess.run(command, env={**os.environ, "PATH": str(empty)}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["manifest"]["version"] == "1.0.0"


def test_the_files_are_downloaded_from_the_store(bare: Registry, forge: Forge, web: Web, tmp_path: Path) -> None:
    settings = (forge.local / "registry.yaml").read_text().replace("file:../store", f"file:{forge.folder}/store")
    _commit(forge, "registry.yaml", settings)
    bare.publish_index(str(web.folder))
    folder = gitreg.open(web.url).get_model("risk/fraud@prod").download(tmp_path / "out")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("over", ["http", "folder"])
def test_a_version_is_locked_and_pulled_by_readers_of_the_index_alone(
    bare: Registry, forge: Forge, web: Web, tmp_path: Path, over: str
) -> None:
    settings = (forge.local / "registry.yaml").read_text().replace("file:../store", f"file:{forge.folder}/store")
    _commit(forge, "registry.yaml", settings)
    bare.publish_index(str(web.folder))
    lock = tmp_path / "models.lock"
    with gitreg.open(web.url if over == "http" else web.folder) as reader:
        assert [each.version.text for each in reader.lock(["risk/fraud@prod"], lock).models] == ["1.0.0"]
    bare.update("risk/fraud@1.0.0", description="Changed since it was locked.")
    bare.publish_index(str(web.folder))
    with gitreg.open(read_lock(lock).registry) as reader:
        [pulled] = pull_locked(lock, lambda _, locked: reader.locked_store(locked))
        assert (pulled.folder / "model.safetensors").read_bytes() == WEIGHTS
        for told, error in ((WEIGHTS_DIGEST, IntegrityError), ("risk/fraud", NotFoundError)):
            lock.write_text(lock.read_text().replace(told, told.replace("f", "e")))
            with pytest.raises(error):
                reader.locked_store(next(iter(read_lock(lock).models.values())))


def test_a_lock_of_the_registry_fits_its_index_and_no_other(bare: Registry, web: Web, tmp_path: Path) -> None:
    lock = tmp_path / "models.lock"
    bare.lock(["risk/fraud@prod"], lock)
    bare.publish_index(str(web.folder))
    with gitreg.open(web.url) as reader:
        assert reader.lock(path=lock, check=True).changed == ()
        other = lock.read_text().replace(bare.address, "elsewhere").replace(WEIGHTS_DIGEST, f"sha256:{'0' * 64}")
        lock.write_text(other)
        with pytest.raises(IntegrityError, match="is not what was locked"):
            reader.lock(path=lock)


def _commit(forge: Forge, path: str, text: str) -> None:
    clone = forge.clone("editing")
    (clone / path).write_text(text)
    git(clone, "commit", "--quiet", "--no-verify", "-am", "settings")
    git(clone, "push", "--quiet", "--no-verify", "origin", "HEAD:main")


@pytest.mark.parametrize(
    "act",
    [
        lambda reader: reader.yank("risk/fraud@1.0.0"),
        lambda reader: reader.deploy("risk/fraud@1.0.0", "prod"),
        lambda reader: reader.search("metrics.auc > 0"),
        lambda reader: reader.history("risk/fraud"),
        lambda reader: reader.show("risk/fraud", at="2026-01-01"),
    ],
)
def test_what_needs_the_registry_itself_says_so(published: Registry, web: Web, act: Callable[[Registry], Any]) -> None:
    with gitreg.open(web.url) as reader, pytest.raises(InvalidError, match="name the registry itself"):
        act(reader)


def test_a_folder_is_read_as_well(published: Registry, web: Web) -> None:
    assert gitreg.open(web.folder).models() == published.models()
    assert web.asked == []


def test_a_git_repository_behind_http_is_no_index(web: Web) -> None:
    web.folder.mkdir()
    (web.folder / "head.json").write_text("<html>welcome</html>")
    assert gitreg.open(web.url).index is None


def test_what_is_known_is_read_without_the_server(published: Registry, web: Web) -> None:
    gitreg.open(web.url).show("risk/fraud@1.0.0")
    web.redirect = "http://127.0.0.1:9"
    assert gitreg.open(web.url, fetch=False).show("risk/fraud@1.0.0") == published.show("risk/fraud@1.0.0")
    with pytest.raises(UnavailableError):
        gitreg.open(web.url).show("risk/fraud@1.0.0")


# What is served is not what was published


def _shards(web: Web) -> list[Path]:
    return sorted((web.folder / "shards").rglob("*.json"))


def _shard_of(web: Web, text: str) -> Path:
    return next(path for path in _shards(web) if f'"model":"{text}"' in path.read_text()[:200])


def _rewrite(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


@pytest.mark.parametrize("size", ["same", "shorter", "longer", "empty"])
def test_a_shard_with_other_bytes_is_refused(published: Registry, web: Web, size: str) -> None:
    path = _shard_of(web, "risk/fraud")
    data = path.read_bytes()
    changed = {"same": data.replace(b"0.95", b"0.99"), "shorter": data[:-9], "longer": data + b" ", "empty": b""}[size]
    assert changed != data
    _rewrite(path, changed)
    with pytest.raises(IntegrityError):
        gitreg.open(web.url).show("risk/fraud@1.1.0")
    assert gitreg.open(web.url).show("vision/ocr@0.1.0") == published.show("vision/ocr@0.1.0")


def test_a_shard_that_is_missing_is_told(published: Registry, web: Web) -> None:
    _shard_of(web, "risk/fraud").unlink()
    with pytest.raises(UnavailableError, match="is not in the index"):
        gitreg.open(web.url).show("risk/fraud@1.1.0")


def test_a_shard_in_the_cache_that_was_damaged_is_asked_for_again(
    published: Registry, web: Web, tmp_path: Path
) -> None:
    gitreg.open(web.url).show("risk/fraud@1.1.0")
    for path in (tmp_path / "cache" / "indexes" / "shards").rglob("*.json"):
        _rewrite(path, path.read_bytes().replace(b"0.95", b"0.99"))
    assert gitreg.open(web.url).show("risk/fraud@1.1.0").manifest.metrics["auc"] == 0.95


def test_an_answer_that_is_cut_off_is_no_answer(published: Registry, web: Web) -> None:
    gitreg.open(web.url).models()
    published.alias("risk/fraud@1.0.0", "old")
    published.publish_index(str(web.folder))
    web.cut = True
    with pytest.raises(UnavailableError, match=r"ended after|cannot be read"):
        gitreg.open(web.url).models()


def test_no_more_is_read_than_a_head_may_have(published: Registry, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    gitreg.open(web.url).models()
    _rewrite(web.folder / "head.json", b" " * 5000)
    monkeypatch.setattr(site, "MAX_HEAD", 4096)
    with pytest.raises(IntegrityError, match="at most 4096"):
        gitreg.open(web.url).models()


@pytest.mark.parametrize("hangs_up", [False, True])
def test_one_connection_is_used_for_all_that_is_asked(
    published: Registry, web: Web, monkeypatch: pytest.MonkeyPatch, *, hangs_up: bool
) -> None:
    monkeypatch.setattr(connections, "_FRESH", 1000.0)
    web.hangs_up = hangs_up
    with gitreg.open(web.url) as reader:
        reader.models()
        web.connections = 0
        for model in ("risk/fraud", "vision/ocr"):
            reader.versions(model)
        reader.refresh()
    assert [kind for kind, _ in web.answers()].count("shards") >= 3
    assert web.connections == (3 if hangs_up else 0)


@pytest.mark.parametrize("packs", ["gzip", "x-gzip"])
def test_shards_come_packed_where_the_server_offers_it(published: Registry, web: Web, packs: str) -> None:
    web.packs = packs
    with gitreg.open(web.url) as reader, gitreg.open(str(web.folder)) as folder:
        assert reader.versions("risk/fraud") == folder.versions("risk/fraud")
        reader.refresh()
    assert web.answers()[-1] == ("head.json", 304)


@pytest.mark.parametrize(
    ("packs", "body", "said"),
    [
        ("br", b"x", "nobody asked for"),
        ("gzip", b"no gzip", "packed wrongly"),
        ("gzip", gzip.compress(b"x" * 9, mtime=0)[:-9], "before its end"),
        ("gzip", gzip.compress(bytes(1 << 20), mtime=0), "more than the"),
        ("gzip", gzip.compress(b"{}", mtime=0), "digest differs"),
    ],
    ids=["another way", "no gzip", "cut off", "a bomb", "another shard"],
)
def test_what_is_packed_otherwise_is_refused(published: Registry, web: Web, packs: str, body: bytes, said: str) -> None:
    web.packs, web.body = packs, body
    with gitreg.open(web.url) as reader, pytest.raises(GitregError, match=said):
        reader.versions("risk/fraud")


def test_no_redirect_leads_to_another_server(published: Registry, web: Web) -> None:
    gitreg.open(web.url).models()
    web.redirect = "http://localhost:9"
    with pytest.raises(UnavailableError, match="another server"):
        gitreg.open(web.url).models()


def test_plain_http_is_for_the_loopback_alone(monkeypatch: pytest.MonkeyPatch, published: Registry, web: Web) -> None:
    monkeypatch.setattr(sources, "is_loopback", lambda _: False)
    with pytest.raises(InvalidError, match="use https"):
        gitreg.open(web.url).models()


def test_an_older_head_than_one_that_was_seen_is_not_taken(published: Registry, web: Web) -> None:
    old = (web.folder / "head.json").read_bytes()
    published.alias("risk/fraud@1.0.0", "old")
    published.publish_index(str(web.folder))
    newest = gitreg.open(web.url).show("risk/fraud@1.0.0")
    _rewrite(web.folder / "head.json", old)
    assert gitreg.open(web.url).show("risk/fraud@1.0.0") == newest


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "another format": lambda head: head.update(format="gitreg-index/v9"),
    "no commit": lambda head: head.update(commit="x"),
    "no time": lambda head: head.update(published=7),
    "a project that leads elsewhere": lambda head: head["projects"].update({"../x": head["projects"]["risk"]}),
    "a huge shard": lambda head: head["projects"]["risk"].update(size=1 << 40),
    "a digest that is a path": lambda head: head["projects"]["risk"].update(sha256="../../x"),
    "another project's catalogue": lambda head: head["projects"].update(risk=head["projects"]["vision"]),
    "settings that nobody would accept": lambda head: head["settings"]["data"].update(environments=[{"name": "../x"}]),
    "deep settings": lambda head: head["settings"]["data"].update(environments=_deep(30)),
    "no settings": lambda head: head.pop("settings"),
}


def _deep(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_head_is_refused(published: Registry, web: Web, name: str) -> None:
    gitreg.open(web.url).models()
    head = json.loads((web.folder / "head.json").read_bytes())
    head["published"] = "2099-01-01T00:00:00Z"
    HOSTILE[name](head)
    _rewrite(web.folder / "head.json", json.dumps(head).encode())
    with pytest.raises((IntegrityError, InvalidError)):
        gitreg.open(web.url).status("prod", "risk/fraud")


@pytest.mark.parametrize("data", [b"[" * 100_000, b"null", b'{"format":NaN}', b"\xff", b'{"a":1e999}'])
def test_a_head_that_is_no_json_is_refused(published: Registry, web: Web, data: bytes) -> None:
    gitreg.open(web.url).models()
    _rewrite(web.folder / "head.json", data)
    with pytest.raises(IntegrityError):
        gitreg.open(web.url).models()


def _forged(web: Web, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the shard of risk/fraud, and all that leads to it, as somebody who owns the web server would."""
    head = json.loads((web.folder / "head.json").read_bytes())
    catalogue = json.loads(_path(web, head["projects"]["risk"]).read_bytes())
    shard = json.loads(_path(web, catalogue["models"]["fraud"]["shard"]).read_bytes())
    change(shard)
    catalogue["models"]["fraud"]["shard"] = _stored(web, shard)
    head["projects"]["risk"] = _stored(web, catalogue)
    _rewrite(web.folder / "head.json", json.dumps(head).encode())


def _path(web: Web, ref: dict[str, Any]) -> Path:
    name = str(ref["sha256"])
    return web.folder / "shards" / name[:2] / f"{name}.json"


def _stored(web: Web, data: object) -> dict[str, Any]:
    content = json.dumps(data).encode()
    ref = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    _path(web, ref).parent.mkdir(exist_ok=True)
    _path(web, ref).write_bytes(content)
    return ref


def _manifest(shard: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    return shard["files"]["models/risk/fraud/1.1.0.yaml"]["data"]


FORGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "a file above the folder": lambda shard: _manifest(shard)["artifacts"][0].update(path="../../.bashrc"),
    "another model": lambda shard: _manifest(shard).update(model="risk/other"),
    "another version": lambda shard: _manifest(shard).update(version="9.0.0"),
    "a field of a wrong kind": lambda shard: _manifest(shard).update(metrics="x"),
    "no data": lambda shard: shard["files"]["models/risk/fraud/1.1.0.yaml"].pop("data"),
    "no digest": lambda shard: shard["files"]["models/risk/fraud/1.1.0.yaml"].update(digest="x"),
    "another model's shard": lambda shard: shard.update(model="risk/other"),
    "no files": lambda shard: shard.update(files=[]),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_the_gate_would_refuse_is_refused(published: Registry, web: Web, name: str) -> None:
    _forged(web, FORGED[name])
    with pytest.raises(IntegrityError):
        gitreg.open(web.url).show("risk/fraud@1.1.0")


# Signatures


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("publisher", "other"):
        path = folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)], check=True)
        kind, key, _ = path.with_suffix(".pub").read_text().split()
        (folder / f"{name}.allowed").write_text(f'{name} namespaces="gitreg-index" {kind} {key}\n')
        (folder / f"{name}.commits").write_text(f'{name} namespaces="git" {kind} {key}\n')
        (folder / f"{name}.late").write_text(f'{name} valid-before="20200101Z" {kind} {key}\n')
    return folder


def test_a_signed_head_is_taken_by_whom_trusts_its_key(bare: Registry, web: Web, keys: Path) -> None:
    done = bare.publish_index(str(web.folder), key=keys / "publisher")
    assert done.signed
    with gitreg.open(web.url, trust=str(keys / "publisher.allowed")) as reader:
        assert reader.models() == bare.models()
    assert web.answers()[:2] == [("head.json", 200), ("signatures", 200)]
    gitreg.open(web.url, trust=str(keys / "publisher.allowed")).models()
    assert web.answers() == [("head.json", 304)]


@pytest.mark.parametrize("trusted", ["other.allowed", "publisher.commits", "publisher.late"])
def test_a_key_that_does_not_count_signs_nothing(bare: Registry, web: Web, keys: Path, trusted: str) -> None:
    bare.publish_index(str(web.folder), key=keys / "publisher")
    gitreg.open(web.url).models()  # what was read without asking does not count later
    with pytest.raises(DeniedError):
        gitreg.open(web.url, trust=str(keys / trusted)).models()


def test_a_head_that_was_changed_after_it_was_signed_is_refused(bare: Registry, web: Web, keys: Path) -> None:
    bare.publish_index(str(web.folder), key=keys / "publisher")
    old = (web.folder / "head.json").read_bytes()
    new = old.replace(b'"acme"', b'"evil"')
    _rewrite(web.folder / "head.json", new)
    signatures = web.folder / "signatures"
    shutil.copyfile(signatures / f"{hashlib.sha256(old).hexdigest()}.sig", signatures / f"{_hex(new)}.sig")
    with pytest.raises(DeniedError, match="does not hold"):
        gitreg.open(web.url, trust=str(keys / "publisher.allowed")).models()


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_an_unsigned_head_is_refused_where_a_signature_is_asked_for(
    published: Registry, web: Web, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITREG_INDEX_TRUST", str(keys / "publisher.allowed"))
    with pytest.raises(DeniedError, match="not signed"):
        gitreg.open(web.url).models()


def test_a_git_repository_is_no_signed_index(bare: Registry, forge: Forge, keys: Path) -> None:
    with pytest.raises(DeniedError, match="asks for a signed index"):
        gitreg.open(forge.bare, trust=str(keys / "publisher.allowed")).models()


def test_a_list_of_keys_that_is_missing_trusts_nobody(published: Registry, web: Web) -> None:
    with pytest.raises(NotFoundError, match="cannot be read"):
        gitreg.open(web.url, trust="nowhere").models()
