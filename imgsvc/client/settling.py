"""What became of an upload whose answer says nothing about it, or did not come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from imgsvc.client.errors import Broken, Refused, Unreachable
from imgsvc.client.patience import Patience
from imgsvc.client.view import ImageView

SETTLE_LIMIT: Final = 180.0
"""Seconds. An upload whose server was killed is undone when its lease has run out: a minute and a half by default."""
SETTLE_RETRIES: Final = 12
"""How often a server that is away is asked: about two minutes."""
FIRST_LOOK: Final = 0.2
SLOWEST_LOOK: Final = 5.0


async def settled(
    show: Callable[[], Awaitable[ImageView]], *, clock: IReactorTime, patience: Patience, limit: float = SETTLE_LIMIT
) -> ImageView:
    """The image when its upload is over: no more `saving`, or still after `limit` seconds.

    show: asks the server. patience: for a server that is away, as while it starts again. Raises what `show` raises
    when patience is at its end.
    """
    until = clock.seconds() + limit
    pause = FIRST_LOOK
    while True:
        try:
            image = await show()
        except (Broken, Refused, Unreachable) as problem:
            await patience.after(problem)
            continue
        patience.renew()
        left = until - clock.seconds()
        if image.status != "saving" or left <= 0:
            return image
        await deferLater(clock, min(pause, left))
        pause = min(2 * pause, SLOWEST_LOOK)
