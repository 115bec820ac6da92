"""No identity: whoever reaches the server is its administrator."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.web.http_headers import Headers
from zope.interface import implementer

from imgsvc.errors import Forbidden
from imgsvc.interfaces import IIdentity
from imgsvc.model import Caller

LOCAL_ADMINISTRATOR: Final = Caller(user_id="local", project_id=None, roles=frozenset({"admin", "member", "reader"}))


@implementer(IIdentity)
class LocalAdministrator:
    """Every caller has every role and no project, so that images have no owner, as in Glance without Keystone.

    But for web pages, which browsers let send requests to this machine, too: a page of another origin is refused, and
    so is a name that its owner has lead to this machine (DNS rebinding).
    """

    challenge = None

    def __init__(self, origins: Iterable[str] = (), names: Iterable[str] = ()) -> None:
        """origins: whose pages may use the server, `*`: all. names: of the server, beside addresses and names
        without a dot; `*`: all.
        """
        self._origins = frozenset(origin.lower() for origin in origins)
        self._names = frozenset(name.lower() for name in names)

    def identify(self, headers: Headers, peer: IAddress) -> Caller:
        """The same Caller for everybody. Raises Forbidden."""
        if isinstance(peer, UNIXAddress):  # where no browser comes from
            return LOCAL_ADMINISTRATOR
        host = _one(headers, b"host")
        if "*" not in self._names and not self._is_ours(host):
            raise Forbidden(f"The server does not go by the name {host!r}: see server.public_endpoint.")
        origin = _one(headers, b"origin")
        if origin and not (self._origins & {"*", origin} or origin.partition("://")[2] == host):
            raise Forbidden(f"Pages of {origin!r} may not use the server: see server.cors_origins.")
        return LOCAL_ADMINISTRATOR

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if "." not in name or name in self._names:  # what has no dot is not in the public DNS
                return True
            ip_address(name.partition("%")[0])
        except ValueError:
            return not host
        return True


def _one(headers: Headers, name: bytes) -> str:
    values = headers.getRawHeaders(name) or [b""]
    return values[0].decode("latin-1").lower()
