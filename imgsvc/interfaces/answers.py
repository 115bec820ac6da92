"""Where answers to requests are written to, and what writes the large ones."""

from __future__ import annotations

from collections.abc import Awaitable

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from zope.interface import Attribute, Interface

from imgsvc.interfaces.resources import IReservation

__all__ = ["IAnswers", "IOutlet"]


class IOutlet(IConsumer):
    """The answer to a request, its headers set and not yet sent: where a delivery writes to."""

    started: bool = Attribute("Whether any of the answer was written.")

    def plain_transport() -> FileDescriptor | None:
        """The transport, if it is a plain socket to which a file may be sent as it is; else None."""

    def lend_transport() -> None:
        """Write the headers to the transport and leave it without a producer, for the caller to register one."""

    def count(sent: int) -> None:
        """So many more bytes of the body were written to the transport that was lent."""

    def take_back_transport() -> None:
        """The caller has unregistered its producer."""

    def cut() -> None:
        """Break the connection off, so that nobody takes what was sent for the whole."""


class IAnswers(Interface):
    """Sends JSON answers that are large."""

    def reserve(size: int) -> Deferred[IReservation]:
        """See IAnswerBudget. Fails with Overloaded for who has waited for too long."""

    def send(blocks: list[bytes], outlet: IOutlet, reservation: IReservation) -> Awaitable[None]:
        """Write a list of bytes, which is emptied, to the outlet as the client takes it.

        The reservation, which the caller closes, shrinks with what is left. When a client takes nothing for too long,
        or the whole takes too long, the connection is cut. Who gives up waiting stops it.
        """
