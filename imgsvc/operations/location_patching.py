"""Edits the locations of an image by PATCH (Image API v2: `show_multiple_locations`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, evolve, frozen

from imgsvc.errors import Conflict, Forbidden, Invalid, WrongStatus
from imgsvc.interfaces import IStoreRegistry
from imgsvc.model import Caller, Image, Location, Status
from imgsvc.operations.location_order import by_weight, locate
from imgsvc.operations.locations import LocationProbe, LocationRules, Validation, require_formats
from imgsvc.operations.patching import Edit, EditLocations, Op

_OPEN = frozenset({Status.ACTIVE, Status.QUEUED})
"""The statuses in which locations can be added this way."""

_ACTIONS = frozenset({"set_image_location", "delete_image_location"})


@frozen
class _Given:
    """A location as the client gives it."""

    url: str
    metadata: Mapping[str, str]
    validation: Validation | None


@define
class LocationPatcher:
    """The LocationEditor of servers that show locations to clients.

    Only locations in read-only stores can be added. Objects in the other stores come from uploads.
    """

    stores: IStoreRegistry
    probe: LocationProbe
    rules: LocationRules
    actions = _ACTIONS

    async def prepare(self, caller: Caller, image: Image, edits: Sequence[Edit]) -> EditLocations:
        """See LocationEditor."""
        sizes: dict[str, int] = {}
        if image.status in _OPEN:
            known = {location.url for location in image.locations}
            given = [
                each for edit in edits for each in _given(edit) if edit.op is not Op.REPLACE or each.url not in known
            ]
            self.rules.check(len(known | {each.url for each in given}))
            for each in given:
                if each.url not in sizes:
                    sizes[each.url] = await self.probe.size(image, self._locate(each.url, image))

        def edited(image: Image, edit: Edit) -> Image:
            return self._edited(image, edit, sizes)

        return edited

    def _edited(self, image: Image, edit: Edit, sizes: Mapping[str, int]) -> Image:
        image = evolve(image, locations=tuple(by_weight(self.stores, image.locations)))
        if edit.op is Op.REMOVE:
            return _without(image, edit.position or "")
        if edit.op is Op.REPLACE:
            return self._replaced(image, _given(edit), sizes)
        if image.status not in _OPEN:
            raise WrongStatus(image.id, image.status, "locations are added to active and queued images")
        if edit.position != "-":
            _position(edit.position or "", len(image.locations))
        (given,) = _given(edit)
        return self._with(image, given, sizes)

    def _replaced(self, image: Image, given: Sequence[_Given], sizes: Mapping[str, int]) -> Image:
        if not given:
            raise Forbidden(f"Image {image.id}: an image must keep at least one location.")
        if image.status not in _OPEN:
            raise WrongStatus(image.id, image.status, "locations of active and queued images are replaced")
        if not image.locations:
            for each in given:
                image = self._with(image, each, sizes)
            return image
        metadata = {each.url: each.metadata for each in given}
        if len(metadata) != len(given) or metadata.keys() != {location.url for location in image.locations}:
            raise Invalid(f"Image {image.id}: a replacement must have the same URLs. Only metadata can change.")
        for each in given:
            image = self._validated(image, each.validation)
        kept = tuple(evolve(location, metadata=metadata[location.url]) for location in image.locations)
        return evolve(image, locations=kept)

    def _with(self, image: Image, given: _Given, sizes: Mapping[str, int]) -> Image:
        if any(location.url == given.url for location in image.locations):
            raise Invalid(f"Image {image.id} has that location already.")
        self.rules.check(len(image.locations) + 1)
        if given.url not in sizes:  # the image had this location when the edits were prepared
            raise Conflict(f"Image {image.id} was changed by another request at the same time.")
        size = sizes[given.url]
        if image.size is not None and image.size != size:
            raise Invalid(f"Image {image.id} has {image.size} bytes: {size} are at the location.")
        location = evolve(self._locate(given.url, image), metadata=given.metadata)
        image = self._validated(image, given.validation)
        if image.status is Status.QUEUED:
            require_formats(image)
        return evolve(image, status=Status.ACTIVE, size=size, locations=(*image.locations, location))

    def _validated(self, image: Image, validation: Validation | None) -> Image:
        """The image with the digests that the client gives. Raises Invalid. Raises Conflict: the image has other
        digests.
        """
        if validation is None:
            return image
        if validation.os_hash_algo != self.rules.hash_algorithm:
            raise Invalid(f"The os_hash_algo of validation_data must be {self.rules.hash_algorithm}.")
        validation.check_length()
        validated = evolve(
            image,
            os_hash_algo=validation.os_hash_algo,
            os_hash_value=validation.os_hash_value,
            checksum=image.checksum if validation.checksum is None else validation.checksum,
        )
        if image.status is not Status.QUEUED and validated != image:
            raise Conflict(f"Image {image.id}: the validation_data does not match the image.")
        return validated

    def _locate(self, url: str, image: Image) -> Location:
        location = locate(self.stores, url, image.id)
        if location is None or not self.stores.get(location.store_id).info.read_only:
            raise Invalid("A location must be a URL of a read-only store, such as http.")
        return location


def _without(image: Image, position: str) -> Image:
    if image.status is not Status.ACTIVE:
        raise WrongStatus(image.id, image.status, "locations are removed from active images")
    if len(image.locations) == 1:
        raise Forbidden(f"Image {image.id}: the last location of an image cannot be removed.")
    index = _position(position, len(image.locations) - 1)
    return evolve(image, locations=image.locations[:index] + image.locations[index + 1 :])


def _position(text: str, last: int) -> int:
    """The index of a location, from 0. Raises Invalid: there is no such location."""
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) > last:
        raise Invalid(f"There is no location {text!r}.")
    return int(text)


def _given(edit: Edit) -> list[_Given]:
    """The locations in an edit. The schema has checked their form."""
    if edit.op is Op.REMOVE:
        return []
    values: list[Any] = edit.value if edit.op is Op.REPLACE else [edit.value]
    return [_read(value) for value in values]


def _read(value: Mapping[str, Any]) -> _Given:
    metadata = {key: each for key, each in value["metadata"].items() if key != "store"}
    if not all(isinstance(each, str) for each in metadata.values()):
        raise Invalid("The metadata of a location must be strings.")
    data = value.get("validation_data")
    validation = None
    if data is not None:
        checksum = data.get("checksum")
        validation = Validation(
            data["os_hash_algo"], data["os_hash_value"].lower(), None if checksum is None else checksum.lower()
        )
    return _Given(value["url"], metadata, validation)
