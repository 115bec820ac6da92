"""Makes a reactor use the monotonic clock.

Twisted's reactors use the system clock. When that is set forward, timeouts expire too early. When it is set back, they
expire too late.
"""

from __future__ import annotations

import time
from typing import Any


def go_by_time_passed(reactor: Any) -> None:
    """Make all timers of the reactor use the monotonic clock. To be called before anything is scheduled.

    reactor: provides IReactorTime. From now on its `seconds()` gives times that can be compared, but are not dates.
    """
    assert not reactor.getDelayedCalls(), "delayed calls that exist already use another clock"
    reactor.seconds = time.monotonic
