"""`models.lock`: what was locked comes again exactly, or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.digest import Digest
from gitreg.errors import ConflictError, GitregError, IntegrityError, InvalidError, NotFoundError
from gitreg.names import ModelName, Version
from gitreg.objects import Cache
from gitreg.records import replace
from gitreg.registry import locking as locking_module
from gitreg.registry import open_registry
from gitreg.registry import pulled as pulled_module
from gitreg.registry.locking import Lock, LockedFile, LockedModel, pull_locked, read_lock, verify_locked
from gitreg.registry.pulled import remembered, verify_remembered
from gitreg.resources import resource
from tests.registries import WEIGHTS, files_of, git, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitreg.objects import Store
    from gitreg.registry import Registry
    from tests.registries import Forge, Opener

LOCK = Path("models.lock")


def no_store(_registry: str, _locked: LockedModel) -> Store:
    raise AssertionError("neither store nor registry is needed")


def a_store(registry: str, each: LockedModel) -> Store:
    with open_registry(registry) as opened:
        return opened.locked_store(each)


def locked(forge: Forge) -> Lock:
    with open_registry(forge.bare) as registry:
        registry.lock(["risk/fraud@prod"])
    return read_lock(LOCK)


def edit(change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(LOCK.read_bytes())
    change(data)
    LOCK.write_bytes(json.dumps(data).encode())


def sample() -> dict[str, Any]:
    digest = f"sha256:{'0' * 64}"
    files = {"model.safetensors": {"digest": digest, "size": 5}}
    model = {
        "version": "1.0.0",
        "selector": "risk/fraud@prod",
        "commit": "0" * 40,
        "manifest_digest": digest,
        "folder": "models/risk/fraud",
        "files": files,
    }
    return {"format": "gitreg/lock/v1", "registry": "models.git", "models": {"risk/fraud": model}}


def the_model(data: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = data["models"]["risk/fraud"]
    return found


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_lock_names_version_digests_and_commit(forge: Forge, bare: Registry) -> None:
    shown = bare.show("risk/fraud@prod")
    done = bare.lock(["risk/fraud@prod"])
    found = json.loads(LOCK.read_bytes())

    assert done.changed == (ModelName.parse("risk/fraud"),)
    assert found == {
        "format": "gitreg/lock/v1",
        "registry": str(forge.bare),
        "models": {
            "risk/fraud": {
                "version": "1.0.0",
                "selector": "risk/fraud@prod",
                "commit": shown.registry_commit,
                "manifest_digest": str(shown.manifest_digest),
                "folder": "models/risk/fraud",
                "files": {"model.safetensors": {"digest": str(Digest.of(WEIGHTS)), "size": len(WEIGHTS)}},
            }
        },
    }


def test_a_lock_is_brought_up_to_date_only_when_asked(forge: Forge, bare: Registry) -> None:
    bare.lock(["risk/fraud@latest"])
    before = LOCK.read_bytes()
    bare.register(request("a/b", "1.0.0"))
    assert bare.lock().changed == ()
    assert LOCK.read_bytes() == before  # a commit that changed nothing of it is no news

    bare.register(request("risk/fraud", "9.0.0"))
    with pytest.raises(ConflictError, match=r"out of date\n  risk/fraud is now 9\.0\.0, was"):
        bare.lock(check=True)
    assert LOCK.read_bytes() == before
    assert [str(each.version) for each in bare.lock().models] == ["9.0.0"]
    assert bare.lock(check=True).changed == ()
    assert [str(each.model) for each in bare.lock(["a/b@^1.0"], folder="elsewhere").models] == ["a/b", "risk/fraud"]
    assert {each.folder for each in read_lock(LOCK).models.values()} == {"elsewhere", "models/risk/fraud"}


def test_a_lock_wants_files_and_a_model(bare: Registry) -> None:
    bare.register(request("llm/chat", "1.0.0", external={"provider": "x", "id": "y"}))
    with pytest.raises(InvalidError, match="has no files"):
        bare.lock(["llm/chat@1.0.0"])
    with pytest.raises(NotFoundError, match="there is no model"):
        bare.lock(["risk/none@1.0.0"])
    with pytest.raises(NotFoundError, match=r"there is no models\.lock"):
        bare.lock()
    with pytest.raises(InvalidError, match="--folder is for one model"):
        bare.lock(["risk/fraud@1.0.0", "a/b@1"], folder="x")
    with pytest.raises(InvalidError):
        bare.lock(["risk/fraud@1.0.0"], folder="../outside")
    assert not LOCK.exists()


names = st.sampled_from(["a/b", "risk/fraud", "x/y.z"])
locks = st.builds(
    lambda rows: Lock(registry="ssh://host/models.git", models={each.model: each for each in rows}),
    st.lists(
        st.builds(
            lambda name, version, digest, files: LockedModel(
                model=ModelName.parse(name),
                version=Version(version),
                selector=f"{name}@{version}",
                commit=digest[:40],
                manifest_digest=Digest(digest),
                folder="m",
                files=tuple(LockedFile(path=path, digest=Digest(digest), size=size) for path, size in files.items()),
            ),
            names,
            st.sampled_from(["1.0.0", "2.1.0-rc.1"]),
            st.text("0123456789abcdef", min_size=64, max_size=64),
            st.dictionaries(st.sampled_from(["a", "b/ü", "c d"]), st.integers(0, 1 << 60), min_size=1),
        ),
        max_size=3,
    ),
)


@given(locks)
def test_a_lock_is_read_as_it_was_written(lock: Lock) -> None:
    assert Lock.parse(lock.to_bytes()) == lock


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("registry"),
        lambda data: data.pop("format"),
        lambda data: data.update(format="gitreg/lock/v2"),
        lambda data: data.update(more=1),
        lambda data: data.update(models=[]),
        lambda data: data.update(registry=5),
        lambda data: data["models"].update({"No Model": the_model(data)}),
        lambda data: data["models"].update({"a/b": the_model(data)}),
        lambda data: the_model(data).pop("commit"),
        lambda data: the_model(data).update(more=1),
        lambda data: the_model(data).update(commit="main"),
        lambda data: the_model(data).update(folder="../up"),
        lambda data: the_model(data).update(folder="/etc"),
        lambda data: the_model(data).update(folder="m\x1b[2J"),
        lambda data: the_model(data).update(folder="m "),
        lambda data: the_model(data)["files"].update({"a\n\x1b[2Jb": the_model(data)["files"]["model.safetensors"]}),
        lambda data: the_model(data)["files"].update({"a\x9bb": the_model(data)["files"]["model.safetensors"]}),
        lambda data: the_model(data)["files"].update({"a\ud800": the_model(data)["files"]["model.safetensors"]}),
        lambda data: the_model(data)["files"].update({"a/" * 600 + "a": the_model(data)["files"]["model.safetensors"]}),
        lambda data: the_model(data).update(version="one"),
        lambda data: the_model(data).update(files={}),
        lambda data: the_model(data).update(files=[1]),
        lambda data: the_model(data)["files"].update({"../x": the_model(data)["files"]["model.safetensors"]}),
        lambda data: the_model(data)["files"]["model.safetensors"].update(size=-1),
        lambda data: the_model(data)["files"]["model.safetensors"].update(size=True),
        lambda data: the_model(data)["files"]["model.safetensors"].update(digest="md5:1"),
    ],
)
def test_a_lock_that_is_none_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    data = sample()
    assert len(Lock.parse(json.dumps(data).encode()).models) == 1
    change(data)
    with pytest.raises(InvalidError, match=r"models\.lock is not a lock file: "):
        Lock.parse(json.dumps(data).encode())


@given(st.text(max_size=12) | st.sampled_from(["a b", "a/b", "ü", "\u200b", "\u2028", " a", "a ", "a\x7f", "x" * 1024]))
def test_a_file_of_a_lock_may_have_the_names_that_a_manifest_may_have(name: str) -> None:
    schema = json.loads((resource("schemas") / "manifest.schema.json").read_bytes())
    rule = schema["$defs"]["artifact"]["properties"]["path"]
    may = len(name) <= rule["maxLength"] and re.search(rule["pattern"], name) is not None
    data = sample()
    the_model(data)["files"] = {name: the_model(data)["files"]["model.safetensors"]}
    if may and ".git" not in name.casefold().split("/"):
        assert Lock.parse(json.dumps(data).encode()).models[ModelName.parse("risk/fraud")].files[0].path == name
    else:
        with pytest.raises(InvalidError):
            Lock.parse(json.dumps(data).encode())


def test_a_lock_of_another_registry_is_refused_and_stays(forge: Forge, bare: Registry) -> None:
    locked(forge)
    edit(lambda data: data.update(registry="other.git"))
    edit(lambda data: the_model(data).update(commit="0" * 40))
    was = LOCK.read_bytes()
    for selectors in (["risk/fraud@prod"], []):
        with pytest.raises(ConflictError, match=r"models\.lock is of another registry, other\.git: .* 0000000000 "):
            bare.lock(selectors)
    assert LOCK.read_bytes() == was


def test_a_lock_goes_with_a_registry_that_moved(forge: Forge, tmp_path: Path) -> None:
    before = locked(forge)
    moved = shutil.copytree(forge.bare, tmp_path / "moved.git")
    with open_registry(moved) as registry:
        registry.lock()
    assert read_lock(LOCK) == replace(before, registry=str(moved))


def test_models_do_not_share_a_folder(bare: Registry) -> None:
    bare.register(request("a/b", "1.0.0"))
    for one, other in (("m", "m"), ("m", "m/b"), ("m/b", "m"), (".", "x"), ("x", ".")):
        LOCK.unlink(missing_ok=True)
        bare.lock(["risk/fraud@1.0.0"], folder=one)
        before = LOCK.read_bytes()
        with pytest.raises(InvalidError, match="a folder belongs to one model alone"):
            bare.lock(["a/b@1.0.0"], folder=other)
        assert LOCK.read_bytes() == before
    bare.lock(["a/b@1.0.0"], folder="x-and/more")


def test_models_that_are_locked_at_the_same_time_are_all_there(
    bare: Registry, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one begins once the first has read the file, and before it writes it."""
    bare.register(request("a/b", "1.0.0"))
    second = threading.Thread(target=lambda: _lock_elsewhere(forge, "a/b@1.0.0"))
    real = locking_module._locked_anew

    def meet(*arguments: Any) -> dict[ModelName, LockedModel]:  # noqa: ANN401 - those of the real one
        found = real(*arguments)
        if not second.ident:
            second.start()
            second.join(0.5)  # it waits for the first, and is given time to show if it does not
        return found

    monkeypatch.setattr(locking_module, "_locked_anew", meet)
    bare.lock(["risk/fraud@1.0.0"])
    second.join(30)
    assert {str(name) for name in read_lock(LOCK).models} == {"risk/fraud", "a/b"}


