"""What became of an upload whose answer says nothing about it, or did not come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from imgsvc.client.errors import ClientError, RequestRefused, TransferInterrupted, Unreachable, Unsettled
from imgsvc.client.patience import Notice, Patience, longest_wait, no_notice
from imgsvc.client.view import ImageView

SETTLE_LIMIT: Final = 180.0
"""Seconds. An upload whose server was killed is undone when its lease has run out: a minute and a half by default."""
SETTLE_RETRIES: Final = 12
"""How often a server that is away is asked: about two minutes."""
FIRST_LOOK: Final = 0.2
SLOWEST_LOOK: Final = 5.0
QUIET: Final = 1.0
"""Seconds for which an image that is still `saving` is nothing to tell of: most uploads end in that time."""


async def settled(
    show: Callable[[], Awaitable[ImageView]],
    *,
    clock: IReactorTime,
    notice: Notice = no_notice,
    retries: int = SETTLE_RETRIES,
    limit: float = SETTLE_LIMIT,
) -> ImageView:
    """The image when its upload is over: no more `saving`, or still after `limit` seconds.

    show: asks the server. notice: told of an Unsettled when the server is away, and once when the image is `saving` for
    more than a moment. retries: how often in a row a server that is away, as while it starts again, is asked once
    more. Raises what `show` raises after these.
    """

    def away(problem: ClientError, pause: float) -> None:
        notice(Unsettled(str(problem), "until the server answers"), max(pause, longest_wait(retries)))

    patience = Patience(clock, away, retries)
    until = clock.seconds() + limit
    pause, waited, told = FIRST_LOOK, 0.0, False
    while True:
        try:
            image = await show()
        except (TransferInterrupted, RequestRefused, Unreachable) as problem:
            await patience.after(problem)
            continue
        patience.renew()
        left = until - clock.seconds()
        if image.status != "saving" or left <= 0:
            return image
        if waited > QUIET and not told:
            told = True
            reason = f"Image {image.id} is still saving on the server."
            notice(Unsettled(reason, "until it is done or takes bytes again"), left)
        waited += pause
        await deferLater(clock, min(pause, left))
        pause = min(2 * pause, SLOWEST_LOOK)
