"""The interfaces of the resources that the transfers and requests of a process share: threads and memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

__all__ = ["IBudget", "IJsonBudget", "IReservation", "IShare", "IThreads"]


class IThreads(Interface):
    """Runs blocking calls outside the thread of the reactor."""

    def run(function: Callable[[*Ts], T], *arguments: *Ts) -> Deferred[T]:
        """Call `function(*arguments)` in a thread. Returns its result; fails with the exception that it raised.

        After `stop` the function is not called, and the Deferred fails with CancelledError.
        """

    def stop() -> None:
        """End the threads, each after its current call. Only the owner calls this."""


class IShare(Interface):
    """One transfer's share of the process's memory for bytes in flight."""

    block_size: int = Attribute("Bytes to collect before a block is passed on; smaller when there are more shares.")
    held: int = Attribute("Bytes held now.")

    def hold(size: int) -> None:
        """Count `size` more bytes as held."""

    def free(size: int) -> None:
        """Count `size` bytes as no longer held."""

    def has_room() -> bool:
        """Whether the transfer may ask for more bytes now."""

    def has_plenty() -> bool:
        """Whether there is room and at most half of the budget is held: the condition for reading ahead."""

    def make_room() -> bool:
        """Call the `give_back` of other shares that have lent bytes. Returns whether there is room now."""

    def lend(give_back: Callable[[], None]) -> None:
        """Declare that the held bytes are not needed now, so that others can get their memory.

        give_back: called at most once, when others need room; frees as many bytes as it can. The shares that have lent
        for the longest time are asked first.
        """

    def take_back() -> None:
        """Stop lending, because the held bytes are needed again. May be repeated."""

    def when_room(call: Callable[[], None]) -> None:
        """Call `call()` once, when others have freed bytes and has_room() may have become true."""

    def close() -> None:
        """Return the share and all that it holds to the budget. May be repeated."""


class IBudget(Interface):
    """Limits the bytes that all transfers of a process hold together."""

    def share() -> IShare:
        """Return a share for one more transfer. The caller closes it."""


class IReservation(Interface):
    """Memory that is counted for one JSON body or answer."""

    size: int = Attribute("Bytes that are counted.")

    def resize(size: int) -> None:
        """Change the reservation to `size` bytes, when the size was not known before. Never waits.

        Has no effect after close().
        """

    def close() -> None:
        """Return the memory to the budget. May be repeated."""


class IJsonBudget(Interface):
    """Limits the memory that the JSON bodies and responses of a process hold together."""

    def reserve(size: int) -> Deferred[IReservation]:
        """Reserve `size` bytes. The caller closes the reservation.

        For up to 64 KiB the Deferred has fired already; for more it fires when its turn has come and there is room.
        Cancelling it removes it from the queue, and it fails with CancelledError.
        """
