"""The keys of an image that clients may write, and their values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import fastjsonschema

from imgsvc.errors import Forbidden, Invalid
from imgsvc.image_fields import FIELDS, Setting, Source, names_of

LINKS: Final = frozenset(names_of(lambda field: field.source is Source.ANSWER))
BASE: Final = frozenset(FIELDS)
"""The keys that every image has. All others are custom properties."""
READ_ONLY: Final = frozenset(names_of(lambda field: field.setting is Setting.SERVER))
RESERVED: Final = frozenset({"location", "locations", "deleted", "deleted_at"})
OWN_PREFIX: Final = "os_glance"
"""The prefix of the properties that are reserved for the server."""
LONGEST_KEY: Final = 255
UUID_PATTERN: Final = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"


class FieldRules:
    """Checks fields by the schema `image`.

    required: the keys that every new image must have.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        properties = schema["properties"]
        self.required = frozenset(schema.get("required", ()))
        self._validate = compile_schema(
            {"type": "object", "properties": properties, "additionalProperties": schema["additionalProperties"]}
        )

    def check_values(self, document: Mapping[str, Any]) -> None:
        """Raises Invalid: a value is not valid for its key, or a key could not be named in a patch."""
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
        """Raises Invalid: a new image lacks a required key."""
        missing = sorted(key for key in self.required if document.get(key) is None)
        if missing:
            raise Invalid(f"The image is not valid: {missing[0]} must be given.")

    def check_removal(self, key: str) -> None:
        """Raises Invalid: the key is required."""
        if key in self.required:
            raise Invalid(f"The image is not valid: {key} cannot be removed.")


def _nul(key: str) -> Invalid:
    return Invalid(f"The property {key!r} holds a NUL character.")


def forbid(keys: Iterable[str]) -> None:
    """Raises Forbidden: there is at least one key."""
    for key in sorted(keys):
        raise Forbidden(f"Attribute {key!r} is set by the server only.")


def compile_schema(schema: Mapping[str, Any]) -> Callable[[Any], None]:
    """A function that raises Invalid if a value does not match the JSON schema."""
    check = fastjsonschema.compile(
        {"$schema": "http://json-schema.org/draft-04/schema#", **schema},  # in draft 4, 1.0 is not an integer
        use_default=False,
        use_formats=False,  # Glance does not check formats
    )

    def validate(value: Any) -> None:
        try:
            check(value)
        except fastjsonschema.JsonSchemaValueException as error:
            raise Invalid(f"The image is not valid: {complaint(error)}.") from error

    return validate


def complaint(error: fastjsonschema.JsonSchemaValueException) -> str:
    """The reason why a value does not match a schema, as a part of a sentence. `it` stands for the whole value."""
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
    """The values of an enumeration in JSON, but texts without quotes."""
    *others, last = [value if isinstance(value, str) else json.dumps(value) for value in values if value is not None]
    texts = [*others, last, *(["null"] if None in values else [])]
    return texts[0] if len(texts) == 1 else f"one of {', '.join(texts)}"
