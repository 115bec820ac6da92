"""The texts of `server.listen`: what an endpoint reaches, and advice for texts that are not endpoints."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

__all__ = ["advice", "endpoint_parts", "is_local"]

_LOOSE: Final = re.compile(
    r"(?:(?P<scheme>tcp6?|https?|ssl):(?://)?)?(?:(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.*-]+)?:)?(?P<port>[0-9]{1,5})/?"
)
"""Common notations of a port, or of an address with a port, that Twisted does not accept."""


def endpoint_parts(endpoint: str) -> tuple[str, list[str]]:
    """The kind of an endpoint of Twisted, and its arguments, such as `9292` or `interface=127.0.0.1`."""
    parts = re.findall(r"(?:\\.|[^:\\])+", endpoint)
    kind, *arguments = [re.sub(r"\\(.)", r"\1", part) for part in parts] or [""]
    return kind, arguments


def is_local(endpoint: str) -> bool:
    """Whether only this machine can reach a server endpoint of Twisted, judging by its text."""
    kind, arguments = endpoint_parts(endpoint)
    if kind == "unix" or (kind == "systemd" and "domain=UNIX" in arguments):
        return True
    if kind not in ("tcp", "tcp6", "ssl"):
        return False
    interface = dict(argument.split("=", 1) for argument in arguments if "=" in argument).get("interface", "")
    try:
        return ip_address(interface).is_loopback
    except ValueError:
        return interface == "localhost"


def advice(endpoint: str) -> str | None:
    """The endpoint to write instead of a text such as `9292` or `localhost:9292`; None: the text may be an endpoint."""
    if endpoint.startswith(("/", "./")):
        return f"unix:{endpoint}"
    match = _LOOSE.fullmatch(endpoint)
    if match is None or (match["scheme"] in ("tcp", "tcp6", "ssl") and match["host"] is None):
        return None
    host = (match["host"] or "127.0.0.1").strip("[]")
    kind = "tcp6" if ":" in host else "tcp"
    interface = host.replace(":", r"\:") if host != "*" else "0.0.0.0"
    if match["scheme"] in ("https", "ssl"):
        return f"ssl:{match['port']}:interface={interface}:privateKey=FILE:certKey=FILE"
    return f"{kind}:{match['port']}:interface={interface}"
