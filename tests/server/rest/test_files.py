from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import socket
from typing import TYPE_CHECKING

import pytest

from gitreg.digest import Digest
from gitreg.objects import LocalStore
from tests.server.rest.client import problem, registering
from tests.server.serving import HOST, PATIENCE, wait_for

if TYPE_CHECKING:
    from tests.server.rest.client import Rest

DATA = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def file(rest: Rest) -> str:
    """Give the address of a file of 10,240 bytes."""
    name = rest.model("1.0.0", artifacts=[{"path": "dir/weights.bin", **rest.store(DATA), "format": "safetensors"}])
    return f"/models/{name}/versions/1.0.0/files/dir/weights.bin"


def test_a_file_comes_with_its_digest(rest: Rest, file: str) -> None:
    answer = rest.ask("GET", file)
    assert answer.content == DATA
    digest = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
    assert answer.headers["etag"] == f'"{digest}"'
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["content-type"] == "application/octet-stream"
    for tag in (f'"{digest}"', f'W/"{digest}"', f'"other", "{digest}"', "*"):
        assert rest.ask("GET", file, headers={"If-None-Match": tag}).status_code == 304
    head = rest.ask("HEAD", file)
    assert (head.headers["content-length"], head.content) == ("10240", b"")


def test_only_what_an_exact_version_holds_is_kept_without_asking_again(rest: Rest, file: str) -> None:
    exact = rest.ask("GET", file)
    assert "immutable" in exact.headers["cache-control"]
    tag = {"If-None-Match": exact.headers["etag"]}
    now = rest.ask("GET", "/").json()["commit"]
    for which in ("latest", "^1", "1"):
        moving = file.replace("/1.0.0/", f"/{which}/")
        for more in ({}, tag, {"Range": "bytes=0-1"}):
            answer = rest.ask("GET", moving, headers=more)
            assert answer.status_code in {200, 206, 304}
            assert answer.headers["cache-control"] == "private, no-cache"
            assert (answer.headers["content-location"], answer.headers["gitreg-commit"]) == (file, now)
    assert "immutable" in rest.ask("GET", file, headers=tag).headers["cache-control"]


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-0", 206, DATA[:1]),
        ("bytes=100-199", 206, DATA[100:200]),
        ("bytes=10000-", 206, DATA[10000:]),
        ("bytes=-5", 206, DATA[-5:]),
        ("bytes=0-99999999", 206, DATA),
        ("bytes=5-1", 200, DATA),
        ("bytes=0-1,5-6", 200, DATA),
        ("lines=1-2", 200, DATA),
    ],
)
def test_a_range_of_a_file(rest: Rest, file: str, asked: str, status: int, expected: bytes) -> None:
    answer = rest.ask("GET", file, headers={"Range": asked})
    assert answer.status_code == status
    assert answer.content == expected


@pytest.mark.parametrize("asked", ["bytes=10240-", "bytes=99999-100000", "bytes=-0"])
def test_a_range_that_is_not_there(rest: Rest, file: str, asked: str) -> None:
    problem(rest.ask("GET", file, headers={"Range": asked}), 416)


def test_a_range_of_another_file_gives_the_whole_one(rest: Rest, file: str) -> None:
    answer = rest.ask("GET", file, headers={"Range": "bytes=0-1", "If-Range": '"sha256:other"'})
    assert (answer.status_code, answer.content) == (200, DATA)


@pytest.mark.parametrize("path", ["../../../../../../etc/passwd", "%2e%2e/%2e%2e/secret", "dir", "nothing.bin"])
def test_only_files_of_the_version_are_given(rest: Rest, file: str, path: str) -> None:
    base = file.removesuffix("dir/weights.bin")
    with contextlib.closing(http.client.HTTPConnection(HOST, rest.port, timeout=2 * PATIENCE)) as connection:
        connection.request("GET", base + path, headers={"Authorization": f"Bearer {rest.token('root')}"})
        assert connection.getresponse().status in {404, 422}


# Uploads


