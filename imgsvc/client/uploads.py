"""Uploads the data of an image: sends them, finds out what the server stored, and tries again."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from twisted.web.iweb import IBodyProducer

from imgsvc.client.digests import DIGEST_FIELDS, MD5
from imgsvc.client.errors import (
    ClientError,
    RequestRefused,
    TokenRefused,
    TransferInterrupted,
    Unreachable,
    VerificationFailed,
)
from imgsvc.client.patience import Patience, is_passing
from imgsvc.client.producers import DigestingProducer
from imgsvc.client.view import ImageView

WITH_DATA: Final = ("active", "deactivated")

Send = Callable[[IBodyProducer], Awaitable[None]]
"""Sends the bytes of a producer to the server."""
Settle = Callable[[], Awaitable[ImageView]]
"""Waits until no upload of the image is under way any more, and returns the image."""


async def upload_source(
    send: Send,
    settle: Settle,
    begin: Callable[[], DigestingProducer],
    *,
    known: Mapping[str, str],
    patience: Patience | None,
    rereadable: bool = False,
) -> ImageView:
    """Upload bytes and compare the size and the digests of the image with them.

    send: sends a producer. settle: finds out what became of the upload. begin: makes a new producer of the bytes.
    known: hex strings by hashlib's name, digests that were known beforehand. patience: decides about further tries;
    None for no further tries. rereadable: whether the bytes can be read twice.

    An upload whose answer was lost is complete if the image is active with the right size and digests. One that was
    interrupted is sent again when the image is `queued`. If the server refuses a token that can be renewed, rereadable
    bytes are sent once more.

    Returns the image. Raises VerificationFailed, and the last error of `send` or `settle`.
    """
    while True:
        producer = begin()
        try:
            problem = await _attempt(send, producer)
        except TokenRefused:
            if not rereadable:
                raise
            rereadable = False
            continue
        if problem is not None and patience is None and not producer.complete:
            raise problem  # an incomplete upload never becomes active
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
    """Upload the bytes of a producer whose digests are not computed here.

    size: bytes; None if not known. known: hex strings by hashlib's name, digests that were known beforehand. The other
    parameters, the result and the errors are those of `upload_source`.

    If the answer is lost, the upload is found to be complete only if a digest is known.
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
    """Send the bytes.

    Returns the error if only the image can tell whether the upload is complete; raises other errors.
    """
    try:
        await send(producer)
    except (TransferInterrupted, RequestRefused, Unreachable) as problem:
        if not is_passing(problem):
            raise
        return problem
    return None


async def _settled(settle: Settle, problem: ClientError | None) -> ImageView:
    """Ask for the image after an upload.

    problem: what `send` failed with, or None. It is raised if the image cannot be asked for. Without a problem,
    TransferInterrupted is raised if the image has no data.
    """
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
    """Make the headers that tell the server beforehand what will come.

    size: bytes; None if not known. store: a string; None for the default store. digests: hex strings by hashlib's name.
    """
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
    """Compare what the server stored with what was sent: the size, and every digest that is known here.

    image: as the server shows it. size: bytes that were sent; None if not known. digests: hex strings by hashlib's
    name. Raises VerificationFailed.
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
