"""Lists of peers in the configuration: addresses, networks, `unix`."""

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
"""The peers on this machine."""


class Peers:
    """A list of peers. Use `peer in peers` with the address (IAddress) of the other end of a connection."""

    def __init__(self, names: Iterable[str], option: str) -> None:
        """names: addresses, networks such as `10.0.0.0/8`, or `unix` for all connections to unix sockets.

        option: the option that has the list, for messages. Raises ConfigurationError: a name is not valid.
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
        address = _address(host)
        return any(address in network for network in self._networks)


def counted_as(host: str) -> str:
    """The key by which one client is counted: an IPv4 address, or an IPv6 network of /64, which one client often has.

    host: an address. Raises ValueError: it is none.
    """
    address = _address(host)
    return str(ip_network((address, 64), strict=False) if isinstance(address, IPv6Address) else address)


def _address(host: str) -> IPv4Address | IPv6Address:
    """Read an address, with or without a zone. Raises ValueError."""
    address = ip_address(host.partition("%")[0])
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _network(text: str, option: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ConfigurationError(f"{option} = {text!r}: must be an address, a network or 'unix': {error}") from None
