"""Refuses requests that pages of other origins make a browser send."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.web.http_headers import Headers

from imgsvc.errors import Forbidden


class PageGuard:
    """Knows the origins whose pages may use the server, and the host names of the server.

    A browser sends requests of any page to this server: without credentials where none are needed, and with those of
    HTTP Basic that it has kept. A page of another origin is refused. So is a host name that its owner has pointed at
    this machine (DNS rebinding).
    """

    def __init__(self, origins: Iterable[str] = (), names: Iterable[str] = ()) -> None:
        """origins: the origins whose pages may use the server; `*` allows all.
        names: host names of the server, in addition to addresses and names without a dot; `*` allows all.
        """
        self._origins = frozenset(origin.lower() for origin in origins)
        self._names = frozenset(name.lower() for name in names)

    def check(self, headers: Headers, peer: IAddress) -> None:
        """Raises Forbidden: the host name or the origin of a request is not allowed."""
        if isinstance(peer, UNIXAddress):  # browsers do not connect to unix sockets
            return
        host = _one(headers, b"host")
        if "*" not in self._names and not self._is_ours(host):
            raise Forbidden(f"The server does not go by the name {host!r}: see server.public_endpoint.")
        origin = _one(headers, b"origin")
        if origin and not (self._origins & {"*", origin} or origin.partition("://")[2] == host):
            raise Forbidden(f"Pages of {origin!r} may not use the server: see server.cors_origins.")

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if "." not in name or name in self._names:  # a name without a dot is not in the public DNS
                return True
            ip_address(name.partition("%")[0])
        except ValueError:
            return not host
        return True


def _one(headers: Headers, name: bytes) -> str:
    values = headers.getRawHeaders(name) or [b""]
    return values[0].decode("latin-1").lower()
