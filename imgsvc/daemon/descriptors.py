"""Limits on the files and connections that a process may have open."""

from __future__ import annotations

import resource
from typing import Final

from imgsvc.errors import ConfigurationError
from imgsvc.logger import make_logger

log = make_logger()

RESERVED: Final = 128
"""Descriptors kept free for the database, the log, connections to other servers, and connections to be refused."""
MOST_CONNECTIONS: Final = 16_384
"""The most connections of a process if `server.connections` is 0."""
MOST_DESCRIPTORS: Final = 1 << 20
"""The most descriptors to ask for. Some systems allow a billion, which no server needs."""


def allowed() -> int:
    """The number of descriptors that this process may have: the hard limit, but at most MOST_DESCRIPTORS."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)


def raise_limit() -> None:
    """Raise the soft limit of descriptors to `allowed()`. If that fails, log a warning."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= allowed():
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed(), hard))
    except (OSError, ValueError) as error:
        log.warn("the limit of open files stays {soft}: {error}", soft=soft, error=error)


def most_connections(asked: int) -> int:
    """The number of connections that this process accepts.

    asked: server.connections. 0: half of the free descriptors, so that every connection can have a file open, too.

    Raises ConfigurationError: `asked` would leave fewer than RESERVED descriptors for everything else.
    """
    free = max(2, allowed() - RESERVED)
    if asked > free:
        raise ConfigurationError(
            f"server.connections = {asked}: must be at most {free}: this process may open {allowed()} files"
            f" (ulimit -Hn, LimitNOFILE), and needs {RESERVED} of them for itself"
        )
    return asked or min(free // 2, MOST_CONNECTIONS)
