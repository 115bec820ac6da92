"""Creates, shows and lists the records of images."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import define, evolve, frozen

from imgsvc.errors import Forbidden, QuotaExceeded
from imgsvc.event_model import ImageCreated
from imgsvc.interfaces import IEvents, IImageCatalogue, IProtections
from imgsvc.model import Caller, Image, ImagePage, ImageQuery, Visibility
from imgsvc.operations.access import VISIBILITY_ACTIONS, Access
from imgsvc.operations.limits import Quotas


@frozen
class RecordLimits:
    """Limits of the record of an image.

    properties, tags: how many an image may have; negative: unlimited. property_value: bytes of the value of one
    property, in UTF-8; record: bytes of all texts of one image; 0: unlimited.
    """

    properties: int = 128
    tags: int = 128
    property_value: int = 64 << 10
    record: int = 1 << 20

    def check_sizes(self, image: Image, before: Image | None = None) -> None:
        """Check the sizes of the texts of an image. before: the image before the change; None: it is new.

        A text that was too large before may stay, or become smaller. Raises QuotaExceeded: a text is too large.
        """
        for key, value in image.properties.items():
            size = _bytes_of(value)
            was = before.properties.get(key, "") if before is not None else ""
            if 0 < self.property_value < size and size > _bytes_of(was):
                raise QuotaExceeded(f"The value of property {key!r} may take {self.property_value} bytes, not {size}.")
        size = _record_size(image)
        if 0 < self.record < size and (before is None or size > _record_size(before)):
            raise QuotaExceeded(
                f"The name, tags, properties and locations of an image may take {self.record} bytes, not {size}."
            )

    def check_tags(self, tags: Collection[str]) -> None:
        """Raises QuotaExceeded: there are too many tags."""
        self._check("tags", len(tags), self.tags)

    def check_properties(self, properties: Collection[str]) -> None:
        """Raises QuotaExceeded: there are too many properties. Those that the server makes (`os_glance...`) do not
        count.
        """
        self._check("properties", sum(not key.startswith("os_glance") for key in properties), self.properties)

    def _check(self, what: str, number: int, limit: int) -> None:
        if 0 <= limit < number:
            raise QuotaExceeded(f"An image may have {limit} {what}, not {number}.")


def _record_size(image: Image) -> int:
    """Bytes of the texts of an image that clients set, except texts that have a fixed maximum length."""
    parts = [image.name or "", *image.tags]
    for mapping in (image.properties, *(location.metadata for location in image.locations)):
        parts += [*mapping, *mapping.values()]
    parts += [location.url for location in image.locations]
    return sum(map(_bytes_of, parts))


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def utc_now() -> datetime:
    """The current time, in UTC."""
    return datetime.now(UTC)


@define
class Images:
    """Creates, shows and lists images. now: returns the time, for the dates of new images."""

    access: Access
    catalogue: IImageCatalogue
    limits: RecordLimits
    quotas: Quotas
    protections: IProtections
    events: IEvents
    now: Callable[[], datetime] = utc_now

    def check_create(self, caller: Caller) -> None:
        """Check that the caller may create some image. Call it before the body is read.

        Raises Forbidden: the caller may create no image at all.
        """
        if not self.access.policy.might_allow("add_image", caller):
            self.access.require("add_image", caller)

    async def create(self, caller: Caller, fields: Mapping[str, Any], properties: Mapping[str, str]) -> Image:
        """Create an image with status queued. fields: base fields of Image that the caller sets, by name.

        Raises Forbidden, QuotaExceeded. Raises ImageExists: the id is taken.
        """
        owner = fields.get("owner", caller.project_id) or None
        if owner != caller.project_id and not caller.is_admin:
            raise Forbidden(f"You are not permitted to create images owned by {owner!r}.")
        now = self.now()
        values = {**fields, "owner": owner, "tags": tuple(dict.fromkeys(fields.get("tags", ())))}
        image = Image(
            id=values.pop("id", None) or str(uuid.uuid4()),
            created_at=now,
            updated_at=now,
            visibility=Visibility(values.pop("visibility", Visibility.SHARED)),
            properties=properties,
            **values,
        )
        self.access.require("add_image", caller, image)
        if image.visibility in VISIBILITY_ACTIONS:
            self.access.require(VISIBILITY_ACTIONS[image.visibility], caller, image)
        self.limits.check_tags(image.tags)
        self.limits.check_properties(properties)
        self.limits.check_sizes(image)
        image = evolve(image, properties=self.protections.merged(caller, {}, properties))
        await self.catalogue.add(image, await self.quotas.limits(image.owner))
        self.events.publish(ImageCreated(image))
        return image

    async def show(self, caller: Caller, image_id: str) -> Image:
        """The image. Raises NoSuchImage: it does not exist, or the caller may not see it."""
        return await self.access.image(caller, image_id)

    async def list(self, query: ImageQuery) -> ImagePage:
        """A page of images. Raises Forbidden. Raises Invalid: the marker does not exist."""
        self.access.require("get_images", query.caller)
        if any(
            kind == "property" and not self.protections.allows("read", query.caller, key)
            for kind, _, key in (condition.field.partition(":") for condition in query.filters)
        ):
            return ImagePage(())  # a caller cannot search by properties that it may not read
        page = await self.catalogue.images(query)
        seen = [image for image in page.images if self.access.policy.allows("get_image", query.caller, image)]
        return evolve(page, images=seen)
