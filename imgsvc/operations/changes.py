"""Changes of images: one after the other, each on top of what the one before it left."""

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
from imgsvc.model import Caller, DoomedLocation, Image, ProjectLimits
from imgsvc.operations.access import Access
from imgsvc.operations.limits import Quotas

ATTEMPTS: Final = 100
"""Each one that fails means that another process got its own change through."""

Change = Callable[[Image], Image]
"""Gives the image as it shall be, from the image as it is. Without side effects: it may be called several times."""


@define
class Changes:
    """Changes images. Within this process the changes of one image wait for each other.

    quotas: hold for the bytes of locations that a change adds; None: any number.
    """

    access: Access
    catalogue: IImageCatalogue
    events: IEvents
    quotas: Quotas | None = None
    _turns: dict[str, _Turns] = field(factory=dict, init=False)

    async def change(
        self, caller: Caller, image_id: str, function: Change, *actions: str
    ) -> tuple[Image, list[DoomedLocation]]:
        """Keep what `function` makes of the image; the image as it is then, and the locations that it lost.

        actions: what the caller does, as Access.image has it. Nothing is written, and updated_at stays, if `function`
        gives an equal image. The caller passes the locations on to Deletion.remove_all.
        Raises NoSuchImage, Forbidden, TooLarge, and whatever `function` raises: nothing has changed then; ImageChanged
        if other processes were faster in each of many attempts.
        """
        async with self._turn(image_id):
            for attempt in range(1, ATTEMPTS + 1):
                image = await self.access.image(caller, image_id, *actions)
                changed = function(image)
                if changed == image:
                    return image, []
                try:
                    now, doomed = await self.catalogue.update(image, changed, await self._limits(image, changed))
                except ImageChanged:
                    if attempt == ATTEMPTS:
                        raise
                else:
                    self.events.publish(event_of_change(image, now))
                    return now, doomed
        raise AssertionError("the last attempt returns or raises")

    async def _limits(self, image: Image, changed: Image) -> ProjectLimits | None:
        """Those that hold for a change."""
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
    """Lets one at a time go on, in the order in which they came. However many wait, the stack stays flat."""

    def __init__(self) -> None:
        self._waiting: deque[Deferred[None]] = deque()
        self._taken = False
        self._passing = False

    @property
    def idle(self) -> bool:
        """Whether nobody has a turn or waits for one."""
        return not self._taken and not self._waiting

    def wait(self) -> Deferred[None]:
        """Fires when it is the caller's turn, who ends it. Who cancels it has no turn."""
        turn: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(turn)
        self._pass_on()
        return turn

    def end(self) -> None:
        """The turn is over."""
        self._taken = False
        self._pass_on()

    def _pass_on(self) -> None:
        if self._passing:  # a loop further down the stack goes on
            return
        self._passing = True
        while self._waiting and not self._taken:
            self._taken = True
            self._waiting.popleft().callback(None)
        self._passing = False
