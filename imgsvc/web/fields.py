"""Which keys of an image clients may write, and with which values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import fastjsonschema

from imgsvc.errors import Forbidden, Invalid
from imgsvc.image_fields import FIELDS, Setting, Source, names_of

LINKS: Final = frozenset(names_of(lambda field: field.source is Source.ANSWER))
BASE: Final = frozenset(FIELDS)
"""The keys that every image has; all others are custom."""
READ_ONLY: Final = frozenset(names_of(lambda field: field.setting is Setting.SERVER))
RESERVED: Final = frozenset({"location", "locations", "deleted", "deleted_at"})
OWN_PREFIX: Final = "os_glance"
"""What the server's own properties begin with."""
LONGEST_KEY: Final = 255
UUID_PATTERN: Final = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"


class FieldRules:
    """What the schema `image` says, as checks.

    required: the keys that an image cannot be made without.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        properties = schema["properties"]
        self.required = frozenset(schema.get("required", ()))
        self._validate = compile_schema(
            {"type": "object", "properties": properties, "additionalProperties": schema["additionalProperties"]}
        )

    def check_values(self, document: Mapping[str, Any]) -> None:
        """Raises Invalid for values that the keys do not take, and for keys that no patch could name."""
        if any(len(key) > LONGEST_KEY for key in document):
            raise Invalid(f"The key of a property is longer than {LONGEST_KEY} characters.")
        self._validate(document)
        for key, value in document.items():
            if not key or key.isspace():
                raise Invalid("The key of a property is blank.")
            if "\0" in key or (isinstance(value, str) and "\0" in value):
                raise _nul(key)
            if isinstance(value, list) and any(isinstance(text, str) and "\0" in text for text in value):
                raise _nul(key)

    def check_required(self, document: Mapping[str, Any]) -> None:
        """Raises Invalid for a new image that lacks what it must have."""
        missing = sorted(key for key in self.required if document.get(key) is None)
        if missing:
            raise Invalid(f"The image is not valid: {missing[0]} must be given.")

    def check_removal(self, key: str) -> None:
        """Raises Invalid for a key that an image must have."""
        if key in self.required:
            raise Invalid(f"The image is not valid: {key} must stay.")


def _nul(key: str) -> Invalid:
    return Invalid(f"The property {key!r} holds a NUL character.")


def forbid(keys: Iterable[str]) -> None:
    """Raises Forbidden if there is any key."""
    for key in sorted(keys):
        raise Forbidden(f"Attribute {key!r} is set by the server only.")


def compile_schema(schema: Mapping[str, Any]) -> Callable[[Any], None]:
    """A check that raises Invalid for what the JSON schema of a value in an image does not allow."""
    check = fastjsonschema.compile(
        {"$schema": "http://json-schema.org/draft-04/schema#", **schema},  # to which 1.0 is no integer
        use_default=False,
        use_formats=False,  # Glance checks none
    )

    def validate(value: Any) -> None:
        try:
            check(value)
        except fastjsonschema.JsonSchemaValueException as error:
            raise Invalid(f"The image is not valid: {complaint(error)}.") from error

    return validate


def complaint(error: fastjsonschema.JsonSchemaValueException) -> str:
    """What a schema says against a value, as a part of a sentence. That of the whole value is `it`."""
    message: str = error.message
    rule, definition = error.rule, error.rule_definition
    if rule == "enum":
        message = f"{error.name} must be {_listed(definition)}"
    elif rule == "required":
        message = f"{error.name} must have {', '.join(key for key in definition if key not in error.value)}"
    elif rule == "pattern" and definition == UUID_PATTERN:
        message = f"{error.name} must be a UUID, as 3f6c1b2e-0d7a-4c55-9b1e-7f2a64c0d913"
    return f"it{message.removeprefix('data')}" if message.startswith("data ") else message.removeprefix("data.")


def _listed(values: Iterable[Any]) -> str:
    """The values of an enumeration, as they are written in JSON; texts without quotes."""
    *others, last = [value if isinstance(value, str) else json.dumps(value) for value in values if value is not None]
    texts = [*others, last, *(["null"] if None in values else [])]
    return texts[0] if len(texts) == 1 else f"one of {', '.join(texts)}"