def _lock_elsewhere(forge: Forge, selector: str) -> None:
    with open_registry(forge.bare) as registry:
        registry.lock([selector])


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"{", b"\xff", b'{"format": NaN}', b"[" * 100_000, b'{"format": "a", "format": "a"}'],
)
def test_rubbish_is_no_lock(data: bytes) -> None:
    with pytest.raises(InvalidError, match="is not a lock file"):
        Lock.parse(data)


@pytest.mark.parametrize("many", [b"[],", b"{},", b'"":{"":[]},', b"1,"])
def test_a_lock_of_many_values_in_few_bytes_is_refused_before_it_is_parsed(
    many: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json, "loads", lambda *_arguments, **_options: pytest.fail("it was parsed"))
    with pytest.raises(InvalidError, match=r"models\.lock is not a lock file: it has more values"):
        Lock.parse(b'{"models": [' + many * 100_000 + b"1]}")


def test_a_lock_of_many_short_names_is_one() -> None:
    data = sample()
    one = the_model(data)["files"]["model.safetensors"]
    the_model(data)["files"] = {f"{number}": one for number in range(10_000)}
    assert len(Lock.parse(json.dumps(data, separators=(",", ":")).encode()).models[ModelName.parse("risk/fraud")].files)


@given(st.binary(max_size=300))
def test_no_bytes_bring_the_reader_down(data: bytes) -> None:
    with pytest.raises(InvalidError):
        Lock.parse(data)


