"""Giving an image its data: sending, asking what became of it, and trying again."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from twisted.web.iweb import IBodyProducer

from imgsvc.client.digests import DIGEST_FIELDS, MD5
from imgsvc.client.errors import ClientError, RequestRefused, TransferInterrupted, Unreachable, VerificationFailed
from imgsvc.client.patience import Patience, is_passing
from imgsvc.client.producers import DigestingProducer
from imgsvc.client.view import ImageView

WITH_DATA: Final = ("active", "deactivated")

Send = Callable[[IBodyProducer], Awaitable[None]]
"""Puts a producer's bytes to the image."""
Settle = Callable[[], Awaitable[ImageView]]
"""The image, when no upload to it is under way any more."""


async def upload_source(
    send: Send,
    settle: Settle,
    begin: Callable[[], DigestingProducer],
    *,
    known: Mapping[str, str],
    patience: Patience | None,
) -> ImageView:
    """Send what `begin` produces; the image, after its size and digests were compared. known: digests beforehand.

    A transfer whose answer was lost counts as done when the image is active with the right size and digests. One
    that broke before its end is begun again as `patience` has it, once the image waits for bytes again. patience:
    None for bytes that can be had only once.

    Raises VerificationFailed, and what `send` or `settle` failed with at last.
    """
    while True:
        producer = begin()
        problem = await _attempt(send, producer)
        if problem is not None and patience is None and not producer.complete:
            raise problem  # what lacks its end does not become active
        image = await _settled(settle, problem)
        if problem is None or (producer.complete and image.status in WITH_DATA):
            check_upload(image, producer.produced, {**producer.digests, **known})
            return image
        if patience is None or image.status != "queued":
            raise problem
        await patience.after(problem)


async def upload_producer(
    send: Send, settle: Settle, producer: IBodyProducer, size: int | None, known: Mapping[str, str]
) -> ImageView:
    """As upload_source, of bytes that nobody digests here. size, known: of them, if known; hex by hashlib's name.

    An upload whose answer was lost can be found to be done only if a digest is known.
    """
    problem = await _attempt(send, producer)
    if isinstance(problem, Unreachable):
        raise problem
    image = await _settled(settle, problem)
    if problem is not None and not (known and image.status in WITH_DATA):
        raise problem
    check_upload(image, size, known)
    return image


async def _attempt(send: Send, producer: IBodyProducer) -> TransferInterrupted | RequestRefused | Unreachable | None:
    """Send; the problem, if it is one of which the image itself must be asked. Raises every other one."""
    try:
        await send(producer)
    except (TransferInterrupted, RequestRefused, Unreachable) as problem:
        if not is_passing(problem):
            raise
        return problem
    return None


async def _settled(settle: Settle, problem: ClientError | None) -> ImageView:
    """The image; raises `problem` or, without one, what is wrong when the image cannot be asked or has no data."""
    try:
        image = await settle()
    except ClientError as unsettled:
        raise problem or unsettled from unsettled
    if problem is None and image.status not in WITH_DATA:
        raise TransferInterrupted(
            f"The server took the data of image {image.id}, and says now that it is {image.status}."
        )
    return image


def upload_headers(size: int | None, store: str | None, digests: Mapping[str, str]) -> dict[str, str]:
    """The headers that tell the server beforehand what will come. digests: hex by hashlib's name."""
    headers: dict[str, str] = {}
    if size is not None:
        headers["X-OpenStack-Image-Size"] = str(size)
    if store is not None:
        headers["X-Image-Meta-Store"] = store
    known = [
        f"{DIGEST_FIELDS[algorithm]}=:{base64.b64encode(bytes.fromhex(value)).decode('ascii')}:"
        for algorithm, value in digests.items()
        if algorithm in DIGEST_FIELDS
    ]
    if known:
        headers["Repr-Digest"] = ", ".join(known)
    return headers


def check_upload(image: ImageView, size: int | None, digests: Mapping[str, str]) -> None:
    """Raise VerificationFailed unless what the server stored is what was sent: size and every digest known here.

    size: None when it is not known.
    """
    if size is not None and image.size != size:
        raise VerificationFailed(image.id, "size", image.size, size)
    if image.os_hash_algo and image.os_hash_value and image.os_hash_algo in digests:
        _compare(image, image.os_hash_algo, image.os_hash_value, digests)
    if MD5 in digests and image.checksum:
        _compare(image, MD5, image.checksum, digests)


def _compare(image: ImageView, algorithm: str, expected: str, digests: Mapping[str, str]) -> None:
    if expected.lower() != digests[algorithm]:
        raise VerificationFailed(image.id, algorithm, expected, digests[algorithm])
