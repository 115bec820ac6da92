"""The JSON schemas that the API publishes, and with which it checks requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from attrs import define

from imgsvc.image_fields import FIELDS, FieldType, ImageField, Setting
from imgsvc.model import RequestContext
from imgsvc.web.fields import UUID_PATTERN
from imgsvc.web.members import member_schema, members_schema
from imgsvc.web.metadef_schemas import metadef_schemas
from imgsvc.web.openapi.notation import Operation, json_answer
from imgsvc.web.operator_schema import read_operator_schema, usual_properties
from imgsvc.web.render import answer_json
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Handler, Route

LARGEST_INTEGER: Final = 2**31 - 1


_LOCATIONS: Final = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["url", "metadata"],
        "properties": {
            "url": {"type": "string", "maxLength": 255},
            "metadata": {"type": "object"},
            "validation_data": {
                "type": "object",
                "description": "Digests of the data, taken with a new location and not shown",
                "required": ["os_hash_algo", "os_hash_value"],
                "additionalProperties": False,
                "properties": {
                    "checksum": {"type": "string", "pattern": "^[0-9a-fA-F]{32}$"},
                    "os_hash_algo": {"type": "string", "maxLength": 64},
                    "os_hash_value": {"type": "string", "pattern": "^[0-9a-fA-F]{1,128}$"},
                },
            },
        },
    },
}
_OF_TYPE: Final[Mapping[FieldType, Mapping[str, Any]]] = {
    FieldType.ID: {"type": "string", "pattern": UUID_PATTERN},
    FieldType.TEXT: {"type": "string"},
    FieldType.CHOICE: {"type": "string"},
    FieldType.FORMAT: {"type": "string"},
    FieldType.FLAG: {"type": "boolean"},
    FieldType.AMOUNT: {"type": "integer", "minimum": 0, "maximum": LARGEST_INTEGER},
    FieldType.SIZE: {"type": "integer"},
    FieldType.TIME: {"type": "string"},
    FieldType.TAGS: {"type": "array"},
    FieldType.LOCATIONS: _LOCATIONS,
}


def base_properties(disk_formats: Sequence[str], container_formats: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The schemas of the base fields of an image, by their names (Image API, "Show image schema")."""
    formats = {"disk_format": disk_formats, "container_format": container_formats}
    return {name: _schema_of(field, formats.get(name, ())) for name, field in FIELDS.items()}


def _schema_of(field: ImageField, formats: Sequence[str]) -> dict[str, Any]:
    """The schema of one field. formats: the values of a FORMAT."""
    found = {**_OF_TYPE[field.type], "description": field.description}
    if field.nullable:
        found["type"] = ["null", found["type"]]
    if field.setting is Setting.SERVER:
        found["readOnly"] = True
    if field.values:
        found["enum"] = list(field.values)
    if field.type is FieldType.FORMAT:
        found["enum"] = [None, *formats]
    if field.type is FieldType.TAGS:
        found["items"] = {"type": "string", "maxLength": field.max_length}
    elif field.max_length is not None:
        found["maxLength"] = field.max_length
    return found


def image_schema(
    disk_formats: Sequence[str], container_formats: Sequence[str], schema_file: Path | None = None
) -> dict[str, Any]:
    """The schema `image`.

    schema_file: the operator's schemas of custom properties; None: the usual ones. Raises ConfigurationError: the file
    is wrong.
    """
    base = base_properties(disk_formats, container_formats)
    custom = usual_properties() if schema_file is None else read_operator_schema(schema_file, base)
    return {
        "name": "image",
        "properties": {**base, **custom.properties},
        **({"required": list(custom.required)} if custom.required else {}),
        "additionalProperties": {"type": "string"},
        "links": [
            {"rel": "self", "href": "{self}"},
            {"rel": "enclosure", "href": "{file}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


def images_schema(image: dict[str, Any]) -> dict[str, Any]:
    """The schema `images`: a page of a list."""
    return {
        "name": "images",
        "properties": {
            "images": {"type": "array", "items": image},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


@define
class SchemaRoutes:
    """Shows the schemas: `/v2/schemas/...`. image: the schema `image`."""

    part: ClassVar[str] = "service"

    image: dict[str, Any]

    @property
    def documents(self) -> dict[str, dict[str, Any]]:
        """The schemas, by name.

        They do not tell which properties an operator requires. glanceclient validates an empty image first, so it could
        not create any image otherwise.
        """
        image = {key: value for key, value in self.image.items() if key != "required"}
        return {
            "image": image,
            "images": images_schema(image),
            "member": member_schema(),
            "members": members_schema(),
            **metadef_schemas(),
        }

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        return [
            Route("GET", f"/v2/schemas/{name}", _giver(schema), partial(_showing, name))
            for name, schema in self.documents.items()
        ]


def _giver(document: dict[str, Any]) -> Handler:
    async def give(request: StreamingRequest, context: RequestContext) -> bytes:
        """200 with the schema."""
        return answer_json(request, document)

    return give


# --- the description of the API


def _showing(name: str) -> Operation:
    return Operation(
        f"show_schema_{name.replace('/', '_')}",
        f"The JSON schema `{name}`",
        answers={200: json_answer("The schema", {"type": "object", "required": ["name", "properties"]})},
    )
