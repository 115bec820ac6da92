"""The interfaces for the response to a request, and for the sender of large JSON responses."""

from __future__ import annotations

from collections.abc import Awaitable

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from zope.interface import Attribute, Interface

from imgsvc.interfaces.resources import IReservation

__all__ = ["IAnswers", "IResponseSink"]


class IResponseSink(IConsumer):
    """The response to a request, with its headers set but not sent yet. Producers write the body to it."""

    started: bool = Attribute("Whether any byte of the response was written.")

    sent: int = Attribute("Bytes of the body that were written.")

    def plain_transport() -> FileDescriptor | None:
        """Return the transport if it is a plain socket, to which the kernel can send a file; else None."""

    def lend_transport() -> None:
        """Write the headers to the transport and unregister its producer, so that the caller can register one."""

    def count(sent: int) -> None:
        """Add to the number of body bytes that the caller has written to the lent transport.

        sent: bytes since the last call.
        """

    def take_back_transport() -> None:
        """Take the lent transport back. The caller has unregistered its producer before."""

    def cut() -> None:
        """Abort the connection, so that the client does not take the bytes that were sent for the whole response."""


class IAnswers(Interface):
    """Sends large JSON responses."""

    def reserve(size: int) -> Deferred[IReservation]:
        """Reserve memory for a response: see IJsonBudget.

        size: bytes. Fails with Overloaded if it has waited for too long.
        """

    def send(blocks: list[bytes], sink: IResponseSink, reservation: IReservation) -> Awaitable[None]:
        """Write the blocks to the sink at the speed at which the client reads.

        blocks: the body; the list is emptied. reservation: shrinks as blocks are sent; the caller closes it.
        Cuts the connection when the client reads nothing for too long, or when the whole response takes too long.
        Sending stops when the caller cancels its wait.
        """
