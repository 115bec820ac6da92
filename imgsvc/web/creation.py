"""Reads the body of `POST /v2/images`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import fastjsonschema

from imgsvc.errors import Forbidden, Invalid

LINKS: Final = frozenset({"self", "file", "schema", "stores"})
RESERVED: Final = frozenset({"location", "locations", "deleted", "deleted_at", "direct_url"})
LONGEST_KEY: Final = 255


class ImageReader:
    """Splits what a client sends into base fields and custom properties, in the order of checks of the Image API."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        properties = schema["properties"]
        self._base = frozenset(key for key, value in properties.items() if value.get("is_base", True))
        self._read_only = frozenset(key for key, value in properties.items() if value.get("readOnly"))
        self._validate: Callable[[Any], Any] = fastjsonschema.compile(
            {
                "$schema": "http://json-schema.org/draft-04/schema#",  # to which 1.0 is no integer
                "type": "object",
                "properties": {
                    key: value for key, value in properties.items() if not value.get("readOnly") and key not in RESERVED
                },
                "patternProperties": {f"^({'|'.join(sorted(self._read_only | RESERVED))})$": {}},
                "additionalProperties": schema["additionalProperties"],
            },
            use_default=False,
        )

    def read(self, document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """Base fields and custom properties. Raises Forbidden for what only the server sets, Invalid for the rest."""
        self._forbid(LINKS & document.keys())
        try:
            self._validate(document)
        except fastjsonschema.JsonSchemaValueException as error:
            raise Invalid(f"The image is not valid: {error.message.removeprefix('data.')}.") from error
        self._forbid(RESERVED & document.keys())
        self._forbid({key for key in document if key.startswith("os_glance")})
        self._forbid(self._read_only & document.keys())
        for key, value in document.items():
            if len(key) > LONGEST_KEY:
                raise Invalid(f"The key of a property is longer than {LONGEST_KEY} characters.")
            if any("\0" in text for text in (key, *(value if isinstance(value, list | str) else ()))):
                raise Invalid(f"The property {key!r} holds a NUL character.")
        fields = {key: value for key, value in document.items() if key in self._base}
        properties = {key: value for key, value in document.items() if key not in self._base and value is not None}
        return fields, properties

    def _forbid(self, keys: Any) -> None:
        if keys:
            raise Forbidden(f"Attribute {sorted(keys)[0]!r} is set by the server only.")