# --- pulling it -------------------------------------------------------------------------------------------------------


def test_what_was_locked_comes_again_and_offline(forge: Forge, tmp_path: Path) -> None:
    locked(forge)
    first = pull_locked(LOCK, a_store)
    assert files_of(Path("models")) == {"risk/fraud/model.safetensors": WEIGHTS}
    shutil.rmtree("models")
    again = pull_locked(LOCK, no_store)  # neither store nor registry is asked
    assert again == first
    assert pull_locked(LOCK, no_store, ["risk/fraud@1.0.0"], to=Path("here"))[0].folder == Path("here")
    assert files_of(Path("here")) == {"model.safetensors": WEIGHTS}


def test_a_lock_still_brings_a_version_that_its_selector_left(forge: Forge, opened: Opener) -> None:
    with open_registry(forge.bare) as registry:
        registry.lock(["risk/fraud@latest"])
        version = str(read_lock(LOCK).models[ModelName.parse("risk/fraud")].version)
        registry.register(request("risk/fraud", "9.0.0"))
    for place in ("bare", "clone", "mirror"):
        found = pull_locked(LOCK, lambda _name, each, place=place: opened(place).locked_store(each), to=Path(place))  # type: ignore[misc]
        assert str(found[0].version) == version
        shutil.rmtree(Cache.of_user(os.environ).folder / "blobs")


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda model: model.update(commit="0" * 40), ConflictError),
        (lambda model: model.update(manifest_digest=f"sha256:{'0' * 64}"), IntegrityError),
        (lambda model: model["files"]["model.safetensors"].update(digest=f"sha256:{'0' * 64}"), IntegrityError),
        (lambda model: model["files"].update(more=model["files"]["model.safetensors"]), IntegrityError),
        (lambda model: model.update(version="0.0.9"), NotFoundError),
    ],
)
def test_a_lock_that_the_registry_does_not_bear_out_brings_nothing(
    forge: Forge, change: Callable[[dict[str, Any]], object], kind: type[GitregError]
) -> None:
    locked(forge)
    edit(lambda data: change(the_model(data)))
    with pytest.raises(kind):
        pull_locked(LOCK, a_store)
    assert not Path("models").exists()


