"""Read from git's configuration how callers are known here: `gitreg.serve.*`, `gitreg.oidc.<name>.*`."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from gitreg.errors import InvalidError
from gitreg.names import RegistryName, UserName, did_you_mean
from gitreg.records import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gitreg.git import Repository

T = TypeVar("T")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SERVE, OIDC = "gitreg.serve.", "gitreg.oidc."
UNIX = "unix"
# Signed with a private key, checked with a public one. What an issuer and a server share a secret for is not taken.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_MOST_RATE = 1_000_000
_MOST_LEEWAY = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerSettings:
    """An OpenID provider whose tokens count, and what they say of who has them.

    `user_claim` names the user, after `prefix`. Of `required_groups`, where there are any, `groups_claim` must hold
    one: they admit, and grant nothing. `jwks` is where the keys are, None being where the issuer says.
    """

    name: str
    issuer: str
    audiences: tuple[str, ...]
    user_claim: str = "sub"
    prefix: str = ""
    groups_claim: str = "groups"
    required_groups: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    jwks: str | None = None
    leeway: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """How callers are known, and how often they may ask (requests a second; failures a minute; 0 means any number).

    `anonymous` is the user of access.yaml as whom strangers read; None lets none in. `proxies` are whose headers
    count, `by_socket` says so of a unix socket. `url` is where browsers reach the server.
    """

    url: str | None = None
    anonymous: UserName | None = None
    proxy_header: str | None = None
    proxies: tuple[Network, ...] = ()
    by_socket: bool = False
    rate: int = 1000
    rate_anonymous: int = 50
    rate_failed: int = 30
    session_hours: int = 12
    issuers: Mapping[str, IssuerSettings] = field(default_factory=dict)

    @property
    def is_tls(self) -> bool:
        """Whether browsers reach the server by TLS, whatever speaks it."""
        return self.url is not None and self.url.startswith("https:")


def read_settings(repository: Repository) -> AuthSettings:
    """Read what a registry's repository, its account and its machine say; InvalidError names the key."""
    output = repository.run(["config", "--null", "--get-regexp", r"^gitreg\.(serve|oidc)\."], codes=(0, 1))
    values: dict[str, list[str]] = {}
    for record in output.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        key, _, value = record.partition("\n")
        values.setdefault(key, []).append(value)
    return settings_of(values)


def settings_of(values: Mapping[str, Sequence[str]]) -> AuthSettings:
    """Build the settings from git's keys, each with all of its values; InvalidError for one that nothing knows."""
    named = {key.removeprefix(SERVE): found for key, found in values.items() if key.startswith(SERVE)}
    _check_known(SERVE.removesuffix("."), named, _SERVE_KEYS)
    serve = _Section(SERVE.removesuffix("."), named)
    proxies, by_socket = _proxies(serve)
    found = AuthSettings(
        url=serve.one("url", web_url),
        anonymous=serve.one("anonymous", UserName),
        proxy_header=serve.one("proxyheader", _header),
        proxies=proxies,
        by_socket=by_socket,
        rate=serve.number("rate", 1000, _MOST_RATE),
        rate_anonymous=serve.number("rateanonymous", 50, _MOST_RATE),
        rate_failed=serve.number("ratefailed", 30, _MOST_RATE),
        session_hours=serve.number("sessionhours", 12, 30 * 24) or 12,
        issuers=_issuers(values),
    )
    if found.proxy_header and not (proxies or by_socket):
        raise InvalidError(
            "gitreg.serve.proxyHeader is set, and nobody is who may send it",
            hint="git config gitreg.serve.proxyFrom 127.0.0.1 (an address, a network, or `unix`)",
        )
    return found


class _Section:
    """The keys of one section: read each as what it must be."""

    def __init__(self, name: str, values: Mapping[str, Sequence[str]]) -> None:
        self.name = name
        self.values = values

    def one(self, key: str, read: Callable[[str], T]) -> T | None:
        found = self.all(key, read)
        return found[-1] if found else None

    def all(self, key: str, read: Callable[[str], T]) -> list[T]:
        found = []
        for text in self.values.get(key, ()):
            try:
                found.append(read(text))
            except (InvalidError, ValueError) as error:
                reason = error.message if isinstance(error, InvalidError) else str(error)
                raise InvalidError(f"{self.name}.{key} in git's configuration: {reason}") from error
        return found

    def number(self, key: str, default: int, most: int) -> int:
        found = self.one(key, lambda text: int(text) if re.fullmatch(r"[0-9]{1,7}", text) else -1)
        if found is not None and not 0 <= found <= most:
            raise InvalidError(f"{self.name}.{key} in git's configuration is no number from 0 to {most}")
        return default if found is None else found


