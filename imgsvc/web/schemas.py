"""The JSON schemas that the API publishes, and that it checks requests with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define

from imgsvc.model import Status, Visibility
from imgsvc.web.fields import UUID_PATTERN
from imgsvc.web.members import member_schema, members_schema
from imgsvc.web.metadef_schemas import metadef_schemas
from imgsvc.web.operator_schema import read_operator_schema, usual_properties
from imgsvc.web.render import answer_json
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route

LARGEST_INTEGER: Final = 2**31 - 1


def _text(description: str, length: int, **more: Any) -> dict[str, Any]:
    return {"type": ["null", "string"], "maxLength": length, "description": description, **more}


def _read_only(kind: str | list[str], description: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "readOnly": True, "description": description, **more}


def base_properties(disk_formats: Sequence[str], container_formats: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The base fields of an image (Image API, "Show image schema")."""
    amount = {"type": "integer", "minimum": 0, "maximum": LARGEST_INTEGER}
    return {
        "id": {"type": "string", "pattern": UUID_PATTERN, "description": "Identifier of the image, a UUID"},
        "name": _text("Name for people; need not be unique", 255),
        "status": _read_only("string", "Where the image stands in its life", enum=[status.value for status in Status]),
        "visibility": {
            "type": "string",
            "description": "Who else sees the image",
            "enum": [item.value for item in Visibility],
        },
        "protected": {"type": "boolean", "description": "Whether the image cannot be deleted"},
        "os_hidden": {
            "type": "boolean",
            "description": "Whether lists leave the image out unless asked for hidden ones",
        },
        "owner": _text("Project that owns the image", 255),
        "container_format": _text("Container around the disk", 255, enum=[None, *container_formats]),
        "disk_format": _text("Format of the disk", 255, enum=[None, *disk_formats]),
        "min_disk": {**amount, "description": "Disk needed to boot the image, GiB"},
        "min_ram": {**amount, "description": "Memory needed to boot the image, MiB"},
        "tags": {
            "type": "array",
            "items": {"type": "string", "maxLength": 255},
            "description": "Words to group images by",
        },
        "size": _read_only(["null", "integer"], "Size of the data in bytes"),
        "virtual_size": _read_only(["null", "integer"], "Size of the disk within the image in bytes"),
        "checksum": _read_only(["null", "string"], "MD5 of the data, hex", maxLength=32),
        "os_hash_algo": _read_only(["null", "string"], "Algorithm of os_hash_value", maxLength=64),
        "os_hash_value": _read_only(["null", "string"], "Digest of the data, hex", maxLength=128),
        "created_at": _read_only("string", "When the image was made, UTC"),
        "updated_at": _read_only("string", "When the image was last changed, UTC"),
        "self": _read_only("string", "Path of the image"),
        "file": _read_only("string", "Path of the data"),
        "schema": _read_only("string", "Path of this schema"),
        "direct_url": _read_only("string", "Where the first copy of the data is"),
        "stores": _read_only("string", "Stores that hold the data, separated by commas"),
        "locations": {
            "type": "array",
            "description": "Where the copies of the data are",
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
        },
    }


def image_schema(
    disk_formats: Sequence[str], container_formats: Sequence[str], schema_file: Path | None = None
) -> dict[str, Any]:
    """The schema `image`. schema_file: the operator's, with custom properties. Raises ConfigurationError."""
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
    """`/v2/schemas/...`"""

    image: dict[str, Any]

    @property
    def documents(self) -> dict[str, dict[str, Any]]:
        """The schemas by their names.

        What an operator requires is not told: glanceclient checks an empty image first, and could make none.
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
        return [Route("GET", f"/v2/schemas/{name}", _giver(schema)) for name, schema in self.documents.items()]


def _giver(document: dict[str, Any]) -> Any:
    async def give(request: StreamingRequest) -> bytes:
        return answer_json(request, document)

    return give