def test_a_commit_that_is_not_on_main_is_no_lock(forge: Forge) -> None:
    locked(forge)
    tree = git(forge.bare, "rev-parse", "main^{tree}")
    stray = git(forge.bare, "commit-tree", tree, "-m", "stray")
    edit(lambda data: the_model(data).update(commit=stray))
    with pytest.raises(ConflictError, match="does not have the commit"):
        pull_locked(LOCK, a_store)


def test_other_files_in_the_folder_are_not_what_was_locked(forge: Forge) -> None:
    locked(forge)
    pull_locked(LOCK, a_store)
    Path("models/risk/fraud/old.bin").write_bytes(b"old")
    with pytest.raises(ConflictError, match=r"'old\.bin' is not a file of risk/fraud@1\.0\.0"):
        pull_locked(LOCK, no_store, force=True)
    assert Path("models/risk/fraud/old.bin").exists()


@pytest.mark.parametrize("link", ["m", "m/deep", "m/deep/new"])
def test_a_symlink_that_a_project_brings_along_leads_nowhere(forge: Forge, tmp_path: Path, link: str) -> None:
    with open_registry(forge.bare) as registry:
        registry.lock(["risk/fraud@prod"], folder="m/deep/new")
    victim = tmp_path / "victim"
    victim.mkdir()
    Path(link).parent.mkdir(parents=True, exist_ok=True)
    Path(link).symlink_to(victim)
    with pytest.raises(ConflictError, match=f"{Path(link).name}' is a symlink or a file.*-o FOLDER"):
        pull_locked(LOCK, a_store, force=True)
    assert not list(victim.rglob("*"))
    pull_locked(LOCK, a_store, to=Path(link))  # a folder that its user names may be one
    assert files_of(victim) == {"model.safetensors": WEIGHTS}


