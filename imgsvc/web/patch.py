"""Reads the body of `PATCH /v2/images/{image_id}`: the two JSON patch formats of the Image API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from imgsvc.errors import BodyTooLarge, Invalid
from imgsvc.image_fields import Setting, names_of
from imgsvc.operations.patching import LOCATIONS, Edit, Op
from imgsvc.web.fields import OWN_PREFIX, RESERVED, FieldRules, compile_schema, forbid

V20: Final = "application/openstack-images-v2.0-json-patch"
V21: Final = "application/openstack-images-v2.1-json-patch"
MEDIA_TYPES: Final = (V20, V21)

MOST_OPERATIONS: Final = 1000
"""Operations of one patch, at most."""
LONGEST_POINTER: Final = 1024
"""Characters of a path, at most. The longest key has fewer, even if all its characters are escaped."""

_POINTER: Final = re.compile(r"(?:/(?:[^/~]|~[01])+)+")
_OPS: Final[Mapping[str, Mapping[str, Op]]] = {
    V20: {"add": Op.ADD, "replace": Op.REPLACE, "remove": Op.REMOVE},
    V21: {"add": Op.SET, "replace": Op.REPLACE, "remove": Op.REMOVE},
}
_FORBIDDEN: Final = RESERVED.union(names_of(lambda field: field.setting is not Setting.CLIENT)) - {LOCATIONS}
_LOCATION_DEPTH: Final = {"add": 2, "replace": 1, "remove": 2}


class PatchReader:
    """Converts patch documents to edits. Checks the form, the key and the value of each operation."""

    def __init__(self, schema: Mapping[str, Any], rules: FieldRules) -> None:
        self._rules = rules
        self._check_locations = compile_schema({"type": "array", **schema["properties"].get(LOCATIONS, {})})

    def read(self, media_type: str, document: Any) -> list[Edit]:
        """The edits of a patch, in order. media_type: one of MEDIA_TYPES. document: parsed JSON.

        Raises Invalid: the form of an operation, or a value, is wrong. Raises BodyTooLarge: there are too many
        operations.
        Raises Forbidden: a key is set by the server only.
        """
        if not isinstance(document, list):
            raise Invalid("A patch must be an array of operations.")
        if len(document) > MOST_OPERATIONS:
            raise BodyTooLarge(f"A patch may have {MOST_OPERATIONS} operations, not {len(document)}.")
        return [self._edit(media_type, operation) for operation in document]

    def _edit(self, media_type: str, operation: Any) -> Edit:
        if not isinstance(operation, dict):
            raise Invalid("An operation of a patch must be an object.")
        name, pointer = _name_and_pointer(media_type, operation)
        key, *more = path = _parts(pointer)
        depth = _LOCATION_DEPTH[name] if key == LOCATIONS else 1
        if len(path) != depth:
            raise Invalid(
                f"The path {pointer!r} leads to nothing that an operation {name!r} may change: it names one key, as "
                "'/name'; one location is added or removed as '/locations/-' or '/locations/0'."
            )
        has_value = name != "remove"
        if has_value and "value" not in operation:
            raise Invalid(f"The operation {name!r} needs a value.")
        value = operation["value"] if has_value else None
        if key in _FORBIDDEN or key.startswith(OWN_PREFIX):
            forbid([key])
        if has_value:
            self._check_value(key, value, of_one=depth == 2)
        if value is None:
            self._rules.check_removal(key)
        return Edit(_OPS[media_type][name], key, value, more[0] if more else None)

    def _check_value(self, key: str, value: Any, of_one: bool) -> None:
        if key == LOCATIONS:
            self._check_locations([value] if of_one else value)
        else:
            self._rules.check_values({key: value})


def _name_and_pointer(media_type: str, operation: Mapping[str, Any]) -> tuple[str, str]:
    """The name and the path of an operation. Unknown members are ignored (RFC 6902, section 4)."""
    ops = _OPS[media_type]
    if media_type == V20:
        names: list[Any] = [name for name in ops if name in operation]
        if len(names) != 1:
            raise Invalid("An operation must have exactly one of the members 'add', 'replace' and 'remove'.")
        name, pointer = names[0], operation[names[0]]
    else:
        name, pointer = operation.get("op"), operation.get("path")
        if not isinstance(name, str) or name not in ops:
            raise Invalid("The member 'op' of an operation must be 'add', 'replace' or 'remove'.")
    if not isinstance(pointer, str):
        raise Invalid(f"The operation {name!r} has no path.")
    return name, pointer


def _parts(pointer: str) -> list[str]:
    """The parts of a JSON pointer (RFC 6901). The Image API refuses empty parts, and strips blanks around the others.

    Raises Invalid.
    """
    if len(pointer) > LONGEST_POINTER:
        raise Invalid(f"A path is longer than {LONGEST_POINTER} characters.")
    if not _POINTER.fullmatch(pointer):
        raise Invalid(f"The path {pointer!r} is not of the form '/key'.")
    parts = [part.replace("~1", "/").replace("~0", "~").strip() for part in pointer[1:].split("/")]
    if not all(parts):
        raise Invalid(f"The path {pointer!r} has an empty part.")
    return parts
