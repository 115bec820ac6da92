"""The addresses that the server may connect to on behalf of a client.

Sources: IANA's special-purpose address registries for IPv4 and IPv6 (RFC 6890); RFC 6052 and RFC 8215 for the IPv6
prefixes that stand for IPv4 addresses.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


METADATA: Final = _networks(
    "169.254.169.254/32",  # most clouds, including OpenStack
    "169.254.170.2/32",  # credentials of containers
    "100.100.100.200/32",
    "192.0.0.192/32",
    "168.63.129.16/32",  # a public address that means the host machine to its guests
    "fd00:ec2::/32",  # services of a cloud for its own machines: metadata, credentials, time
    "fd20:ce::254/128",
)
"""Metadata services of clouds, which give secrets to their machines. The server never connects to them."""

PRIVATE: Final = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",
)
"""Loopback, and private networks. The server connects to them only if the operator allows it."""

SPECIAL: Final = _networks(
    "0.0.0.0/8",
    "169.254.0.0/16",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",  # multicast, reserved, broadcast
    "2001::/23",  # Teredo among them
    "2001:db8::/32",
    "2002::/16",  # 6to4: stands for an IPv4 address
    "3fff::/20",
)
"""Ranges that contain no single hosts of the Internet."""

_GLOBAL_6: Final = IPv6Network("2000::/3")
"""The IPv6 addresses that are assigned to hosts. Link-local, multicast, IPv4-mapped and NAT64 addresses lie outside."""


def may_connect(address: Address, allow_private: bool) -> bool:
    """Whether the server may connect to an address: a host of the Internet or, with `allow_private`, of a private
    network.
    """
    if is_in(address, METADATA):
        return False
    if is_in(address, PRIVATE):
        return allow_private
    if isinstance(address, IPv6Address) and address not in _GLOBAL_6:
        return False
    return not is_in(address, SPECIAL)


def is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    """Whether one of the networks holds the address."""
    return any(address in network for network in networks)
