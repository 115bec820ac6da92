"""Describes what tells of the server: versions, its health, stores, limits, schemas, and this description."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from imgsvc.web.openapi.notation import (
    COUNT,
    FLAG,
    REQUEST_ID,
    TEXT,
    Json,
    Paths,
    array,
    choice,
    fields,
    header,
    json_answer,
    nothing,
    operation,
    query,
    sent_header,
)

SCHEMA_OF_SCHEMAS: Final = {"type": "object", "required": ["name", "properties"]}
_REASONS: Final = fields(("detailed", "reasons"), detailed=FLAG, reasons=array({}))
_HEALTH: Final = {
    "text/plain": {"schema": TEXT},
    "text/html": {"schema": TEXT},
    "application/json": {"schema": _REASONS},
}
_USAGE: Final = {
    "type": "object",
    "propertyNames": choice("image_size_total", "image_stage_total", "image_count_total", "image_count_uploading"),
    "additionalProperties": fields(("limit", "usage"), limit={"type": "integer"}, usage=COUNT),
}
_DETAIL: Final = query("detail", "With it, whatever it says, the catalogue and the stores are checked, too")
_DESCRIPTION_HEADERS: Final = {**REQUEST_ID, "ETag": sent_header("Its digest")}
_STORE: Final = fields(
    ("id",),
    id=TEXT,
    description=TEXT,
    default={"const": "true"},
    **{"read-only": {"const": "true"}},
)


def _health() -> Json:
    return {
        "get": operation(
            "check_health",
            "Whether a load balancer is to send clients here",
            is_open=True,
            parameters=[_DETAIL],
            answers={
                200: {"description": "It is", "content": _HEALTH},
                503: {
                    "description": "It is not: the disable file exists, or a part does not work",
                    "content": _HEALTH,
                },
            },
        ),
        "head": operation(
            "check_health_briefly",
            "Whether a load balancer is to send clients here",
            is_open=True,
            parameters=[_DETAIL],
            answers={204: nothing("It is"), 503: {"description": "It is not", "content": _HEALTH}},
        ),
    }


def _information() -> Paths:
    return {
        "/v2/info/stores": {
            "get": operation(
                "list_stores",
                "List the stores",
                answers={200: json_answer("The stores", fields(("stores",), stores=array(_STORE)))},
                errors={404: "There is only one store"},
            )
        },
        "/v2/info/stores/detail": {
            "get": operation(
                "list_stores_in_detail",
                "List the stores with what administrators may know of them",
                answers={
                    200: json_answer(
                        "The stores",
                        fields(
                            ("stores",),
                            stores=array(
                                {
                                    "allOf": [
                                        _STORE,
                                        fields(
                                            ("type", "weight", "properties"),
                                            type=TEXT,
                                            weight={"type": "integer"},
                                            properties={"type": "object"},
                                        ),
                                    ]
                                }
                            ),
                        ),
                    )
                },
                errors={403: "The caller is no administrator", 404: "There is only one store"},
            )
        },
        "/v2/info/usage": {
            "get": operation(
                "show_usage",
                "What the project of the caller uses, and may use",
                answers={200: json_answer("The limits that there are; sizes in MiB", fields(("usage",), usage=_USAGE))},
            )
        },
        "/v2/info/import": {
            "get": operation(
                "list_import_methods",
                "List the import methods",
                answers={
                    200: json_answer(
                        "The import methods",
                        fields(
                            ("import-methods",),
                            **{
                                "import-methods": fields(
                                    ("description", "type", "value"), description=TEXT, type=TEXT, value=array(TEXT)
                                )
                            },
                        ),
                    )
                },
            )
        },
    }


def paths(schema_names: Iterable[str]) -> Paths:
    """schema_names: of the schemas that are published, as `image` and `metadefs/object`."""
    version = fields(
        ("id", "status", "links"),
        id=TEXT,
        status=choice("CURRENT", "SUPPORTED"),
        links=array(fields(("rel", "href"), rel=TEXT, href=TEXT)),
    )
    schemas = {
        f"/v2/schemas/{name}": {
            "get": operation(
                f"show_schema_{name.replace('/', '_')}",
                f"The JSON schema `{name}`",
                answers={200: json_answer("The schema", SCHEMA_OF_SCHEMAS)},
            )
        }
        for name in schema_names
    }
    return {
        "/versions": {
            "get": operation(
                "list_versions",
                "List the versions of the API",
                is_open=True,
                answers={200: json_answer("The versions", fields(("versions",), versions=array(version)))},
            )
        },
        "/healthcheck": _health(),
        "/v2/openapi.json": {
            "get": operation(
                "describe_api",
                "This description",
                is_open=True,
                parameters=[header("If-None-Match", "ETags that the client has")],
                answers={
                    200: json_answer("OpenAPI 3.1", {"type": "object"}, headers=_DESCRIPTION_HEADERS),
                    304: nothing("The client has it", headers=_DESCRIPTION_HEADERS),
                },
            )
        },
        **_information(),
        **schemas,
    }
