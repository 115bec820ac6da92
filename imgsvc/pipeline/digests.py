"""The digests of one stream. Streams are hashed in threads, when the scheduler says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from imgsvc.hashing import IRunningHash, Piece

__all__ = ["Digests"]


class Consumption(Deferred[None]):
    """Fires when the pieces of one `consume` are used no more, also if it is cancelled.

    A call that has begun to read them cannot be ended. So cancelling it only drops the pieces that no call has taken.
    Then it fires with CancelledError at once, or when the call has ended.
    """

    def __init__(self, give_up: Callable[[], None]) -> None:
        super().__init__()
        self._give_up = give_up

    def cancel(self) -> None:
        """See Consumption."""
        if self.called:
            super().cancel()
        else:
            self._give_up()


class Digests:
    """All digests of one stream.

    running: the digests so far. arrived: called when there are pieces to take, and none is in a call. left: called when
    no more pieces come, or the waiting ones were dropped.
    """

    def __init__(
        self, running: IRunningHash, arrived: Callable[[Digests], None], left: Callable[[Digests], None]
    ) -> None:
        self.running = running
        self.since = 0.0
        """When it began to wait, or to rest, by the scheduler's clock."""
        self.behind = False
        """Whether the owner had the pieces that wait before the last ones were consumed: they come faster than that."""
        self.outcome: Failure | None = None
        """Why its pieces are not consumed."""
        self._arrived = arrived
        self._left = left
        self._waiting: list[Piece] = []
        self._taken: list[Piece] = []
        self._in_call = False
        self._firing = False
        self._consumption: Consumption | None = None

    # --- for the owner of the stream

    def consume(self, pieces: Sequence[Piece]) -> Deferred[None]:
        """Add pieces to all digests. The Deferred fires when that is done; the next call must come after it.

        The pieces are not used after it has fired. Cancelling it drops those that no call has taken.
        """
        if self._consumption is not None:
            raise RuntimeError("the last pieces are not consumed yet")
        consumption = self._consumption = Consumption(self.give_up)
        self._waiting = list(pieces)
        self.behind = self._firing
        self._arrived(self)
        return consumption

    def digest(self, algorithm: str) -> bytes:
        """The raw digest of all bytes so far. Call it when nothing is being consumed."""
        return self.running.digest(algorithm)

    def hexdigest(self, algorithm: str) -> str:
        """The same in lower-case hexadecimal."""
        return self.digest(algorithm).hex()

    def close(self) -> None:
        """No more pieces come, so other streams need not wait for them. What waits is dropped, see `consume`.

        The digests can still be read.
        """
        if self._consumption is None:
            self._left(self)
        else:
            self.give_up()

    def export(self) -> bytes | None:
        """The state so far, for `DigestScheduler.restore` in another process. Call it when nothing is being consumed.

        Returns None if the hasher cannot export it: the bytes must be read again.
        """
        return self.running.export()

    # --- for the scheduler

    def give_up(self) -> None:
        """Drop the waiting pieces, and fail with CancelledError when no call uses the others."""
        self._waiting = []
        self.outcome = Failure(CancelledError())
        if not self._in_call:
            self._left(self)
            self.fire()

    def take(self, most: int | None) -> list[Piece]:
        """Take the next pieces for a call. most: bytes, at most; None: all."""
        self._in_call = True
        self._taken, self._waiting = (self._waiting, []) if most is None else _split(self._waiting, most)
        return self._taken

    def returned(self, failure: Failure | None) -> bool:
        """The call has ended. failure: of the call. Returns whether pieces are waiting; if not, `fire` is next."""
        self._in_call = False
        self._taken.clear()  # the call may live on for a moment, in its thread
        if failure is not None:
            self._waiting = []
            self.outcome = failure
        self.behind = bool(self._waiting)
        return self.behind

    def fire(self) -> None:
        """Tell the owner that its pieces are consumed, or why they are not."""
        consumption, self._consumption = self._consumption, None
        if consumption is not None:
            self._firing = True
            consumption.callback(self.outcome)
            self._firing = False


def _split(pieces: list[Piece], most: int) -> tuple[list[Piece], list[Piece]]:
    """The first `most` bytes, and the rest."""
    size = 0
    for number, piece in enumerate(pieces):
        size += len(piece)
        if size > most:
            view, kept = memoryview(piece), len(piece) - (size - most)
            return [*pieces[:number], view[:kept]], [view[kept:], *pieces[number + 1 :]]
    return pieces, []
