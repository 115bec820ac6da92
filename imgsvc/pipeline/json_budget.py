"""Bounds the memory for JSON: bodies that are being read, and responses that clients have not received yet."""

from __future__ import annotations

from collections import deque

from attrs import define, field
from twisted.internet.defer import Deferred
from zope.interface import implementer

from imgsvc.interfaces import IJsonBudget, IReservation

SMALL = 64 << 10
"""Reservations of up to this many bytes never wait. Nearly all requests and responses are smaller."""


@implementer(IReservation)
@define(eq=False)
class Reservation:
    """Reserved bytes of a JsonBudget."""

    size: int
    _budget: JsonBudget = field(repr=False)

    @property
    def large(self) -> bool:
        """Whether it has more bytes than SMALL."""
        return self.size > SMALL

    def resize(self, size: int) -> None:
        """See IReservation."""
        if self in self._budget.reservations:
            self._budget.held += size - self.size
            self._budget.large += (size > SMALL) - self.large
            self.size = size
            self._budget.grant()

    def close(self) -> None:
        """See IReservation."""
        if self in self._budget.reservations:
            self._budget.reservations.discard(self)
            self._budget.held -= self.size
            self._budget.large -= self.large
            self._budget.grant()


@implementer(IJsonBudget)
class JsonBudget:
    """Bounds the memory of all large JSON bodies and responses of a process to `size` bytes together.

    Reservations of up to 64 KiB are counted, and never wait. Larger ones are granted in the order of their requests.
    Each is granted when there is room for it, or when no other large one is held. So a reservation that is larger than
    the budget is granted too, and many small ones cannot block a large one forever.

    held: bytes of all reservations. reservations: those that are open. large: how many of them are large.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.held = 0
        self.large = 0
        self.reservations: set[Reservation] = set()
        self._waiting: deque[tuple[int, Deferred[IReservation]]] = deque()
        self._granting = False

    @property
    def waiting(self) -> int:
        """How many reservations wait."""
        return len(self._waiting)

    def reserve(self, size: int) -> Deferred[IReservation]:
        """See IJsonBudget."""
        granted: Deferred[IReservation] = Deferred(self._give_up)
        if size <= SMALL:
            granted.callback(self._hold(size))
        else:
            self._waiting.append((size, granted))
            self.grant()
        return granted

    def grant(self) -> None:
        """Grant the waiting reservations that there is room for now. Calls from their callbacks return at once."""
        if self._granting:
            return
        self._granting = True
        try:
            while self._waiting and (not self.large or self.held + self._waiting[0][0] <= self.size):
                size, granted = self._waiting.popleft()
                granted.callback(self._hold(size))
        finally:
            self._granting = False

    def _hold(self, size: int) -> Reservation:
        reservation = Reservation(size, self)
        self.reservations.add(reservation)
        self.held += size
        self.large += reservation.large
        return reservation

    def _give_up(self, granted: Deferred[IReservation]) -> None:
        """Remove a waiting reservation that was cancelled. There may be room for those behind it."""
        self._waiting = deque(entry for entry in self._waiting if entry[1] is not granted)
        self.grant()
