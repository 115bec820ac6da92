"""Deletes the image that a failed upload made."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, NoReturn, TypeVar

from twisted.internet.defer import Deferred

from imgsvc.client.command.running import Tools, say
from imgsvc.client.errors import ClientError, RequestRefused, TransferInterrupted
from imgsvc.client.settling import settled
from imgsvc.client.uploads import WITH_DATA
from imgsvc.client.view import ImageView

CLEANUP_LIMIT: Final = 10.0
"""Seconds for each step. They are few, because somebody may have pressed Ctrl-C and waits."""

T = TypeVar("T")


async def clean_up(tools: Tools, image_id: str, *, wrong_bytes: bool, keep: bool, protected: bool) -> None:
    """Delete the image of a failed upload if it has no data, and say what became of it.

    tools: of the command. image_id: a string. wrong_bytes: whether the server stored other bytes than were sent; then
    the image is deactivated, so that nobody uses them. keep: whether to leave the image as it is. protected: whether
    the image was made protected.

    An active image is never deleted: the upload may have been complete when the connection broke. Errors of the server
    are told, not raised.
    """
    try:
        image = await _in_time(tools, _settled(tools, image_id))
        if keep:
            again = f"; upload again with --id {image_id}" if image.status == "queued" else ""
            say(f"Image {image_id} stays, and is {image.status}{again}.")
        elif image.status == "queued":
            await _in_time(tools, _delete(tools, image_id, protected))
            say(f"Image {image_id}, which was made for this upload, was deleted again.")
        elif wrong_bytes:
            await _in_time(tools, tools.client.deactivate(image_id))
            say(f"Image {image_id} has other bytes than the file. It was deactivated; `imgsvc delete` removes it.")
        elif image.status in WITH_DATA:
            say(f"Image {image_id} is {image.status} all the same: the server has all of its data.")
        else:
            say(f"Image {image_id} is still {image.status}. Look at it later with `imgsvc show {image_id}`.")
    except ClientError as problem:
        if isinstance(problem, RequestRefused) and problem.status == 404:
            say(f"Image {image_id}, which was made for this upload, is gone.")
        else:
            say(f"Image {image_id}, which was made for this upload, is left as it is: {problem}")


async def _settled(tools: Tools, image_id: str) -> ImageView:
    return await settled(lambda: tools.client.show(image_id), clock=tools.reactor, retries=2, limit=CLEANUP_LIMIT / 2)


async def _delete(tools: Tools, image_id: str, protected: bool) -> None:
    if protected:
        await tools.client.update(image_id, protected=False)
    await tools.client.delete(image_id)


async def _in_time(tools: Tools, call: Coroutine[Deferred[Any], Any, T]) -> T:
    running: Deferred[T] = Deferred.fromCoroutine(call)
    running.addTimeout(CLEANUP_LIMIT, tools.reactor, onTimeoutCancel=_not_in_time)
    return await running


def _not_in_time(result: object, limit: float) -> NoReturn:
    raise TransferInterrupted(f"no answer within {limit:.0f} seconds.")