def _proxies(serve: _Section) -> tuple[tuple[Network, ...], bool]:
    words = serve.all("proxyfrom", str)
    networks = serve.all("proxyfrom", lambda text: None if text == UNIX else ipaddress.ip_network(text))
    return tuple(each for each in networks if each is not None), UNIX in words


def _issuers(values: Mapping[str, Sequence[str]]) -> dict[str, IssuerSettings]:
    sections: dict[str, dict[str, Sequence[str]]] = {}
    for key, found in values.items():
        if key.startswith(OIDC):
            name, _, variable = key.removeprefix(OIDC).rpartition(".")
            sections.setdefault(name, {})[variable] = found
    issuers: dict[str, IssuerSettings] = {}
    for name, section in sections.items():
        made = _issuer(name, _Section(f"{OIDC}{name}", section))
        if made.issuer in issuers:
            raise InvalidError(f"{OIDC}{name}.issuer is the one of another section already")
        issuers[made.issuer] = made
    return issuers


def _check_known(section: str, keys: Iterable[str], known: Sequence[str]) -> None:
    for key in keys:
        if key not in known:
            near = did_you_mean(key, known)
            raise InvalidError(
                f"{section}.{key} is no setting", hint=f"did you mean {near}?" if near else ", ".join(known)
            )


# Of these, other parts of the server read the first two.
_SERVE_KEYS = (
    "primary",
    "signedurls",
    "url",
    "anonymous",
    "proxyheader",
    "proxyfrom",
    "rate",
    "rateanonymous",
    "ratefailed",
    "sessionhours",
)
_ISSUER_KEYS = (
    "issuer",
    "audience",
    "userclaim",
    "prefix",
    "groupsclaim",
    "requiredgroup",
    "algorithm",
    "jwks",
    "leeway",
)


def _issuer(name: str, section: _Section) -> IssuerSettings:
    _check_known(section.name, section.values, _ISSUER_KEYS)
    issuer = section.one("issuer", web_url)
    audiences = tuple(section.all("audience", _word))
    if issuer is None or not audiences:
        raise InvalidError(
            f"{section.name} needs an issuer and an audience",
            hint="a token that was made for another service must not count here",
        )
    return IssuerSettings(
        name=RegistryName(name),
        issuer=section.values["issuer"][-1],
        audiences=audiences,
        user_claim=section.one("userclaim", _word) or "sub",
        prefix=section.one("prefix", UserName) or "",
        groups_claim=section.one("groupsclaim", _word) or "groups",
        required_groups=tuple(section.all("requiredgroup", _word)),
        algorithms=tuple(section.all("algorithm", _algorithm)) or ("RS256", "ES256", "EdDSA"),
        jwks=section.one("jwks", web_url),
        leeway=section.number("leeway", 60, _MOST_LEEWAY),
    )


def _word(text: str) -> str:
    if not text or not text.isprintable() or len(text) > 255:  # noqa: PLR2004 - longer ones are nobody's
        raise ValueError("is empty, or not printable")
    return text


def _header(text: str) -> str:
    if not _HEADER.fullmatch(text) or text.lower() in {"authorization", "cookie", "host"}:
        raise ValueError(f"{text[:80]!r} cannot be the header in which a proxy names the user")
    return text.lower()


def _algorithm(text: str) -> str:
    if text not in ALGORITHMS:
        raise ValueError(f"{text[:40]!r} is not taken; allowed: {', '.join(ALGORITHMS)}")
    return text


def web_url(text: str) -> str:
    """Check a URL: https, or http on this machine alone."""
    parts = urlsplit(text)
    if not parts.hostname or parts.username or parts.fragment or not text.isascii():
        raise ValueError(f"{text[:80]!r} is no URL of a server")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ValueError(f"{text[:80]!r}: only https, as who stands in between could forge what comes by http")
    return text.rstrip("/")
