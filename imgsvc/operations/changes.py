"""Changes of images. Concurrent changes of one image are made one after the other, so that none is lost."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from attrs import define, field
from twisted.internet.defer import Deferred

from imgsvc.errors import ImageChanged
from imgsvc.event_model import event_of_change
from imgsvc.interfaces import IEvents, IImageCatalogue
from imgsvc.model import Caller, Image, PendingDeletion, ProjectLimits
from imgsvc.operations.access import Access
from imgsvc.operations.limits import Quotas

ATTEMPTS: Final = 100
"""Attempts to write a change. One fails when another process has changed the image in the meantime."""

Change = Callable[[Image], Image]
"""Returns the changed image for the current one. It must have no side effects, because it may be called repeatedly."""


@define
class Changes:
    """Changes images. Within this process the changes of one image wait for each other.

    quotas: limit the bytes of the locations that a change adds; None: no limit.
    """

    access: Access
    catalogue: IImageCatalogue
    events: IEvents
    quotas: Quotas | None = None
    _turns: dict[str, _Turns] = field(factory=dict, init=False)

    async def change(
        self, caller: Caller, image_id: str, function: Change, *actions: str
    ) -> tuple[Image, list[PendingDeletion]]:
        """Write the image that `function` returns. Returns the image as written, and the locations that it has lost.

        actions: what the caller does, see Access.image. If `function` returns an equal image, nothing is written, and
        updated_at stays. The caller of this method passes the lost locations on to Deletion.remove_all.
        Raises NoSuchImage, Forbidden, TooLarge, and the errors of `function`: nothing has changed. Raises ImageChanged:
        other processes have changed the image during each of ATTEMPTS attempts.
        """
        async with self._turn(image_id):
            for attempt in range(1, ATTEMPTS + 1):
                image = await self.access.image(caller, image_id, *actions)
                changed = function(image)
                if changed == image:
                    return image, []
                try:
                    now, pending = await self.catalogue.update(image, changed, await self._limits(image, changed))
                except ImageChanged:
                    if attempt == ATTEMPTS:
                        raise
                else:
                    self.events.publish(event_of_change(image, now))
                    return now, pending
        raise AssertionError("the last attempt returns or raises")

    async def _limits(self, image: Image, changed: Image) -> ProjectLimits | None:
        """The limits that a change must respect; None if it adds no bytes."""
        if self.quotas is None or changed.located_bytes <= image.located_bytes:
            return None
        return await self.quotas.limits(changed.owner)

    @asynccontextmanager
    async def _turn(self, image_id: str) -> AsyncIterator[None]:
        turns = self._turns.setdefault(image_id, _Turns())
        await turns.wait()
        try:
            yield
        finally:
            turns.end()
            if turns.idle and self._turns.get(image_id) is turns:
                del self._turns[image_id]


class _Turns:
    """A queue that lets one holder run at a time, in the order of arrival. The stack stays flat for any number of
    waiters.
    """

    def __init__(self) -> None:
        self._waiting: deque[Deferred[None]] = deque()
        self._taken = False
        self._passing = False

    @property
    def idle(self) -> bool:
        """Whether nobody has the turn or waits for it."""
        return not self._taken and not self._waiting

    def wait(self) -> Deferred[None]:
        """The Deferred fires when it is the caller's turn. The caller then calls `end`. A cancelled waiter gets no
        turn.
        """
        turn: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(turn)
        self._pass_on()
        return turn

    def end(self) -> None:
        """End the turn."""
        self._taken = False
        self._pass_on()

    def _pass_on(self) -> None:
        if self._passing:  # the loop of an outer call goes on
            return
        self._passing = True
        while self._waiting and not self._taken:
            self._taken = True
            self._waiting.popleft().callback(None)
        self._passing = False
