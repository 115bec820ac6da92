"""Finds out what became of an upload whose answer did not come, or does not say it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from imgsvc.client.errors import ClientError, RequestRefused, TransferInterrupted, Unreachable, Unsettled
from imgsvc.client.patience import Notice, Patience, longest_wait, no_notice
from imgsvc.client.view import ImageView

SETTLE_LIMIT: Final = 180.0
"""Seconds.

If the server was killed, another process undoes the upload when its lease has run out: by default after 90 s.
"""
SETTLE_RETRIES: Final = 12
"""How often a server that is away is asked again, which takes about two minutes."""
FIRST_LOOK: Final = 0.2
"""Seconds before the second question. The pause doubles each time."""
SLOWEST_LOOK: Final = 5.0
"""Seconds. The longest pause between two questions."""
QUIET: Final = 1.0
"""Seconds. The user is told of an image that is still `saving` after this time; most uploads end earlier."""


async def settled(
    show: Callable[[], Awaitable[ImageView]],
    *,
    clock: IReactorTime,
    notice: Notice = no_notice,
    retries: int = SETTLE_RETRIES,
    limit: float = SETTLE_LIMIT,
) -> ImageView:
    """Wait until the upload of an image is over: until its status is not `saving` any more.

    show: asks the server for the image. clock: for the pauses. notice: a Notice. It is called with an Unsettled when
    the server is away, and once when the image is `saving` for longer than QUIET. retries: how often in a row a server
    that is away, as during a restart, is asked again. limit: seconds to wait at most.

    Returns the image, which may still be `saving` after `limit`. Raises what `show` raises when the retries are used
    up.
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
