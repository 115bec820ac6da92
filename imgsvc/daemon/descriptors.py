"""How many files and connections a process may have open."""

from __future__ import annotations

import resource
from typing import Final

from imgsvc.errors import ConfigurationError
from imgsvc.logger import make_logger

log = make_logger()

RESERVED: Final = 128
"""Descriptors that are left to the database, the log, other servers, and refused connections."""
MOST_CONNECTIONS: Final = 16_384
"""Connections that are allowed where nobody has said how many."""
MOST_DESCRIPTORS: Final = 1 << 20
"""Some systems allow a thousand millions, which nothing needs."""


def allowed() -> int:
    """How many descriptors this process may have: the hard limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)


def raise_limit() -> None:
    """Raise the soft limit of descriptors to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= allowed():
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed(), hard))
    except (OSError, ValueError) as error:
        log.warn("the limit of open files stays {soft}: {error}", soft=soft, error=error)


def most_connections(asked: int) -> int:
    """How many connections this process takes. asked: server.connections; 0: as many as can all transfer a file.

    Raises ConfigurationError when so many were asked for that no descriptor would be left for anything else.
    """
    free = max(2, allowed() - RESERVED)
    if asked > free:
        raise ConfigurationError(
            f"server.connections = {asked}: must be at most {free}: this process may open {allowed()} files"
            f" (ulimit -Hn, LimitNOFILE), and needs {RESERVED} of them for itself"
        )
    return asked or min(free // 2, MOST_CONNECTIONS)