def test_an_upload_begins_with_the_question_whether_it_is_needed(rest: Rest) -> None:
    data = b"a file to upload"
    body = {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
    offered = rest.ask("POST", "/uploads", json=body)
    assert offered.status_code == 200
    assert (offered.json()["method"], offered.json()["present"]) == ("PUT", False)
    sent = rest.ask("PUT", offered.json()["url"], content=data, headers=offered.json()["headers"])
    assert (sent.status_code, sent.json()["size"]) == (201, len(data))
    known = rest.ask("POST", "/uploads", json=body)
    assert (known.status_code, known.json()["present"]) == (200, True)
    assert rest.ask("GET", offered.json()["url"]).json()["received"] == len(data)
    stored = rest.ask("PUT", offered.json()["url"], headers={"Content-Range": f"bytes */{len(data)}"})
    assert (stored.status_code, stored.json()["present"]) == (201, True)


def test_other_bytes_than_those_of_the_digest_are_not_kept(rest: Rest) -> None:
    wrong, said = b"something else", hashlib.sha256(b"what was said").hexdigest()
    found = problem(rest.ask("PUT", f"/uploads/sha256/{said}", content=wrong), 422)
    assert hashlib.sha256(wrong).hexdigest() in found["detail"]
    for each in (said, hashlib.sha256(wrong).hexdigest()):
        problem(rest.ask("GET", f"/uploads/sha256/{each}"), 404)


def test_who_may_register_nothing_may_store_nothing(rest: Rest) -> None:
    digest = hashlib.sha256(b"mine").hexdigest()
    problem(rest.ask("PUT", f"/uploads/sha256/{digest}", "bob", content=b"mine"), 403)
    problem(rest.ask("POST", "/uploads", "bob", json={"digest": f"sha256:{digest}", "size": 4}), 403)


def test_an_upload_without_its_size_is_refused(rest: Rest) -> None:
    digest = hashlib.sha256(b"chunks").hexdigest()
    problem(rest.ask("PUT", f"/uploads/sha256/{digest}", content=iter([b"chu", b"nks"])), 411)


def test_an_upload_that_is_larger_than_any_is_refused_unread(rest: Rest) -> None:
    answer = raw(rest, "PUT", f"/uploads/sha256/{'3' * 64}", {"Content-Length": str(1 << 50)}, b"")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_an_upload_that_is_cut_off_leaves_nothing_and_can_be_followed(rest: Rest) -> None:
    data = b"x" * 100_000
    digest = hashlib.sha256(data).hexdigest()
    place = f"/uploads/sha256/{digest}"
    with socket.create_connection((HOST, rest.port), timeout=2 * PATIENCE) as connection:
        connection.sendall(head(rest, "PUT", place, {"Content-Length": str(len(data))}) + data[:50_000])
        wait_for(lambda: rest.ask("GET", place).json().get("received") == 50_000)
        assert rest.ask("GET", place).json() == {"present": False, "received": 50_000, "size": 100_000}
        problem(rest.ask("PUT", place, content=data), 409)
    wait_for(lambda: rest.ask("GET", place).status_code == 404)
    assert rest.ask("PUT", place, content=data).status_code == 201


def head(rest: Rest, method: str, path: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", f"Authorization: Bearer {rest.token('root')}"]
    lines += [f"{key}: {value}" for key, value in headers.items()]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


def raw(rest: Rest, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
    """Send bytes, and give all that comes back."""
    with socket.create_connection((HOST, rest.port), timeout=2 * PATIENCE) as connection:
        connection.sendall(head(rest, method, path, headers) + body)
        pieces = []
        while piece := connection.recv(65536):
            pieces.append(piece)
        return b"".join(pieces)


# The registry's own files


def test_the_registrys_files_are_given_as_they_were_at_a_commit(rest: Rest) -> None:
    name = rest.model("1.0.0")
    before = rest.ask("GET", f"/files/models/{name}/1.0.0.yaml")
    assert before.status_code == 200
    assert "kind: ModelVersion" in before.text
    assert rest.ask("PATCH", f"/models/{name}/versions/1.0.0", json={"license": "BSD-3-Clause"}).status_code == 200
    commit = before.headers["gitreg-commit"]
    assert "BSD" in rest.ask("GET", f"/files/models/{name}/1.0.0.yaml").text
    then = rest.ask("GET", f"/files/models/{name}/1.0.0.yaml?commit={commit}")
    assert (then.text, then.headers["etag"]) == (before.text, before.headers["etag"])
    again = rest.ask(
        "GET", f"/files/models/{name}/1.0.0.yaml?commit={commit}", headers={"If-None-Match": then.headers["etag"]}
    )
    assert again.status_code == 304


def test_a_folder_of_the_registry_is_listed(rest: Rest) -> None:
    name = rest.model("1.0.0", "1.1.0")
    entries = rest.ask("GET", f"/trees/models/{name}").json()["entries"]
    assert [each["name"] for each in entries] == ["1.0.0.yaml", "1.1.0.yaml", "model.yaml"]
    assert {"models", "registry.yaml"} <= {each["name"] for each in rest.ask("GET", "/trees/").json()["entries"]}
    problem(rest.ask("GET", f"/trees/models/{name}/1.0.0.yaml"), 404)


@pytest.mark.parametrize("commit", ["main", "HEAD", "0" * 40, "x", "main~1"])
def test_only_commits_of_main_are_read(rest: Rest, commit: str) -> None:
    problem(rest.ask("GET", f"/files/registry.yaml?commit={commit}"), 422)


def test_who_reads_some_models_sees_their_files_alone(rest: Rest) -> None:
    other = "vision/hidden"
    body = {"model": other, "version": "1.0.0", "external": {"provider": "x", "id": "y"}, "license": "MIT"}
    assert rest.ask("POST", "/models/register", json=body | {"description": "Hidden."}).status_code == 201
    name = rest.model("1.0.0")
    assert rest.ask("GET", f"/files/models/{name}/model.yaml", "mole").status_code == 200
    problem(rest.ask("GET", f"/files/models/{other}/model.yaml", "mole"), 403)
    problem(rest.ask("GET", "/files/models/vision/nothing/model.yaml", "mole"), 403)
    assert [each["name"] for each in rest.ask("GET", "/trees/models", "mole").json()["entries"]] == ["risk"]
    hidden = problem(rest.ask("GET", "/trees/models/vision", "mole"), 404)
    missing = problem(rest.ask("GET", "/trees/models/absent", "mole"), 404)
    assert hidden["detail"].replace("vision", "absent") == missing["detail"]
    # A folder's id tells whether it is there, and when it changes.
    for hidden_or_not in (other, "vision/nothing"):
        problem(rest.ask("GET", f"/trees/models/{hidden_or_not}", "mole"), 403)
    listed = rest.ask("GET", "/trees/models", "mole").json()
    assert (listed["oid"], [each["oid"] for each in listed["entries"]]) == (None, [None])
    assert rest.ask("GET", "/files/registry.yaml", "mole").status_code == 200
    assert {
        each["model"].partition("/")[0] for each in rest.ask("GET", "/models?limit=1000", "mole").json()["items"]
    } == {"risk"}
    problem(rest.ask("GET", f"/models/{other}", "mole"), 403)
    problem(rest.ask("GET", "/models/vision/nothing", "mole"), 403)


@pytest.mark.parametrize("bytes_left", [0, 5, 100])
def test_a_file_that_the_store_has_otherwise_is_damaged_before_its_first_byte(rest: Rest, bytes_left: int) -> None:
    data = b"weights that are damaged later %d" % bytes_left
    stored = rest.store(data)
    name = rest.model("1.0.0", artifacts=[{"path": "w.bin", **stored, "format": "safetensors"}])
    blob = LocalStore(rest.path.parent / "store").path_of(Digest.parse(stored["digest"]))
    assert blob is not None
    blob.chmod(0o600)
    blob.write_bytes(data[:bytes_left].ljust(bytes_left, b"x"))
    path = f"/models/{name}/versions/1.0.0/files/w.bin"
    for method, headers in (("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=0-3"})):
        answer = rest.ask(method, path, headers=headers)
        assert answer.status_code == 500
        assert "immutable" not in answer.headers["cache-control"]
    assert "is damaged in the store" in problem(rest.ask("GET", path), 500)["detail"]


def test_nobody_is_told_where_things_lie_on_the_server(rest: Rest, file: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log is. What is asked here meets the gate's own errors, a page's, and git's."""
    store, hook = rest.path.parent / "store", rest.path / "hooks" / "pre-receive"
    away, aside = store.rename(store.with_name("away")), hook.rename(hook.with_name("aside"))
    try:
        artifacts = [{"path": "w.bin", "digest": f"sha256:{'1' * 64}", "size": 3, "format": "safetensors"}]
        registered = rest.ask("POST", "/models/register", json=registering("risk/lost", "1.0.0", artifacts=artifacts))
        model = file.removeprefix("/models/").partition("/versions/")[0]
        page = rest.ask("GET", f"/ui/models/{model}/1.0.0/tensors", headers={"Accept": "text/html"})
        pushed = rest.ask("GET", "/registry.git/info/refs?service=git-receive-pack")
    finally:
        away.rename(store)
        aside.rename(hook)
    found = problem(registered, 503)
    assert "the object store '<store>' does not exist" in json.dumps(found)
    assert (pushed.status_code, "pre-receive: <repository>/hooks/pre-receive is missing" in pushed.text) == (403, True)
    for answer in (registered, page, pushed):
        assert str(rest.path.parent) not in answer.text
        assert "/store" not in answer.text
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert str(store) in told
    assert str(hook) in told


def test_a_store_that_is_away_is_told_as_such_and_not_where_it_was(rest: Rest, file: str) -> None:
    store = rest.path.parent / "store"
    away = store.rename(store.with_name("away"))
    try:
        begun = {"digest": f"sha256:{'1' * 64}", "size": 3}
        sent = hashlib.sha256(b"new").hexdigest()
        for answer in (
            rest.ask("GET", file),
            rest.ask("POST", "/uploads", json=begun),
            rest.ask("PUT", f"/uploads/sha256/{sent}", content=b"new"),
        ):
            assert str(rest.path.parent) not in answer.text
            assert problem(answer, 503)["detail"] == "the store of the files cannot be reached now"
            assert "retry-after" in answer.headers
        assert not store.exists()
    finally:
        away.rename(store)
    assert rest.ask("GET", file).content == DATA
