"""Changes fields and properties of an image. Several edits are made all together or not at all."""

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

    ADD = "add a key that must not exist"
    SET = "set a key, whether it exists or not"
    REPLACE = "set a key that must exist"
    REMOVE = "remove a key that must exist"


@frozen
class Edit:
    """One change. key: a base field that clients may set, or a custom property. value: of the type of that key.

    position: of one location, if `key` is LOCATIONS: a number from 0, or `-` for the end of the list.
    """

    op: Op
    key: str
    value: Any = None
    position: str | None = None

    @property
    def action(self) -> str:
        """The action that the policy decides about."""
        if self.key != LOCATIONS:
            return "modify_image"
        return "delete_image_location" if self.op is Op.REMOVE else "set_image_location"


EditLocations = Callable[[Image, Edit], Image]
"""Returns the image after an edit of its locations. Has no side effects.

Raises Invalid, Forbidden, Conflict, QuotaExceeded.
"""


class LocationEditor(Protocol):
    """Changes the locations of images."""

    @property
    def actions(self) -> frozenset[str]:
        """The policy actions that its edits need; empty if it allows no edits."""

    async def prepare(self, caller: Caller, image: Image, edits: Sequence[Edit]) -> EditLocations:
        """Do the asynchronous part of these edits, and return the function that applies each of them.

        The caller has been checked to be allowed them. image: the current one. edits: their key is LOCATIONS.
        Raises Forbidden, Invalid, Conflict.
        """


class HiddenLocations:
    """The LocationEditor of servers that hide locations. It refuses all edits."""

    actions = frozenset[str]()

    async def prepare(self, caller: Caller, image: Image, edits: Sequence[Edit]) -> EditLocations:
        """Raises Forbidden, always."""
        raise Forbidden("Locations are not shown here, and cannot be changed (images.show_locations).")


_SETTABLE: Final = frozenset(names_of(lambda field: field.setting is Setting.CLIENT))
_FORMATS: Final = frozenset(names_of(lambda field: field.type is FieldType.FORMAT))
_WITHOUT_DATA: Final = frozenset({Status.QUEUED, Status.IMPORTING})
"""The statuses in which the formats can be changed."""


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
        """The reason why the caller may change nothing of an image; None if it may change something.

        An empty list of edits is allowed even with a refusal. Raises NoSuchImage.
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
        """Apply the edits in order, and return the changed image. After an error nothing has changed.

        Raises NoSuchImage. Raises Forbidden: the caller may not, or the status does not allow an edit. Raises Conflict:
        a key exists and must not, or must exist and does not. Raises QuotaExceeded.
        """
        of_locations = [edit for edit in edits if edit.key == LOCATIONS]
        actions = sorted({edit.action for edit in edits}) or ["get_image"]
        edit_locations: EditLocations = _unchanged
        if of_locations:
            image = await self.access.image(caller, image_id, *actions)
            edit_locations = await self.locations.prepare(caller, image, of_locations)
        changed, pending = await self.changes.change(
            caller, image_id, lambda image: self._edited(caller, image, edits, edit_locations), *actions
        )
        await self.deletion.remove_all(pending)
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
        """The value that an edit gives to a base field. Raises Forbidden, Conflict."""
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
    """Apply an edit to a property. A value of None removes the property. Raises Conflict."""
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
