"""No identity: everybody who can reach the server is an administrator."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from twisted.internet.address import UNIXAddress
from twisted.web.http_headers import Headers
from zope.interface import implementer

from imgsvc.errors import Forbidden
from imgsvc.interfaces import IIdentity, RequestHead
from imgsvc.model import Caller

LOCAL_ADMINISTRATOR: Final = Caller(user_id="local", project_id=None, roles=frozenset({"admin", "member", "reader"}))


@implementer(IIdentity)
class LocalAdministrator:
    """Gives every caller all roles and no project. Images have no owner then, as in Glance without Keystone.

    Web pages are the exception, because a browser sends their requests to this machine too. A page of another origin is
    refused. So is a host name that its owner has pointed at this machine (DNS rebinding).
    """

    challenge = None

    def __init__(self, origins: Iterable[str] = (), names: Iterable[str] = ()) -> None:
        """origins: the origins whose pages may use the server; `*` allows all.
        names: host names of the server, in addition to addresses and names without a dot; `*` allows all.
        """
        self._origins = frozenset(origin.lower() for origin in origins)
        self._names = frozenset(name.lower() for name in names)

    def identify(self, head: RequestHead) -> Caller:
        """The same Caller for everybody. Raises Forbidden: the host name or the origin is not allowed."""
        if isinstance(head.peer, UNIXAddress):  # browsers do not connect to unix sockets
            return LOCAL_ADMINISTRATOR
        host = _one(head.headers, b"host")
        if "*" not in self._names and not self._is_ours(host):
            raise Forbidden(f"The server does not go by the name {host!r}: see server.public_endpoint.")
        origin = _one(head.headers, b"origin")
        if origin and not (self._origins & {"*", origin} or origin.partition("://")[2] == host):
            raise Forbidden(f"Pages of {origin!r} may not use the server: see server.cors_origins.")
        return LOCAL_ADMINISTRATOR

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
