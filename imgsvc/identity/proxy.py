"""Identity from headers that a proxy in front of the server sets, as Keystone's auth_token middleware does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from twisted.web.http_headers import Headers
from zope.interface import implementer

from imgsvc.errors import Unauthenticated
from imgsvc.interfaces import IIdentity, RequestHead
from imgsvc.model import Caller
from imgsvc.peers import Peers

BLANKS: Final = " \t"
"""Whitespace that may surround a value (RFC 9110, section 5.6.3). Other blanks, such as U+00A0, belong to the value."""


@implementer(IIdentity)
class Proxy:
    """Accepts identity headers from the listed peers only.

    The headers of the user are `X-Identity-Status`, `X-User-Id`, `X-Project-Id` and `X-Roles`. The headers of a service
    that passes the request on are `X-Service-Identity-Status` and `X-Service-Roles`. `X-Tenant-Id` and `X-Role` are
    older names, which are read when the newer ones are absent.

    The proxy must drop these headers from the requests of its own clients.
    """

    challenge = None

    def __init__(self, peers: Iterable[str]) -> None:
        """peers: addresses, networks, or `unix` for everybody who connects to a unix socket.

        Raises ConfigurationError: an entry is none of these.
        """
        self._peers = Peers(peers, "identity.proxy.peers")

    def identify(self, head: RequestHead) -> Caller:
        """The Caller that the headers name.

        A token whose scope is the system or a domain has no roles here: every policy of Glance has project scope.
        Raises Unauthenticated: the peer is not listed, or the headers carry no confirmed identity.
        """
        headers = head.headers
        if head.peer not in self._peers:
            raise Unauthenticated(
                "Identity headers are not accepted from this address: identity.proxy.peers lists the accepted ones."
            )
        if _one(headers, "X-Identity-Status") != "Confirmed":
            raise Unauthenticated(
                "The request carries no confirmed identity: with identity.mode = 'proxy' a proxy "
                "in front of the server checks who the client is, and sets "
                "X-Identity-Status: Confirmed, X-User-Id, X-Project-Id and X-Roles."
            )
        roles = _one(headers, "X-Roles", "X-Role") or ""
        if _one(headers, "OpenStack-System-Scope") or _one(headers, "X-Domain-Id"):
            roles = ""
        confirmed = _one(headers, "X-Service-Identity-Status") == "Confirmed"
        service_roles = (confirmed and _one(headers, "X-Service-Roles")) or ""
        return Caller(
            user_id=_one(headers, "X-User-Id"),
            project_id=_one(headers, "X-Project-Id", "X-Tenant-Id"),
            roles=_roles(roles),
            service_roles=_roles(service_roles),
            token=_one(headers, "X-Auth-Token", "X-Storage-Token"),
        )


def _roles(text: str) -> frozenset[str]:
    roles = (role.strip(BLANKS).lower() for role in text.split(","))
    return frozenset(role for role in roles if role)


def _one(headers: Headers, *names: str) -> str | None:
    """The value of the first of these headers that is present; None if it is empty, or if none is present.

    Raises Unauthenticated: the header has a second value, which may come from a client and have passed the proxy.
    """
    name = next((name for name in names if headers.hasHeader(name)), names[0])
    values = headers.getRawHeaders(name.encode("ascii")) or ()
    if len(values) > 1:
        raise Unauthenticated(f"The header {name} was given more than once: the proxy must drop those of its clients.")
    try:
        return values[0].decode("utf-8").strip(BLANKS) or None if values else None
    except UnicodeDecodeError:
        raise Unauthenticated(f"The header {name} is not UTF-8.") from None
