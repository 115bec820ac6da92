"""Hashes all streams of a process in threads, several streams in one call where that saves time.

A processor with wide registers computes the digests of several streams in the time that one of them takes. So pieces of
streams that arrive at about the same time are gathered. Nothing is gained for a single stream, which is never delayed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from time import thread_time
from typing import Final

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from imgsvc.hashing import IHasher, IRunningHash
from imgsvc.interfaces import IThreads
from imgsvc.pipeline.cores import Cores
from imgsvc.pipeline.digests import Digests

__all__ = ["DigestScheduler"]

PATIENCE: Final = 0.0015
"""Seconds for which pieces wait for those of other streams, at most, while a thread is idle."""
SHORTEST: Final = 0.0001
"""Seconds that are not waited for. The sums of times are not exact."""
RECENT: Final = 0.02
"""A stream that had pieces less than so many seconds ago, and was not closed, is expected to get more soon."""
MOST_IN_COMMON: Final = 2 << 20
"""Bytes of each stream in a call while there are others: as many as one read of an upload gives, at most."""


@define(eq=False)
class _Round:
    """Calls that belong together. calls_left: those that have not ended."""

    streams: Sequence[Digests]
    calls_left: int = 0
    failure: Failure | None = None


class DigestScheduler:
    """Computes the digests of all streams of a process.

    Rules, with a hasher that has lanes for several streams:

    - While all threads are busy, the streams with pieces wait, and are gathered. When a thread is idle, the next call
      takes as many of them as the hasher has lanes, in the order in which they began to wait. A stream whose pieces are
      more than MOST_IN_COMMON waits with the rest behind the others, if there are any.
    - While a thread is idle, pieces wait for others for PATIENCE at most, and only if enough streams had pieces lately.
      A thread is not idle in this sense while no core is, and another call is running.
    - Fewer streams than `common_from` get calls of their own. One call for all digests of a stream takes less of the
      processors than one for each. So a stream gets several threads only if they are idle, and its pieces come faster
      than one thread hashes them.

    Without such lanes each stream has its own calls at once. They wait in the pool for a thread.

    threads: a pool of `size` threads; the owner stops it after this. cores: of the machine.
    """

    def __init__(self, hasher: IHasher, threads: IThreads, size: int, clock: IReactorTime, cores: Cores) -> None:
        self._hasher = hasher
        self._threads = threads
        self._size = size
        self._clock = clock
        self._cores = cores
        self._gathers = hasher.lanes > 1
        self._waiting: deque[Digests] = deque()
        self._resting: dict[Digests, None] = {}
        """Streams that have consumed all they had, the latest last."""
        self._in_calls = 0
        self._calls = 0
        self._used = 0.0
        self._timer: IDelayedCall | None = None
        self._starting = False
        self._stopped = False

    @property
    def lanes(self) -> int:
        """Streams that are hashed together, if they have pieces at the same time."""
        return self._hasher.lanes

    def digests(self, algorithms: Collection[str]) -> Digests:
        """Begin the digests of a stream. algorithms: hashlib's names. Raises ValueError: one of them is not known."""
        return self._stream(self._hasher.new(algorithms))

    def restore(self, exported: bytes) -> Digests:
        """Go on where `Digests.export` was called. Raises ValueError: these bytes are not an exported state."""
        return self._stream(self._hasher.restore(exported))

    def stop(self) -> None:
        """Fail what waits, and what comes later, with CancelledError. Calls that are running go on to their ends."""
        self._stopped = True
        for stream in list(self._waiting):
            stream.give_up()
        self._end_timer()

    def _stream(self, running: IRunningHash) -> Digests:
        return Digests(running, self._arrived, self._left)

    # --- streams come and go

    def _arrived(self, stream: Digests) -> None:
        self._resting.pop(stream, None)
        self._wait(stream)
        if self._stopped:
            stream.give_up()
        self._start()

    def _wait(self, stream: Digests) -> None:
        stream.since = self._clock.seconds()
        self._waiting.append(stream)

    def _rest(self, stream: Digests) -> None:
        stream.since = self._clock.seconds()
        self._resting[stream] = None

    def _left(self, stream: Digests) -> None:
        self._resting.pop(stream, None)
        if stream in self._waiting:
            self._waiting.remove(stream)
            self._start()  # the others need not wait for it

    # --- calls

    def _start(self) -> None:
        """Start the calls that can be started now."""
        if self._starting:  # in a call below, which goes on with the new state
            return
        self._starting = True
        try:
            while self._waiting and self._can_call():
                self._call(self._next())
        finally:
            self._starting = False
        if not self._waiting:
            self._end_timer()

    def _can_call(self) -> bool:
        """Whether streams that wait are to be hashed now."""
        if not self._gathers:
            return True
        if self._calls >= self._size:
            return False
        expected = min(self._hasher.lanes, self._expected())
        if expected < self._hasher.common_from or len(self._waiting) >= expected:
            return True
        if self._calls >= self._usable_threads():
            return False  # two calls at once would share a core, and each would have fewer streams
        return not self._wait_for_others()

    def _wait_for_others(self) -> bool:
        """Whether the streams that wait have to wait for others, which are likely to have pieces in a moment."""
        patience = self._waiting[0].since + PATIENCE - self._clock.seconds()
        if patience < SHORTEST:
            return False
        if self._timer is None:
            self._timer = self._clock.callLater(patience, self._waited)
        return True

    def _expected(self) -> int:
        """The number of streams that have pieces, or had some lately."""
        oldest = self._clock.seconds() - RECENT
        while self._resting and (stream := next(iter(self._resting))).since < oldest:
            del self._resting[stream]
        return len(self._waiting) + self._in_calls + len(self._resting)

    def _waited(self) -> None:
        self._timer = None
        self._start()

    def _end_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _next(self) -> list[Digests]:
        """The streams of the next call."""
        together = self._gathers and len(self._waiting) >= self._hasher.common_from
        count = min(len(self._waiting), self._hasher.lanes) if together else 1
        return [self._waiting.popleft() for _ in range(count)]

    def _call(self, streams: Sequence[Digests]) -> None:
        """Hash the next pieces of streams."""
        self._in_calls += len(streams)
        most = MOST_IN_COMMON if self._gathers and self._expected() > 1 else None
        work = [(stream.running, stream.take(most)) for stream in streams]
        started = _Round(streams)
        calls: list[Callable[[], None]] = []
        try:
            calls = self._hasher.calls(work, self._idle_threads() if streams[0].behind else 1)
        except Exception:
            started.failure = Failure()
        started.calls_left = len(calls)
        self._calls += len(calls)
        for call in calls:
            self._threads.run(_timed, call).addBoth(self._called, started)
        if not calls:
            self._end(started)

    def _idle_threads(self) -> int:
        """Threads for one call more. The streams that wait need threads, too."""
        return max(1, self._usable_threads() - self._calls - len(self._waiting))

    def _usable_threads(self) -> int:
        """Threads that have a core for themselves, at least 1."""
        return max(1, round(min(self._size, self._cores.left(self._used))))

    def _called(self, result: float | Failure, ended: _Round) -> None:
        self._calls -= 1
        if isinstance(result, Failure):
            ended.failure = result
        else:
            self._used += result
        ended.calls_left -= 1
        if ended.calls_left == 0:
            self._end(ended)
        else:
            self._start()

    def _end(self, ended: _Round) -> None:
        """Put the streams of a round in their places, and tell their owners."""
        self._in_calls -= len(ended.streams)
        consumed = []
        for stream in ended.streams:
            if stream.returned(ended.failure):
                self._wait(stream)
            else:
                consumed.append(stream)
                if stream.outcome is None:
                    self._rest(stream)
        for stream in consumed:
            stream.fire()
        self._start()


def _timed(call: Callable[[], None]) -> float:
    """Make a call. Returns the seconds of processor time that it has taken."""
    begin = thread_time()
    call()
    return thread_time() - begin
