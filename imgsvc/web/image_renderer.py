"""Converts images to the JSON of the Image API."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Final

from attrs import frozen

from imgsvc.image_fields import names_of
from imgsvc.interfaces import IProtections, IStoreRegistry
from imgsvc.model import Caller, Image, Status
from imgsvc.operations.location_order import by_weight
from imgsvc.web.locations import location_documents
from imgsvc.web.render import timestamp

_ATTRIBUTES: Final = names_of(lambda field: field.is_attribute and field.always_shown)
_values_of: Final = attrgetter(*_ATTRIBUTES)


@frozen
class ImageRenderer:
    """Converts images to JSON documents.

    direct_url, locations: whether the documents contain these keys.
    """

    stores: IStoreRegistry
    protections: IProtections
    direct_url: bool = False
    locations: bool = False

    def document(self, caller: Caller, image: Image) -> dict[str, Any]:
        """The document of an image for this caller: base fields and custom properties side by side."""
        path = f"/v2/images/{image.id}"
        document: dict[str, Any] = {**self.protections.readable(caller, image.properties)}
        document.update(zip(_ATTRIBUTES, _values_of(image), strict=True))
        document["created_at"] = timestamp(image.created_at)
        document["updated_at"] = timestamp(image.updated_at)
        document["self"] = path
        document["file"] = f"{path}/file"
        document["schema"] = "/v2/schemas/image"
        if image.locations or self.locations:
            self._add_places(document, caller, image)
        return document

    def _add_places(self, document: dict[str, Any], caller: Caller, image: Image) -> None:
        """Add the stores and the locations of the data. Only administrators see them while the image is deactivated."""
        if image.status is Status.DEACTIVATED and not caller.is_admin:
            return
        locations = by_weight(self.stores, image.locations)
        if self.stores.several and locations:
            document["stores"] = ",".join(location.store_id for location in locations)
        if self.locations:
            document["locations"] = location_documents(locations)
        if self.direct_url and locations:
            document["direct_url"] = locations[0].url
