"""Lists of peers, as the configuration writes them: addresses, networks, `unix`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from twisted.internet.address import IPv4Address as TCP4
from twisted.internet.address import IPv6Address as TCP6
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress

from imgsvc.errors import ConfigurationError

THIS_MACHINE: Final = ("127.0.0.0/8", "::1", "unix")
"""Peers that are on this machine."""


class Peers:
    """Who is on a list. `peer in peers` for the address (IAddress) that a connection comes from."""

    def __init__(self, names: Iterable[str], option: str) -> None:
        """names: addresses, networks as `10.0.0.0/8`, `unix` for whoever connects to a unix socket.

        option: where the list stands in the configuration. Raises ConfigurationError.
        """
        listed = tuple(names)
        self._unix = "unix" in listed
        self._networks = tuple(_network(name, option) for name in listed if name != "unix")
        self._is_listed = lru_cache(maxsize=1024)(self._look_up)

    def __contains__(self, peer: IAddress) -> bool:
        if isinstance(peer, TCP4 | TCP6):
            return self._is_listed(peer.host)
        return isinstance(peer, UNIXAddress) and self._unix

    def _look_up(self, host: str) -> bool:
        address: IPv4Address | IPv6Address = ip_address(host.partition("%")[0])
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def _network(text: str, option: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ConfigurationError(f"{option} = {text!r}: must be an address, a network or 'unix': {error}") from None
