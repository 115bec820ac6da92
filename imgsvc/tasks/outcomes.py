"""What becomes of an image when the bytes at its location were read."""

from __future__ import annotations

from attrs import evolve, frozen

from imgsvc.errors import FormatMismatch
from imgsvc.model import IMPORT_LOCK, Image, Status


@frozen
class Digests:
    """Of all bytes of an image, in lower-case hex. value: by the image's os_hash_algo."""

    checksum: str
    value: str


Result = Digests | FormatMismatch | None
"""What came of reading: the bytes are refused, or, without a value, they cannot be read."""


def after_reading(image: Image, result: Result) -> Image:
    """The image as it is then. Bytes that are refused are not handed out to users, whatever it was before."""
    image = evolve(image, properties={key: value for key, value in image.properties.items() if key != IMPORT_LOCK})
    if image.status is Status.IMPORTING:
        if isinstance(result, Digests) and result.value == image.os_hash_value and _has_formats(image):
            return evolve(image, status=Status.ACTIVE, checksum=result.checksum)
        return _queued(image)
    if isinstance(result, Digests):
        return evolve(image, checksum=result.checksum, os_hash_value=result.value)
    status = Status.DEACTIVATED if isinstance(result, FormatMismatch) else image.status
    return evolve(image, status=status, os_hash_algo=None)


def _has_formats(image: Image) -> bool:
    """Whether both are set: they can be taken away as long as an image is `importing`."""
    return image.disk_format is not None and image.container_format is not None


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
