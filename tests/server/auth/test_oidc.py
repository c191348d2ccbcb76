from __future__ import annotations

import base64
import json
import threading
import time
from contextlib import closing
from http.client import BadStatusLine
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gitreg.server.auth import jwks
from gitreg.server.auth.settings import IssuerSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from tests.server.auth.conftest import Issuer, Server

    Serve = Callable[..., Server]

CORP = "gitreg.oidc.corp"


@pytest.fixture
def trusting(serve: Serve, issuer: Issuer) -> Callable[..., Server]:
    """Serve with the provider trusted; more keys of its section as `userclaim="email"`."""

    def call(**more: str | list[str]) -> Server:
        section = {"issuer": issuer.url, "audience": "gitreg", **more}
        keys = {f"{CORP}.{key}": [value] if isinstance(value, str) else value for key, value in section.items()}
        server = serve(keys)
        server.now = time.time()
        return server

    return call


def refused(answer: httpx.Response) -> bool:
    """Whether a token was refused without a word about what is wrong with it."""
    assert answer.headers["www-authenticate"] == 'Bearer realm="gitreg", error="invalid_token"'
    return answer.status_code == 401 and answer.json()["detail"] == "the token does not count here"


@pytest.mark.parametrize(("key", "algorithm"), [("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA")])
def test_a_token_of_the_provider_names_its_user(
    trusting: Callable[..., Server], issuer: Issuer, key: str, algorithm: str
) -> None:
    token = issuer.token(key, algorithm, name="Alice Doe", email="alice@example.org")

    told = trusting().ask(token=token).json()

    assert told["user"] == "alice"
    assert told["how"] == f"oidc:{issuer.url}"
    assert (told["name"], told["email"]) == ("Alice Doe", "alice@example.org")
    assert told["scopes"] is None


def test_keys_are_asked_for_once(trusting: Callable[..., Server], issuer: Issuer) -> None:
    server = trusting()
    for _ in range(3):
        assert server.ask(token=issuer.token()).status_code == 200

    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


