"""Changes of an image's fields and properties, several at once: all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final, Protocol

from attrs import define, evolve, frozen

from imgsvc.errors import Conflict, Forbidden
from imgsvc.image_fields import FieldType, Setting, names_of
from imgsvc.interfaces import IProtections
from imgsvc.model import Caller, Image, Status, Visibility
from imgsvc.operations.access import VISIBILITY_ACTIONS, Access
from imgsvc.operations.changes import Changes
from imgsvc.operations.deletion import Deletion
from imgsvc.operations.images import RecordLimits

LOCATIONS: Final = "locations"


class Op(Enum):
    """What an edit does to its key."""

    ADD = "make one that must not be there"
    SET = "make one, in place of what may be there"
    REPLACE = "set one that must be there"
    REMOVE = "remove one that must be there"


@frozen
class Edit:
    """One change. key: of a base field that clients may set, or of a custom property; the value is of its type.

    position: of a change of one location (`key` is LOCATIONS then): a number, or `-` for after the last.
    """

    op: Op
    key: str
    value: Any = None
    position: str | None = None

    @property
    def action(self) -> str:
        """What the policy calls it."""
        if self.key != LOCATIONS:
            return "modify_image"
        return "delete_image_location" if self.op is Op.REMOVE else "set_image_location"


EditLocations = Callable[[Image, Edit], Image]
"""The image after an edit of its locations. No side effects; raises Invalid, Forbidden, Conflict, QuotaExceeded."""


class LocationEditor(Protocol):
    """Changes locations of images. actions: those of the policy that its edits need."""

    @property
    def actions(self) -> frozenset[str]:
        """None: nothing can be edited."""

    async def prepare(self, caller: Caller, image: Image, edits: Sequence[Edit]) -> EditLocations:
        """All that must be found out for these edits of LOCATIONS, which the caller may make. image: as it is now.

        Raises Forbidden, Invalid, Conflict.
        """


class HiddenLocations:
    """A LocationEditor for where clients do not see locations: nothing of them is changed."""

    actions = frozenset[str]()

    async def prepare(self, caller: Caller, image: Image, edits: Sequence[Edit]) -> EditLocations:
        """Raises Forbidden."""
        raise Forbidden("Locations are not shown here, and cannot be changed (images.show_locations).")


_SETTABLE: Final = frozenset(names_of(lambda field: field.setting is Setting.CLIENT))
_FORMATS: Final = frozenset(names_of(lambda field: field.type is FieldType.FORMAT))
_WITHOUT_DATA: Final = frozenset({Status.QUEUED, Status.IMPORTING})
"""In which the formats may still be chosen."""


@define
class Patching:
    """Applies edits to images."""

    access: Access
    changes: Changes
    deletion: Deletion
    limits: RecordLimits
    locations: LocationEditor
    protections: IProtections

    async def refusal(self, caller: Caller, image_id: str) -> Forbidden | None:
        """Why the caller may change nothing of the image, whatever the edits are; None: it may change something.

        An empty list of edits is allowed all the same. Raises NoSuchImage.
        """
        image = await self.access.catalogue.image(image_id)
        if any(self.access.policy.allows(action, caller, image) for action in self.locations.actions):
            return None
        try:
            self.access.check(caller, image, "modify_image")
        except Forbidden as error:
            return error
        return None

    async def patch(self, caller: Caller, image_id: str, edits: Sequence[Edit]) -> Image:
        """Apply the edits in order; the image as it is then.

        Raises NoSuchImage; Forbidden for what the caller, or the status, does not allow; Conflict for a key that is
        there and should not be, or should be and is not; QuotaExceeded. Nothing has changed then.
        """
        of_locations = [edit for edit in edits if edit.key == LOCATIONS]
        actions = sorted({edit.action for edit in edits}) or ["get_image"]
        edit_locations: EditLocations = _unchanged
        if of_locations:
            image = await self.access.image(caller, image_id, *actions)
            edit_locations = await self.locations.prepare(caller, image, of_locations)
        changed, doomed = await self.changes.change(
            caller, image_id, lambda image: self._edited(caller, image, edits, edit_locations), *actions
        )
        await self.deletion.remove_all(doomed)
        return changed

    def _edited(self, caller: Caller, image: Image, edits: Sequence[Edit], edit_locations: EditLocations) -> Image:
        before, properties = image, dict(self.protections.readable(caller, image.properties))
        fields: dict[str, Any] = {}
        for edit in edits:
            if edit.key == LOCATIONS:
                image, fields = edit_locations(evolve(image, **fields), edit), {}
            elif edit.key in _SETTABLE:
                fields[edit.key] = self._value(caller, image, edit)
            else:
                _edit_property(properties, edit)
        merged = self.protections.merged(caller, before.properties, properties)
        changed = evolve(image, **fields, properties=merged)
        if changed.tags != before.tags:
            self.limits.check_tags(changed.tags)
        if changed.properties.keys() - before.properties.keys():
            self.limits.check_properties(changed.properties)
        self.limits.check_sizes(changed, before)
        return changed

    def _value(self, caller: Caller, image: Image, edit: Edit) -> Any:
        """What an edit of a base field sets it to."""
        key, value = edit.key, edit.value
        if edit.op is Op.REMOVE:
            raise Forbidden(f"Attribute {key!r} cannot be removed: only custom properties can.")
        if edit.op is Op.ADD:
            raise Conflict(f"Attribute {key!r} is there already: 'replace' changes it.")
        if key == "owner":
            if not caller.is_admin:
                raise Forbidden("The owner of an image is changed by administrators only.")
            return value or None
        if key in _FORMATS and image.status not in _WITHOUT_DATA:
            raise Forbidden(f"Attribute {key!r} of image {image.id} cannot be changed: it is {image.status}.")
        if key == "visibility":
            visibility = Visibility(value)
            if visibility in VISIBILITY_ACTIONS:
                self.access.check(caller, image, VISIBILITY_ACTIONS[visibility])
            return visibility
        return tuple(sorted(set(value))) if key == "tags" else value


def _edit_property(properties: dict[str, str], edit: Edit) -> None:
    """A value of None is as if there were none: those properties that take it are absent then."""
    present = edit.key in properties
    if present and edit.op is Op.ADD:
        raise Conflict(f"Property {edit.key!r} is there already: 'replace' changes it.")
    if not present and edit.op in (Op.REPLACE, Op.REMOVE):
        raise Conflict(f"Property {edit.key!r} is not there: 'add' makes it.")
    if edit.op is Op.REMOVE or edit.value is None:
        properties.pop(edit.key, None)
    else:
        properties[edit.key] = edit.value


def _unchanged(image: Image, edit: Edit) -> Image:
    return image
