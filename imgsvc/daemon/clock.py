"""Time that only passes.

Twisted's reactors go by the clock on the wall. When that is set forward, every time-out ends at once; when it is set
back, none does for as long.
"""

from __future__ import annotations

import time
from typing import Any


def go_by_time_passed(reactor: Any) -> None:
    """Have all timers of a reactor, provider of IReactorTime, go by the monotonic clock of the system.

    Called before anything is scheduled. What asks the reactor for the time may compare it, but not show it.
    """
    assert not reactor.getDelayedCalls(), "what is scheduled already goes by another clock"
    reactor.seconds = time.monotonic