def test_a_new_key_is_found_and_made_up_ones_ask_nobody(
    trusting: Callable[..., Server], issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = trusting()
    monkeypatch.setattr(jwks, "PAUSE", 3600.0)
    issuer.published = ["ec"]
    assert server.ask(token=issuer.token("ec", "ES256")).status_code == 200
    issuer.published = ["ec", "rsa"]

    assert refused(server.ask(token=issuer.token()))  # too soon after the last question
    for number in range(5):
        assert refused(server.ask(token=issuer.token(headers={"kid": f"made-up-{number}"})))
    assert len(issuer.asked) == 2
    monkeypatch.setattr(jwks, "PAUSE", 0.0)
    assert server.ask(token=issuer.token()).status_code == 200


def test_a_key_that_was_taken_back_counts_no_more_once_the_keys_are_old(
    trusting: Callable[..., Server], issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = trusting()
    assert server.ask(token=issuer.token()).status_code == 200
    issuer.published = ["ec"]
    monkeypatch.setattr(jwks, "FRESH", 0.0)
    monkeypatch.setattr(jwks, "LATE", 0.0)
    monkeypatch.setattr(jwks, "PAUSE", 0.0)

    assert refused(server.ask(token=issuer.token()))


class Slow:
    """An issuer that answers once it is let."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.may_answer = threading.Event()
        self.answer: list[dict[str, Any]] | Exception = []

    def fetch(self, _: str) -> dict[str, Any]:
        self.asked.release()
        assert self.may_answer.wait(30)
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"keys": self.answer}


@pytest.fixture
def slow() -> Iterator[Slow]:
    found = Slow()
    yield found
    found.may_answer.set()


def test_keys_that_are_old_count_while_the_issuer_is_asked_behind_them(
    issuer: Issuer, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = jwks.Keys(IssuerSettings(name="corp", issuer=issuer.url, audiences=(), jwks=issuer.url), slow.fetch)
    with closing(keys):
        slow.answer = [issuer.jwk("rsa")]
        slow.may_answer.set()
        first = keys.find("rsa")
        assert slow.asked.acquire(timeout=30)
        slow.may_answer.clear()
        slow.answer = [issuer.jwk("ec")]
        monkeypatch.setattr(jwks, "FRESH", 0.0)
        monkeypatch.setattr(jwks, "PAUSE", 0.0)

        assert [keys.known("rsa") for _ in range(3)] == [first] * 3
        assert slow.asked.acquire(timeout=30)
        monkeypatch.setattr(jwks, "PAUSE", 3600.0)
        slow.may_answer.set()
        assert keys._renewing is not None
        assert keys._renewing.result(30) is None
        assert keys.known("rsa") is None
        assert not slow.asked.acquire(blocking=False)  # three asked for it, and the issuer was asked once


@pytest.mark.parametrize("error", [OSError("down"), BadStatusLine("nonsense")])
def test_nobody_waits_for_an_issuer_again_that_did_not_answer(
    issuer: Issuer, slow: Slow, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    keys = jwks.Keys(IssuerSettings(name="corp", issuer=issuer.url, audiences=(), jwks=issuer.url), slow.fetch)
    with closing(keys):
        slow.answer = [issuer.jwk("rsa")]
        slow.may_answer.set()
        first = keys.find("rsa")
        for name in ("FRESH", "LATE", "PAUSE"):
            monkeypatch.setattr(jwks, name, 0.0)
        assert keys.known("rsa") is None
        slow.answer = error
        assert keys.find("rsa") == first  # this one waited
        slow.may_answer.clear()

        assert keys.known("rsa") == first
        monkeypatch.setattr(jwks, "STALE", 0.0)
        assert keys.known("rsa") is None
        slow.may_answer.set()


def test_known_keys_outlive_a_provider_that_is_down_for_a_while_and_no_longer(
    trusting: Callable[..., Server], issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = trusting()
    assert server.ask(token=issuer.token()).status_code == 200
    issuer.answers["/keys"] = (503, b"")
    monkeypatch.setattr(jwks, "FRESH", 0.0)
    monkeypatch.setattr(jwks, "LATE", 0.0)
    monkeypatch.setattr(jwks, "PAUSE", 0.0)

    assert server.ask(token=issuer.token()).status_code == 200
    monkeypatch.setattr(jwks, "STALE", 0.0)
    answer = server.ask(token=issuer.token())

    assert answer.status_code == 503
    assert "issuer does not answer" in answer.json()["detail"]


@pytest.mark.parametrize(
    "answer",
    [
        (500, b""),
        (200, b"nonsense"),
        (200, b"[]"),
        (200, b'{"keys": 1}'),
        (200, b'{"keys": [' + b",".join([b"{}"] * 101) + b"]}"),
        (200, b'{"keys": []}' + b" " * jwks.MAX_BYTES),
        (200, b"[" * 200_000),
        (302, b""),
    ],
    ids=["error", "nonsense", "list", "number", "many", "large", "deep", "elsewhere"],
)
def test_what_is_no_set_of_keys_lets_nobody_in(
    trusting: Callable[..., Server], issuer: Issuer, answer: tuple[int, bytes]
) -> None:
    issuer.answers["/keys"] = answer

    assert trusting().ask(token=issuer.token()).status_code == 503


@pytest.mark.parametrize(
    "about",
    [
        {"issuer": "https://other.example.org", "jwks_uri": "KEYS"},
        {"jwks_uri": "KEYS"},
        {"issuer": "SELF", "jwks_uri": "http://keys.example.org/"},
        {"issuer": "SELF", "jwks_uri": "file:///etc/passwd"},
        {"issuer": "SELF"},
    ],
)
def test_discovery_is_held_against_the_issuer_and_leads_to_no_unsafe_place(
    trusting: Callable[..., Server], issuer: Issuer, about: dict[str, str]
) -> None:
    told = json.dumps(about).replace("SELF", issuer.url).replace("KEYS", f"{issuer.url}/keys")
    issuer.answers["/.well-known/openid-configuration"] = (200, told.encode())

    assert trusting().ask(token=issuer.token()).status_code == 503
    assert issuer.asked == ["/.well-known/openid-configuration"]


def test_keys_may_be_named_without_discovery(trusting: Callable[..., Server], issuer: Issuer) -> None:
    issuer.answers["/.well-known/openid-configuration"] = (404, b"")

    assert trusting(jwks=f"{issuer.url}/keys").ask(token=issuer.token()).status_code == 200


# Tokens that do not count


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": 1},
        {"exp": None},
        {"exp": "never"},
        {"exp": float("inf")},
        {"nbf": 4_000_000_000},
        {"iat": 4_000_000_000},
        {"aud": "another-service"},
        {"aud": None},
        {"aud": ["a", "b"]},
        {"aud": {"gitreg": 1}},
        {"iss": "https://other.example.org"},
        {"iss": None},
        {"iss": ["SELF"]},
        {"sub": None},
        {"sub": 7},
        {"sub": ["alice"]},
        {"sub": "Alice"},
        {"sub": "alice\n"},
        {"sub": "../root"},
        {"sub": "group:admins"},
        {"sub": ""},
        {"sub": "a" * 200},
    ],
    ids=str,
)
def test_expired_early_foreign_and_nameless_tokens_are_refused_alike(
    trusting: Callable[..., Server], issuer: Issuer, changed: dict[str, Any]
) -> None:
    body = json.dumps(issuer.claims(**changed)).replace("SELF", issuer.url).encode()
    token = jwt.api_jws.encode(body, issuer.keys["rsa"], "RS256", headers={"kid": "rsa"})

    assert refused(trusting().ask(token=token))


def test_a_token_may_say_that_it_never_ends(trusting: Callable[..., Server], issuer: Issuer) -> None:
    assert trusting().ask(token=issuer.token(exp=10**400)).status_code == 200


def test_the_clock_may_be_off_by_the_leeway(trusting: Callable[..., Server], issuer: Issuer) -> None:
    late = issuer.token(exp=time.time() - 5)

    assert trusting().ask(token=late).status_code == 200
    assert refused(trusting(leeway="1").ask(token=late))


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_a_token_that_anybody_could_sign_is_refused(trusting: Callable[..., Server], issuer: Issuer) -> None:
    server = trusting()
    public = issuer.keys["rsa"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = _b64(json.dumps(issuer.claims()).encode())
    none = {_b64(json.dumps({"alg": name, "typ": "JWT"}).encode()) for name in ("none", "None", "", None, 1, ["RS256"])}
    forged = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    genuine = issuer.token().split(".")
    attacks = {
        # The public key as a shared secret: what it signs looks like the provider's to who lets the token choose.
        "confused": _hs256(pem, issuer.claims()),
        "other key": jwt.encode(issuer.claims(), forged, "RS256", headers={"kid": "rsa"}),
        "altered": f"{genuine[0]}.{_b64(json.dumps(issuer.claims(sub='root')).encode())}.{genuine[2]}",
        "no signature": f"{genuine[0]}.{genuine[1]}.",
        "brings its key": jwt.encode(
            issuer.claims(), forged, "RS256", headers={"kid": "x", "jwk": _jwk(forged), "jku": f"{issuer.url}/keys"}
        ),
        "critical": issuer.token(headers={"crit": ["b64"], "b64": True}),
        "of another kind": issuer.token(headers={"typ": "logout+jwt"}),
        "odd kind": jwt.api_jws.encode(
            json.dumps(issuer.claims()).encode(),
            issuer.keys["rsa"],
            "RS256",
            headers={"typ": "JWT", "kid": "rsa", "x": 1},
        ).replace(".", "..", 1),
        "not allowed": issuer.token(algorithm="RS512"),
        "key of another algorithm": issuer.token("rsa", "PS256"),
        **{f"none {number}": f"{each}.{claims}." for number, each in enumerate(none)},
        **{f"none {number} signed": f"{each}.{claims}.AAAA" for number, each in enumerate(none)},
    }

    assert [name for name, token in attacks.items() if not refused(server.ask(token=token))] == []
    assert server.ask(token=issuer.token()).status_code == 200


def _hs256(secret: bytes, claims: dict[str, Any]) -> str:
    import hashlib
    import hmac

    body = (
        f"{_b64(json.dumps({'alg': 'HS256', 'typ': 'JWT', 'kid': 'rsa'}).encode())}.{_b64(json.dumps(claims).encode())}"
    )
    return f"{body}.{_b64(hmac.new(secret, body.encode(), hashlib.sha256).digest())}"


def _jwk(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    found: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return found


def test_a_key_serves_the_algorithm_that_it_says_and_its_own_curve(
    trusting: Callable[..., Server], issuer: Issuer
) -> None:
    server = trusting(algorithm=["RS256", "PS256", "ES384"])
    issuer.answers["/keys"] = (
        200,
        json.dumps({"keys": [{**issuer.jwk("rsa"), "alg": "PS256"}, issuer.jwk("ec")]}).encode(),
    )

    assert server.ask(token=issuer.token(algorithm="PS256")).status_code == 200
    assert refused(server.ask(token=issuer.token(algorithm="RS256")))
    wide = ec.generate_private_key(ec.SECP384R1())
    assert refused(server.ask(token=jwt.encode(issuer.claims(), wide, "ES384", headers={"kid": "ec"})))


def test_keys_for_other_uses_secret_keys_and_short_ones_are_left_out(issuer: Issuer) -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - which has to be refused
    private = jwt.algorithms.RSAAlgorithm.to_jwk(issuer.keys["rsa"], as_dict=True)
    rows = [
        {**issuer.jwk("rsa"), "use": "enc"},
        {"kty": "oct", "k": _b64(b"secret" * 8), "kid": "shared"},
        {**private, "kid": "private"},
        {**_jwk(short), "kid": "short"},
        {"kty": "RSA", "n": "!", "e": "AQAB", "kid": "broken"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "off the curve"},
        "nonsense",
    ]

    assert jwks.keys_of({"keys": rows}) == {}


@pytest.mark.parametrize(
    "token",
    [
        "eyJhbGciOiJSUzI1NiJ9",
        "a.b",
        "a.b.c.d",
        "..",
        "a.b.c",
        "\u00e9.\u00e9.\u00e9",
        _b64(b"[" * 8000) + ".e30.AAAA",
        "e30.e30.e30",
        "x." * 6000,
    ],
    ids=lambda token: token[:12],
)
def test_what_is_no_jwt_is_refused(trusting: Callable[..., Server], token: str) -> None:
    answer = trusting().ask(headers=[("authorization", f"Bearer {token}".encode())])

    assert answer.status_code == 401


@pytest.mark.parametrize("size", [20_000, 40_000])
def test_a_huge_token_is_refused_before_it_is_read(trusting: Callable[..., Server], issuer: Issuer, size: int) -> None:
    answer = trusting().ask(token=issuer.token(padding="x" * size))

    assert answer.status_code in {401, 431}
    assert issuer.asked == []


# Claims and groups


def test_another_claim_names_the_user_behind_a_prefix(trusting: Callable[..., Server], issuer: Issuer) -> None:
    server = trusting(userclaim="email", prefix="corp-")

    told = server.ask(token=issuer.token(email="alice@example.org", email_verified=True)).json()

    assert told["user"] == "corp-alice@example.org"
    assert refused(server.ask(token=issuer.token(email="alice@example.org")))
    assert refused(server.ask(token=issuer.token(email="alice@example.org", email_verified=False)))
    assert refused(server.ask(token=issuer.token()))


def test_required_groups_admit_and_nothing_else_does(trusting: Callable[..., Server], issuer: Issuer) -> None:
    server = trusting(requiredgroup=["ml", "platform"])

    assert server.ask(token=issuer.token(groups=["sales", "ml"])).status_code == 200
    assert server.ask(token=issuer.token(groups="platform")).status_code == 200
    for groups in (["sales"], [], None, {"ml": True}, ["ml-guests"], "mlx", [["ml"]], 7):
        assert refused(server.ask(token=issuer.token(groups=groups)))


def test_a_job_of_a_ci_system_is_a_user_by_its_repository_on_its_branch(
    trusting: Callable[..., Server], issuer: Issuer
) -> None:
    server = trusting(userclaim="repository_id", prefix="actions-", groupsclaim="ref", requiredgroup="refs/heads/main")
    job: dict[str, Any] = {"sub": "repo:acme/fraud:ref:refs/heads/main", "repository_id": "123456"}

    assert server.ask(token=issuer.token(**job, ref="refs/heads/main")).json()["user"] == "actions-123456"
    assert refused(server.ask(token=issuer.token(**job, ref="refs/heads/other")))


def test_an_unverified_address_and_odd_names_do_not_get_into_commits(
    trusting: Callable[..., Server], issuer: Issuer
) -> None:
    token = issuer.token(name="Alice <root@x>\nTree: 0", email="root@example.org", email_verified=False)

    told = trusting().ask(token=token).json()

    assert (told["name"], told["email"]) == ("Alice root@xTree: 0", "alice@users.gitreg.invalid")


def test_a_provider_that_nobody_named_is_not_asked(serve: Serve, issuer: Issuer) -> None:
    answer = serve().ask(token=issuer.token())

    assert answer.status_code == 401
    assert issuer.asked == []