def test_a_lock_may_itself_lie_behind_a_symlink(forge: Forge, tmp_path: Path) -> None:
    locked(forge)
    (tmp_path / "project").symlink_to(Path.cwd())
    pull_locked(tmp_path / "project" / LOCK, a_store)
    assert files_of(Path("models")) == {"risk/fraud/model.safetensors": WEIGHTS}


def test_a_locked_model_is_chosen_by_its_name_and_version(forge: Forge) -> None:
    locked(forge)
    for name in ("risk/fraud", "risk/fraud@1.0.0", "risk/fraud@prod"):
        assert len(pull_locked(LOCK, a_store, [name])) == 1
    with pytest.raises(ConflictError, match=r"has risk/fraud@1\.0\.0, not risk/fraud@2\.0\.0"):
        pull_locked(LOCK, a_store, ["risk/fraud@2.0.0"])
    with pytest.raises(NotFoundError, match=r"a/b is not in models\.lock"):
        pull_locked(LOCK, a_store, ["a/b"])


# --- verifying --------------------------------------------------------------------------------------------------------


def test_a_pulled_folder_is_verified_from_memory(bare: Registry) -> None:
    Path("big").mkdir()
    for name in ("a.txt", "b.txt"):
        Path("big", name).write_text(name)
    bare.register(request("a/b", "1.0.0", paths=(Path("big"),)))
    cache = Cache.of_user(os.environ)
    bare.pull("a/b", "out", only="a.txt")
    assert [file.path for file in verify_remembered(cache, Path("out")).files] == ["a.txt"]
    bare.pull("a/b", "out", only="b.txt")
    found = verify_remembered(cache, Path("out"))
    assert ([file.path for file in found.files], found.fine, found.others) == (["a.txt", "b.txt"], True, ())

    Path("out/a.txt").unlink()
    Path("out/b.txt").unlink()
    Path("out/b.txt").write_text("b.tx!")
    Path("out/deep").mkdir()
    Path("out/deep/c").write_text("c")
    found = verify_remembered(cache, Path("out"))
    assert ([str(file.state) for file in found.files], found.fine) == (["missing", "differs"], False)
    assert found.files[1].found == Digest.of(b"b.tx!")
    assert found.others == ("deep/c",)
    assert bare.verify("out", "a/b@1.0.0") == found


def test_a_link_is_no_file_of_a_version(bare: Registry) -> None:
    bare.pull("risk/fraud@prod", "out", link=False)
    Path("real").write_bytes(WEIGHTS)
    Path("out/model.safetensors").unlink()
    Path("out/model.safetensors").symlink_to("../real")
    found = bare.verify("out", "risk/fraud@prod")
    assert [str(file.state) for file in found.files] == ["missing"]


def test_what_nobody_remembers_has_to_be_said(bare: Registry, tmp_path: Path) -> None:
    cache = Cache.of_user(os.environ)
    Path("out").mkdir()
    with pytest.raises(NotFoundError, match=r"say what it should hold: gitreg verify out MODEL@VERSION"):
        remembered(cache, Path("out"))
    with pytest.raises(NotFoundError, match="there is no folder"):
        remembered(cache, Path("none"))
    bare.pull("risk/fraud@prod", "out")
    record = next((cache.folder / "pulled").iterdir())
    for rubbish in (b"", b"[]", b"{", b"[" * 100_000, record.read_bytes().replace(b'"size"', b'"siz"')):
        record.write_bytes(rubbish)
        assert pulled_module.find(cache, Path("out")) is None


def test_a_locked_folder_is_verified(forge: Forge) -> None:
    locked(forge)
    assert [each.fine for each in verify_locked(LOCK)] == [False]
    pull_locked(LOCK, a_store)
    assert [each.fine for each in verify_locked(LOCK)] == [True]
    assert verify_remembered(Cache.of_user(os.environ), Path("models/risk/fraud")).fine
