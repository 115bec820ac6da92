"""The address by which the wrong passwords of a client are counted."""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress
from twisted.web.http_headers import Headers

from imgsvc.forwarded import last_value, parameters
from imgsvc.peers import Peers, counted_as

_NODE: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]+)?|([0-9.]+)(?::[0-9]+)?")
"""An address with or without a port (RFC 7239, section 6)."""


@frozen
class ClientAddresses:
    """Finds the addresses of clients, also behind proxies.

    exempt: peers that stand for many clients, so that they are not counted: the proxies, and this machine.
    proxies: the peers whose headers `Forwarded` and `X-Forwarded-For` say who their client is; None: nobody.
    """

    exempt: Peers
    proxies: Peers | None = None

    def of(self, headers: Headers, peer: IAddress) -> str | None:
        """The address of the client; None: it is not known, or not counted."""
        if self.proxies is not None and peer in self.proxies:
            return _forwarded_for(headers)
        if not isinstance(peer, IPv4Address | IPv6Address) or peer in self.exempt:
            return None
        return counted_as(peer.host)


def _forwarded_for(headers: Headers) -> str | None:
    node = parameters(last_value(headers, "forwarded")).get("for") or last_value(headers, "x-forwarded-for")
    match = _NODE.fullmatch(node)
    try:
        return counted_as(match[1] or match[2] if match else node)
    except ValueError:
        return None
