"""The schemas of custom properties in the schema `image`: the usual ones, or those of an operator's file.

The file has the format of Glance's schema-image.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import fastjsonschema
from attrs import frozen

from imgsvc.errors import ConfigurationError
from imgsvc.web.fields import LONGEST_KEY, OWN_PREFIX, RESERVED, UUID_PATTERN, compile_schema

_LENGTH: Final = {"type": "integer", "minimum": 0}
_PROPERTY: Final = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": {"enum": ["string", ["string"], ["null", "string"], ["string", "null"]]},
        "title": {"type": "string"},
        "description": {"type": "string"},
        "enum": {"type": "array", "minItems": 1, "items": {"type": ["string", "null"]}},
        "pattern": {"type": "string"},
        "format": {"type": "string"},
        "minLength": _LENGTH,
        "maxLength": _LENGTH,
        "is_base": {"enum": [False]},
    },
    "additionalProperties": False,
}
"""The allowed part of JSON schema. Properties are text. References are not allowed, because they would be fetched."""


@frozen
class OperatorSchema:
    """properties: schemas of custom properties, by name.

    required: names of the properties that every image must have.
    """

    properties: Mapping[str, Mapping[str, Any]]
    required: Sequence[str] = ()


def usual_properties() -> OperatorSchema:
    """The properties in the schema-image.json that comes with Glance."""
    reference = {"type": ["null", "string"], "pattern": UUID_PATTERN, "is_base": False}
    texts = {
        "instance_uuid": "Server that the image was made from",
        "architecture": "Processor architecture that the image needs",
        "os_distro": "Short name of the operating system's distribution",
        "os_version": "Version of the operating system, as its distributor writes it",
        "description": "What the image is, for people",
        "cinder_encryption_key_id": "Key of the encrypted volume that the image was made from",
    }
    return OperatorSchema(
        {
            "kernel_id": {**reference, "description": "Image of the kernel that boots this one"},
            "ramdisk_id": {**reference, "description": "Image of the ramdisk that boots this one"},
            **{key: {"type": "string", "is_base": False, "description": text} for key, text in texts.items()},
            "cinder_encryption_key_deletion_policy": {
                "type": "string",
                "is_base": False,
                "enum": ["on_image_deletion", "do_not_delete"],
                "description": "Whether the key is meant to go when the image is deleted",
            },
        }
    )


def read_operator_schema(file: Path, base: Mapping[str, Mapping[str, Any]]) -> OperatorSchema:
    """Read the properties of a file, which replace the usual ones. base: the schemas of the base fields, by name.

    The file holds an object with the schemas of properties, as in Glance, or an object with `properties` and
    `required`.
    Raises ConfigurationError: the file is wrong.
    """
    try:
        return _read(file, base)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except ValueError as error:  # also raised for wrong JSON and UTF-8
        reason = " ".join(str(error).split())
    except RecursionError:
        reason = "is nested too deeply"
    raise ConfigurationError(f"images.schema_file = {str(file)!r}: {reason}")


def _read(file: Path, base: Mapping[str, Mapping[str, Any]]) -> OperatorSchema:
    document = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError("must be an object of the schemas of properties")
    required: Any = []
    properties: Any = document
    if isinstance(document.get("properties"), dict) and document.keys() <= {"properties", "required"}:
        properties, required = document["properties"], document.get("required", [])
    check = fastjsonschema.compile(_PROPERTY)
    known = {name: _property(name, schema, base, check) for name, schema in properties.items()}
    settable = known.keys() | {name for name, schema in base.items() if not schema.get("readOnly")} - RESERVED
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise ValueError("required must be a list of names of properties")
    for name in required:
        if name not in settable:
            raise ValueError(f"required names {name!r}, which is not a property that can be set")
    return OperatorSchema(known, tuple(required))


def _property(name: str, schema: Any, base: Mapping[str, Any], check: Callable[[Any], Any]) -> dict[str, Any]:
    if name in base or name in RESERVED or name.startswith(OWN_PREFIX):
        raise ValueError(f"{name} cannot be redefined: it is a field of every image, or reserved")
    if not 0 < len(name) <= LONGEST_KEY:
        raise ValueError(f"the name {name[:20]!r} must have 1 to {LONGEST_KEY} characters")
    try:
        check(schema)
        compile_schema(schema)
    except fastjsonschema.JsonSchemaValueException as error:
        raise ValueError(f"{name}{error.message.removeprefix('data')}") from error
    except (fastjsonschema.JsonSchemaDefinitionException, re.error) as error:
        raise ValueError(f"{name}: {error}") from error
    return {**schema, "is_base": False}
