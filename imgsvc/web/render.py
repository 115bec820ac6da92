"""Values of the domain as the JSON of the Image API."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from imgsvc.model import Image
from imgsvc.web.site import StreamingRequest

_encode = json.JSONEncoder(ensure_ascii=False).encode


def answer_json(request: StreamingRequest, document: object, status: int = 200) -> bytes:
    """Set the headers of a JSON answer; gives its body."""
    body = _encode(document).encode()
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", b"%d" % len(body))
    return body


def answer_nothing(request: StreamingRequest, status: int = 204) -> bytes:
    """Set the headers of an answer without a body."""
    request.setResponseCode(status)
    return b""


def timestamp(moment: datetime) -> str:
    """UTC without a fraction, as `2026-11-24T08:00:00Z`."""
    return moment.isoformat(timespec="seconds")[:19] + "Z"


def image_document(image: Image, several_stores: bool) -> dict[str, Any]:
    """An image as clients see it: base fields and custom properties side by side."""
    path = f"/v2/images/{image.id}"
    document: dict[str, Any] = {
        **image.properties,
        "id": image.id,
        "name": image.name,
        "status": image.status,
        "visibility": image.visibility,
        "protected": image.protected,
        "os_hidden": image.os_hidden,
        "owner": image.owner,
        "container_format": image.container_format,
        "disk_format": image.disk_format,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "checksum": image.checksum,
        "os_hash_algo": image.os_hash_algo,
        "os_hash_value": image.os_hash_value,
        "created_at": timestamp(image.created_at),
        "updated_at": timestamp(image.updated_at),
        "tags": image.tags,
        "self": path,
        "file": f"{path}/file",
        "schema": "/v2/schemas/image",
    }
    if several_stores and image.locations:
        document["stores"] = ",".join(location.store_id for location in image.locations)
    return document
