"""Images as the JSON of the Image API."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from imgsvc.interfaces import IProtections
from imgsvc.model import Caller, Image
from imgsvc.web.render import timestamp


@frozen
class ImageView:
    """What clients are shown of an image. several_stores: more than one store is configured."""

    several_stores: bool
    protections: IProtections

    def document(self, caller: Caller, image: Image) -> dict[str, Any]:
        """What `caller` sees: base fields and custom properties side by side."""
        path = f"/v2/images/{image.id}"
        document: dict[str, Any] = {
            **self.protections.readable(caller, image.properties),
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
        if self.several_stores and image.locations:
            document["stores"] = ",".join(location.store_id for location in image.locations)
        return document
