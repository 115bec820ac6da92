"""Checks the URLs that clients make the server request (protection against server-side request forgery)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from attrs import frozen

from imgsvc.errors import ConfigurationError, UrlRefused
from imgsvc.remote.addresses import Address, Network, is_in, may_connect

LONGEST_URL: Final = 2048
PORTS: Final = {"http": 80, "https": 443}
"""The port of a URL that does not name one."""

_CHARACTERS: Final = re.compile(r"[!-~]+")
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_BRACKETED: Final = re.compile(r"\[[^][]*\](?::[0-9]*)?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""The last label of a host that some programs read as an IPv4 address: `127.1`, `2130706433`, `0x7f.0.0.1`."""


@frozen
class GuardRules:
    """What an operator allows. A denial wins over an allowance. An empty list of allowed hosts or ports allows all.

    Hosts: names, `.example.org` for all names below it, addresses or networks. allow_private: whether the server may
    connect to private and loopback addresses.
    """

    allowed_hosts: tuple[str, ...] = ()
    denied_hosts: tuple[str, ...] = ()
    allowed_ports: tuple[int, ...] = (80, 443)
    denied_ports: tuple[int, ...] = ()
    allowed_schemes: tuple[str, ...] = ("http", "https")
    allow_private: bool = False


@frozen
class Target:
    """The parts of a URL that was checked.

    host: a name, or an address without brackets. url: the URL to request, without a fragment.
    """

    scheme: str
    host: str
    port: int
    url: str

    @property
    def address(self) -> Address | None:
        """The address in the URL; None if the URL has a host name."""
        return ip_address(self.host) if ":" in self.host or _looks_like_address(self.host) else None


class Guard:
    """Decides which URLs the server may request, and which addresses it may connect to."""

    def __init__(self, rules: GuardRules, path: str) -> None:
        """path: of the configuration's table that has the rules. Raises ConfigurationError: a host is not valid."""
        self._rules = rules
        self._allowed = _Hosts(rules.allowed_hosts, f"{path}.allowed_hosts")
        self._denied = _Hosts(rules.denied_hosts, f"{path}.denied_hosts")

    def check(self, url: str) -> Target:
        """The target of a URL. Its host may still resolve to an address that `admits` refuses.

        Raises UrlRefused: the URL is not valid or not allowed.
        """
        target = _parse(url)
        if target.scheme not in self._rules.allowed_schemes:
            raise UrlRefused("its scheme is not allowed")
        if target.port in self._rules.denied_ports:
            raise UrlRefused("its port is denied")
        if self._rules.allowed_ports and target.port not in self._rules.allowed_ports:
            raise UrlRefused("its port is not allowed")
        if target.address is not None:
            if not self.admits(target.host, target.address):
                raise UrlRefused("its address is not allowed")
        elif self._denied.names(target.host):
            raise UrlRefused("its host is denied")
        elif self._allowed and not self._allowed.networks and not self._allowed.names(target.host):
            raise UrlRefused("its host is not allowed")
        return target

    def admits(self, host: str, address: Address) -> bool:
        """Whether the server may connect to this address of the host."""
        if self._denied.names(host) or is_in(address, self._denied.networks):
            return False
        if self._allowed and not self._allowed.names(host) and not is_in(address, self._allowed.networks):
            return False
        return may_connect(address, self._rules.allow_private)


class _Hosts:
    """A list of hosts in the configuration."""

    def __init__(self, entries: Iterable[str], path: str) -> None:
        self._entries = tuple(entries)
        self._names: set[str] = set()
        self.networks: tuple[Network, ...] = ()
        for entry in self._entries:
            try:
                self.networks += (ip_network(entry),)
            except ValueError:
                name = entry.lower().removesuffix(".")
                if not _NAME.fullmatch(name.removeprefix(".")) or _looks_like_address(name):
                    raise ConfigurationError(
                        f"{path} = {entry!r}: must be a host name, .domain, an address or a network"
                    ) from None
                self._names.add(name)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def names(self, host: str) -> bool:
        """Whether the list has the name of a host, or a domain that contains it."""
        name = host.removesuffix(".")
        if name in self._names:
            return True
        while "." in name:
            name = name.partition(".")[2]
            if f".{name}" in self._names:
                return True
        return False


def _parse(url: str) -> Target:
    """Parse a URL that all programs read in the same way, and refuse any other. Raises UrlRefused."""
    if len(url) > LONGEST_URL:
        raise UrlRefused(f"it is longer than {LONGEST_URL} characters")
    if not _CHARACTERS.fullmatch(url) or "\\" in url:
        raise UrlRefused("it has characters that must be written as %XX")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UrlRefused("it is not a URL") from error
    if parts.scheme not in PORTS:
        raise UrlRefused("it does not begin with http:// or https://")
    if "@" in parts.netloc:
        raise UrlRefused("it carries a user name or a password")
    if "#" in url and not parts.path:  # some programs take the fragment as part of the host
        raise UrlRefused("it has a fragment without a path before it")
    bracketed = "[" in parts.netloc
    if bracketed and not _BRACKETED.fullmatch(parts.netloc):
        raise UrlRefused("it has something beside an address in brackets")
    host = _host(parts.hostname or "", bracketed)
    if port is None:
        port = PORTS[parts.scheme]
    elif port == 0:
        raise UrlRefused("it has no port that can be connected to")
    place = f"[{host}]" if ":" in host else host
    if port != PORTS[parts.scheme]:
        place += f":{port}"
    query = f"?{parts.query}" if parts.query else ""
    return Target(parts.scheme, host, port, f"{parts.scheme}://{place}{parts.path or '/'}{query}")


def _looks_like_address(host: str) -> bool:
    """Whether some programs read a host as an IPv4 address."""
    return _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]) is not None


def _host(text: str, bracketed: bool) -> str:
    """A name in lower case, or an address in its standard form. Raises UrlRefused."""
    try:
        if bracketed:
            if "%" in text:
                raise UrlRefused("its address has a zone")
            return str(IPv6Address(text))
        if _looks_like_address(text):
            return str(IPv4Address(text))
    except AddressValueError as error:
        raise UrlRefused("its host is not an address in the usual form") from error
    if not _NAME.fullmatch(text) or len(text) > 253:
        raise UrlRefused("its host is not a host name")
    return text
