"""Identity from headers that a proxy in front of the server sets, as Keystone's auth_token middleware does."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from twisted.internet.address import IPv4Address as TCP4
from twisted.internet.address import IPv6Address as TCP6
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.web.http_headers import Headers
from zope.interface import implementer

from imgsvc.errors import ConfigurationError, Unauthenticated
from imgsvc.interfaces import IIdentity
from imgsvc.model import Caller


@implementer(IIdentity)
class Proxy:
    """Believes the identity headers of the listed peers, of nobody else.

    `X-Identity-Status`, `X-User-Id`, `X-Project-Id`, `X-Roles`, and of a service that passes the request on,
    `X-Service-Identity-Status` and `X-Service-Roles`.

    The proxy must drop these headers from what its own clients send.
    """

    challenge = None

    def __init__(self, peers: Iterable[str]) -> None:
        """peers: addresses, networks, `unix` for whoever connects to a unix socket. Raises ConfigurationError."""
        names = tuple(peers)
        self._unix = "unix" in names
        self._networks = tuple(_network(name) for name in names if name != "unix")
        self._is_listed = lru_cache(maxsize=1024)(self._look_up)

    def identify(self, headers: Headers, peer: IAddress) -> Caller:
        """The Caller of the headers. Raises Unauthenticated.

        A token of the whole system, not of a project, has no roles here: every policy of Glance is of project scope.
        """
        if not self._is_trusted(peer):
            raise Unauthenticated("Identity headers are not taken from this address.")
        if _one(headers, "X-Identity-Status") != "Confirmed":
            raise Unauthenticated("The request carries no confirmed identity.")
        roles = _one(headers, "X-Roles") or _one(headers, "X-Role") or ""
        if _one(headers, "OpenStack-System-Scope"):
            roles = ""
        confirmed = _one(headers, "X-Service-Identity-Status") == "Confirmed"
        service_roles = (confirmed and _one(headers, "X-Service-Roles")) or ""
        return Caller(
            user_id=_one(headers, "X-User-Id"),
            project_id=_one(headers, "X-Project-Id") or _one(headers, "X-Tenant-Id"),
            roles=_roles(roles),
            service_roles=_roles(service_roles),
            token=_one(headers, "X-Auth-Token") or _one(headers, "X-Storage-Token"),
        )

    def _is_trusted(self, peer: IAddress) -> bool:
        if isinstance(peer, TCP4 | TCP6):
            return self._is_listed(peer.host)
        return isinstance(peer, UNIXAddress) and self._unix

    def _look_up(self, host: str) -> bool:
        address: IPv4Address | IPv6Address = ip_address(host.partition("%")[0])
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ConfigurationError(
            f"identity.proxy.peers = {text!r}: must be an address, a network or 'unix': {error}"
        ) from None


def _roles(text: str) -> frozenset[str]:
    return frozenset(role.strip().lower() for role in text.split(",") if role.strip())


def _one(headers: Headers, name: str) -> str | None:
    """The header's value; None if it is absent or empty.

    A second value may be the client's own, which the proxy let through: Unauthenticated.
    """
    values = headers.getRawHeaders(name.encode("ascii")) or ()
    if len(values) > 1:
        raise Unauthenticated(f"The header {name} was given more than once.")
    try:
        return values[0].decode("utf-8").strip() or None if values else None
    except UnicodeDecodeError:
        raise Unauthenticated(f"The header {name} is not UTF-8.") from None
