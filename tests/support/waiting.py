"""Waits for other processes, and free ports for them."""

from __future__ import annotations

import random
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds. A quiet machine takes a small part of them."""


def wait_for(condition: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """Wait until `condition` is true, and return its result. Raises AssertionError with `what` if that takes
    too long.
    """
    until = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"in {patience} s not: {what}")
        time.sleep(0.02)  # the other process cannot report it


def is_running(pid: int) -> bool:
    """Whether a process has not ended. A zombie does not run."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def children(pid: int) -> list[int]:
    """The processes that a process has started and not yet reaped."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def heed_interrupts() -> None:
    """Run in a child before its program (preexec_fn): SIGINT ends it.

    SIGINT may be ignored in the process that runs the tests, because shells ignore it for background commands.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def listens(port: int) -> bool:
    """Whether somebody accepts connections at a port of the loopback address."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port for a server that cannot choose one itself.

    Nobody listens on it. It is outside the range that the kernel uses for connections and for servers without a given
    port, so nobody takes it before the server does.
    """
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    others = [*range(10_000, first), *range(last + 1, 1 << 16)] or [0]
    while True:
        with suppress(OSError), socket.create_server(("127.0.0.1", random.SystemRandom().choice(others))) as listener:
            port: int = listener.getsockname()[1]
            return port
