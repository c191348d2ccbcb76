"""Tell from where a request comes, and believe a proxy's headers only where the peer is one that is listed."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from gitreg.server.auth.settings import AuthSettings

    Scope = MutableMapping[str, Any]

_MOST_HOPS = 20
_SITE_BITS = 64  # what one customer gets of IPv6


def header_values(scope: Scope, name: str) -> list[str]:
    """Give every value of a header, as the client sent it."""
    wanted = name.encode()
    return [value.decode("latin-1") for key, value in scope["headers"] if key == wanted]


def is_proxy(scope: Scope, settings: AuthSettings) -> bool:
    """Whether the peer is a proxy whose headers count: one of the listed addresses, or who reaches the unix socket."""
    if not (settings.proxies or settings.by_socket):
        return False
    client, server = scope.get("client"), scope.get("server")
    if client is None:
        # A TCP peer that has gone has no address either; a socket that is a file has no port.
        return settings.by_socket and server is not None and server[1] is None
    address = _address(client[0])
    return address is not None and any(address in network for network in settings.proxies)


def address_of(scope: Scope, settings: AuthSettings) -> str:
    """Give the address of who asks: the peer's, or what the nearest listed proxy says of it."""
    client = scope.get("client")
    peer = client[0] if client else ""
    if not is_proxy(scope, settings):
        return peer
    hops = [hop.strip() for value in header_values(scope, "x-forwarded-for") for hop in value.split(",")]
    for hop in reversed(hops[-_MOST_HOPS:]):
        address = _address(hop)
        if address is None:
            break
        peer = str(address)
        if not any(address in network for network in settings.proxies):
            break
    return peer


def is_secure(scope: Scope, settings: AuthSettings) -> bool:
    """Whether the browser came by TLS, as far as that is known."""
    if settings.is_tls or scope.get("scheme") == "https":
        return True
    return is_proxy(scope, settings) and header_values(scope, "x-forwarded-proto")[-1:] == ["https"]


def site_of(address: str) -> str:
    """Give what addresses are counted by: an IPv6 address by its network of 64 bits."""
    found = _address(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, _SITE_BITS), strict=False))
    return address


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found
