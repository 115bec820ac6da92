"""Computes the new state of an image after the data at its location was read."""

from __future__ import annotations

from attrs import evolve, frozen

from imgsvc.errors import FormatMismatch, ImgsvcError
from imgsvc.model import IMPORT_LOCK, Image, Status


@frozen
class Digests:
    """The digests of all data of an image, in lower-case hex. checksum: MD5. value: by the image's os_hash_algo."""

    checksum: str
    value: str


Result = Digests | ImgsvcError
"""The digests; or the reason why there are none: the data is refused (FormatMismatch), or cannot be read."""


def after_reading(image: Image, result: Result) -> Image:
    """Return the image after its data was read. If the data is refused, users cannot download it any more."""
    image = evolve(image, properties={key: value for key, value in image.properties.items() if key != IMPORT_LOCK})
    if image.status is Status.IMPORTING:
        if isinstance(result, Digests) and failure(image, result) is None:
            return evolve(image, status=Status.ACTIVE, checksum=result.checksum)
        return _queued(image)
    if isinstance(result, Digests):
        return evolve(image, checksum=result.checksum, os_hash_value=result.value)
    status = Status.DEACTIVATED if isinstance(result, FormatMismatch) else image.status
    return evolve(image, status=status, os_hash_algo=None)


def failure(image: Image, result: Result) -> str | None:
    """Return why the image, as it was read, does not get its new digests or status; None if it gets them."""
    if isinstance(result, ImgsvcError):
        return str(result)
    if image.status is not Status.IMPORTING:
        return None
    if result.value != image.os_hash_value:
        return f"The {image.os_hash_algo} of the bytes is {result.value}, not {image.os_hash_value}."
    if image.disk_format is None or image.container_format is None:  # removed while the image was `importing`
        return "The image has no disk_format or no container_format any more."
    return None


def _queued(image: Image) -> Image:
    return evolve(
        image,
        status=Status.QUEUED,
        size=None,
        virtual_size=None,
        checksum=None,
        os_hash_algo=None,
        os_hash_value=None,
        locations=(),
    )
