from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import gitreg
from gitreg import GitregError, IntegrityError, InvalidError, UnavailableError
from gitreg.client import Http
from gitreg.client.tokens import Token
from gitreg.connections import Asked
from gitreg.names import ModelName
from tests.client.front import Front, standing

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg import Registry
    from tests.server.rest.client import Rest

JSON = {"content-type": "application/json"}
COMMIT = "a" * 40


def _get(status: int, headers: dict[str, str], body: bytes, **more: Any) -> Any:  # noqa: ANN401 - what the server says
    with standing(says=lambda _: (status, headers, body)) as front:
        http = Http(front.url)
        try:
            return http.get("/x", **more).data
        finally:
            http.close()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{", JSON),
        (b"[]", JSON),
        (b"[" * 100_000, JSON),
        (b'{"a":' + b"[" * 80 + b"]" * 80 + b"}", JSON),
        (b"{}", {"content-type": "text/html"}),
        (b"\xff\xfe", JSON),
    ],
)
def test_what_is_no_answer_of_a_server_s_is_refused(body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(IntegrityError):
        _get(200, headers, body)


def test_an_answer_has_a_largest_size() -> None:
    with pytest.raises(IntegrityError, match="more than 10 bytes"):
        _get(200, JSON, b'{"a": "too long"}', limit=10)


def test_an_answer_that_is_cut_off_is_none() -> None:
    with pytest.raises(UnavailableError, match="cannot be reached"):
        _get(200, {**JSON, "content-length": "100", "connection": "close"}, b"{}")


def test_an_answer_without_end_is_given_up() -> None:
    with pytest.raises(UnavailableError, match="did not end"):
        _get(200, JSON, b"{}", seconds=-1.0)


@pytest.mark.parametrize("place", ["https://elsewhere.example/x", "http://127.0.0.1:1/x", "//x", "file:///etc/passwd"])
def test_nothing_follows_to_another_place(place: str) -> None:
    with pytest.raises(InvalidError, match="sends this on"):
        _get(307, {"location": place}, b"")


def test_where_a_replica_sends_on_to_is_named_with_its_port() -> None:
    with pytest.raises(InvalidError, match=r"on to http://127\.0\.0\.1:81, "):
        _get(307, {"location": "http://user:pw@127.0.0.1:81/models/register"}, b"")


def test_a_problem_that_is_none_is_still_an_error() -> None:
    with pytest.raises(GitregError, match="answers 418"):
        _get(418, {"content-type": "application/problem+json"}, b'{"detail": 7, "violations": [[], {"code": {}}]}')


def test_a_row_that_is_none_is_refused(registry: Registry, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    several: tuple[Any, ...] = (1, [1], [{}], [{"model": "../x"}])
    for items in several:
        said = json.dumps({"items": items, "next": None}).encode()
        monkeypatch.setattr(front, "says", lambda _, said=said: (200, JSON, said))
        with pytest.raises(IntegrityError):
            registry.versions("risk/fraud")


@pytest.mark.parametrize(
    "text",
    [
        b"kind: [",
        b"model: other/model\n",
        b"\xff",
        b"a: &a [*a]\n",
        b"x: " + b"[" * 5000,
    ],
)
def test_a_file_that_the_gate_would_refuse_is_damage(text: bytes, registry: Registry, front: Front) -> None:
    def says(path: str) -> tuple[int, dict[str, str], bytes]:
        if path.startswith("/files"):
            return 200, {}, text
        return 200, {**JSON, "gitreg-commit": COMMIT}, b'{"entries": [{"name": "model.yaml"}]}'

    front.says = says
    with pytest.raises(IntegrityError):
        registry.model("risk/fraud")


def test_names_that_no_file_can_have_are_refused(registry: Registry, front: Front) -> None:
    said = json.dumps({"entries": [{"name": "../../x"}]}).encode()
    front.says = lambda _: (200, {**JSON, "gitreg-commit": COMMIT}, said)
    with pytest.raises(IntegrityError):
        registry.files().versions(ModelName("risk", "fraud"))


def test_weights_that_are_others_are_never_there(
    served: Rest, registry: Registry, front: Front, tmp_path: Path
) -> None:
    file = served.store(b"the right bytes")
    name = served.model("1.0.0", artifacts=[{"path": "model.bin", **file}])
    details = registry.get_model(f"{name}@1.0.0")

    def before() -> None:
        wrong = (200, {"content-type": "application/octet-stream"}, b"the wrong bytes")
        front.says = (lambda _: wrong) if "/files/model.bin" in front.seen[-1][1] else None

    front.before = before
    with pytest.raises(IntegrityError):
        details.download(tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.bin"))


@pytest.mark.parametrize("is_elsewhere", [False, True], ids=["the server", "its store"])
def test_weights_of_which_there_are_fewer_than_the_manifest_says_are_damaged(
    served: Rest, registry: Registry, front: Front, tmp_path: Path, *, is_elsewhere: bool
) -> None:
    file = served.store(b"as many bytes as these")
    name = served.model("1.0.0", artifacts=[{"path": "model.bin", **file}])
    details = registry.get_model(f"{name}@1.0.0")
    short: tuple[int, dict[str, str], bytes] = (416, {"content-type": "application/problem+json"}, b"{}")
    with standing(says=lambda _: short) as store:

        def before() -> None:
            said = (307, {"location": f"{store.url}/signed"}, b"") if is_elsewhere else short
            front.says = (lambda _: said) if "/files/model.bin" in front.seen[-1][1] else None

        front.before = before
        with pytest.raises(IntegrityError, match="answers 416"):
            details.download(tmp_path / "out")


def test_the_token_goes_over_no_plain_line(monkeypatch: pytest.MonkeyPatch) -> None:
    http = Http("http://registry.example:1", lambda: Token("secret"))
    with pytest.raises(InvalidError, match="plain http") as caught:
        http.ask(Asked(method="GET", target="/"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://user:pw@host", "ftp://host", "https://", "http://host:99999999"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidError) as caught:
        Http(url)
    assert "pw" not in str(caught.value)


def test_the_store_s_own_address_gets_no_token(served: Rest, front: Front, tmp_path: Path) -> None:
    file = served.store(b"lies in a cloud")
    name = served.model("1.0.0", artifacts=[{"path": "model.bin", **file}])
    with standing(says=lambda _: (200, {}, b"lies in a cloud")) as store, gitreg.open(front.url) as registry:
        details = registry.get_model(f"{name}@1.0.0")

        def before() -> None:
            place = (307, {"location": f"{store.url}/signed?x=1"}, b"")
            front.says = (lambda _: place) if "/files/model.bin" in front.seen[-1][1] else None

        front.before = before
        assert (details.download(tmp_path / "out") / "model.bin").read_bytes() == b"lies in a cloud"
        assert store.seen
        assert not any("authorization" in headers for _, _, headers in store.seen)
