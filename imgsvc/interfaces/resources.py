"""What the transfers and requests of a process share: threads, and memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

__all__ = ["IAnswerBudget", "IBudget", "IReservation", "IShare", "IThreads"]


class IThreads(Interface):
    """Runs blocking calls elsewhere than on the reactor."""

    def run(function: Callable[[*Ts], T], *arguments: *Ts) -> Deferred[T]:
        """Call `function(*arguments)` in a thread. Gives its result; fails with what it raised.

        After `stop` nothing is called: it fails with CancelledError.
        """

    def stop() -> None:
        """End the threads, after the calls that they are in. Called by the owner."""


class IShare(Interface):
    """What one transfer may hold of the process's memory for bytes in flight."""

    block_size: int = Attribute("Bytes to gather before a block goes on its way; shrinks as shares grow in number.")
    held: int = Attribute("Bytes held now.")

    def hold(size: int) -> None:
        """Count `size` more bytes as held."""

    def free(size: int) -> None:
        """Count `size` bytes as no longer held."""

    def has_room() -> bool:
        """Whether more bytes may be asked for now."""

    def has_plenty() -> bool:
        """Whether there is room, and no more than half of the whole is held: for bytes that nobody asks for yet."""

    def make_room() -> bool:
        """Have others give back what they have lent. Whether there is room now."""

    def lend(give_back: Callable[[], None]) -> None:
        """Say that what is held is not needed now: `give_back()` is called at most once, when others need room.

        It frees what it can. Those who have lent for longest are asked first.
        """

    def take_back() -> None:
        """Lend no longer, because what is held is needed again. Any number of times."""

    def when_room(call: Callable[[], None]) -> None:
        """Call `call()` once, when bytes of others were freed and has_room() may be true again."""

    def close() -> None:
        """Give the share back, with all that it holds. Any number of times."""


class IBudget(Interface):
    """Bounds the bytes that all transfers of a process hold together."""

    def share() -> IShare:
        """A share for one more transfer. The caller closes it."""


class IReservation(Interface):
    """Memory that is counted for one JSON body or answer."""

    size: int = Attribute("Bytes that are counted.")

    def resize(size: int) -> None:
        """Count `size` bytes from now on, for who knows only now how many there are. Never waits.

        Without effect after close().
        """

    def close() -> None:
        """Give the memory back. Any number of times."""


class IAnswerBudget(Interface):
    """Bounds the memory that JSON bodies and answers of a process hold together."""

    def reserve(size: int) -> Deferred[IReservation]:
        """Count `size` bytes as held. The caller closes the reservation.

        Up to 64 KiB it has fired already; more waits for its turn, and for room. A cancelled one leaves the queue, and
        fails with CancelledError.
        """
