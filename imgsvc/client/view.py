"""An image as the server shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from imgsvc.client.errors import BadResponse
from imgsvc.image_fields import FIELDS

BASE_FIELDS: Final = frozenset(FIELDS)
"""The fields that the Image API itself defines; every other one is a custom property."""


@frozen
class ImageView:
    """The fields of an image that a client works with.

    size: bytes; None while there are no data. properties: the custom properties. document: the whole JSON object as the
    server sent it.
    """

    id: str
    name: str | None
    status: str
    size: int | None
    checksum: str | None
    os_hash_algo: str | None
    os_hash_value: str | None
    disk_format: str | None
    container_format: str | None
    visibility: str | None
    tags: tuple[str, ...]
    properties: Mapping[str, str]
    document: Mapping[str, Any]

    @classmethod
    def from_document(cls, document: Any) -> ImageView:
        """Make a view of the JSON of an image. Raises BadResponse if it is something else."""
        if not isinstance(document, dict) or not isinstance(document.get("id"), str):
            raise BadResponse("The answer of the server is not an image.")
        size = document.get("size")
        if size is not None and (not isinstance(size, int) or size < 0):
            raise BadResponse(f"The server gives image {document['id']} the size {size!r}.")
        return cls(
            id=document["id"],
            name=document.get("name"),
            status=str(document.get("status")),
            size=size,
            checksum=document.get("checksum"),
            os_hash_algo=document.get("os_hash_algo"),
            os_hash_value=document.get("os_hash_value"),
            disk_format=document.get("disk_format"),
            container_format=document.get("container_format"),
            visibility=document.get("visibility"),
            tags=tuple(document.get("tags") or ()),
            properties={key: value for key, value in document.items() if key not in BASE_FIELDS},
            document=document,
        )


@frozen
class MemberView:
    """A project that an image is shared with.

    project: its id. status: its answer: pending, accepted or rejected. document: the whole JSON object as the server
    sent it.
    """

    project: str
    status: str
    document: Mapping[str, Any]

    @classmethod
    def from_document(cls, document: Any) -> MemberView:
        """Make a view of the JSON of a member. Raises BadResponse if it is something else."""
        if not isinstance(document, dict) or not isinstance(document.get("member_id"), str):
            raise BadResponse("The answer of the server is not a member of an image.")
        return cls(document["member_id"], str(document.get("status")), document)
