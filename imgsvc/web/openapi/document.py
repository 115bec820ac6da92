"""Assembles the description of the API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from imgsvc import __version__
from imgsvc.image_fields import names_of
from imgsvc.web.fields import LONGEST_KEY, RESERVED
from imgsvc.web.openapi.notation import ERROR, REQUEST_ID, Json, Operation, component_name, header, schema, sent_header
from imgsvc.web.request_ids import LONGEST_REQUEST_ID
from imgsvc.web.routes import OpenRoute, Route, RouteGroup

OPENAPI: Final = "3.1.1"
ALWAYS_SHOWN: Final = names_of(lambda field: field.always_shown)
PARTS: Final = {
    "images": "Records of images",
    "data": "Data of images",
    "members": "Projects that images are shared with",
    "tags": "Single tags of images",
    "actions": "Actions on images",
    "locations": "Locations of the copies of the data",
    "metadefs": "Definitions of the properties of images, flavors, volumes and the like",
    "service": "Information about the server",
}
PATH_PARAMETERS: Final = {
    "image_id": "Id of an image",
    "member_id": "Id of a project",
    "namespace": "Name of a namespace of metadata definitions. A slash in it is written as `%2F`",
    "name": "Name of a definition in a namespace. A slash in it is written as `%2F`",
    "store_id": "Id of a store",
    "tag": "A tag. A slash in it is written as `%2F`",
}
DEFINED: Final = "defined_"
"""The prefix of the names of components that are definitions in published schemas."""
HEAD: Final = "_head"
"""The suffix of the ids of HEAD operations that were derived from GET."""
_ABOUT: Final = """\
The OpenStack Image API v2 of imgsvc. docs/differences.md lists the differences from Glance.

A path may begin with any version that `/versions` lists instead of `/v2`. A path without a version gets 300 with the
versions. Other methods of a path get 405 with `Allow`. Unknown methods and transfer encodings get 501. If pages of
other
origins may use the API, OPTIONS gets 200 on every path.

HEAD of a path that accepts GET gets the response of GET without its body.

The body of an error is HTML, or JSON if `Accept` asks for it, or plain text if there is no `Accept`.
"""


def describe(groups: Iterable[RouteGroup], published: Mapping[str, Json]) -> Json:
    """The description of all routes.

    published: the schemas of `/v2/schemas/`, by name. They contain the formats and properties of the configuration.
    """
    found = [(group.part, route, route.describe()) for group in groups for route in group.routes()]
    found.sort(key=lambda each: list(PARTS).index(each[0]))
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "imgsvc",
            "version": __version__,
            "summary": "OpenStack Image API v2",
            "description": _ABOUT,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"password": []}, {}],
        "tags": [{"name": name, "description": description} for name, description in PARTS.items()],
        "paths": _paths(found),
        "components": {
            "schemas": {
                **_schemas(published),
                **{name: schema for _, _, operation in found for name, schema in operation.schemas.items()},
            },
            "responses": {
                "error": {
                    "description": "The request failed, and changed nothing",
                    "headers": REQUEST_ID,
                    "content": ERROR,
                }
            },
            "parameters": _parameters(),
            "headers": {
                "request_id": sent_header("Id of the request in the log; the client may choose it"),
                "store_ids": sent_header("The stores, separated by commas, if there are several"),
            },
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Auth-Token",
                    "description": "The operator chooses whether an identity is needed, and which one.",
                },
                "password": {"type": "http", "scheme": "basic", "description": "If the server has its own users."},
            },
        },
    }


def _paths(found: Iterable[tuple[str, Route | OpenRoute, Operation]]) -> Json:
    """The operations, by path and method in lower case."""
    paths: Json = {}
    for part, route, operation in found:
        path = re.sub(r"<(\w+)>", r"{\1}", route.path)
        item = paths.setdefault(path, {})
        parameters = [{"$ref": f"#/components/parameters/{name}"} for name in re.findall(r"{(\w+)}", path)]
        if parameters:
            item["parameters"] = parameters
        is_open = isinstance(route, OpenRoute)
        document = {"tags": [part], **operation.document(is_open)}
        item[route.method.lower()] = document
        if operation.head is not None:
            item["head"] = {"tags": [part], **operation.head.document(is_open)}
        elif route.method == "GET":
            item["head"] = _without_bodies(document)
    return paths


def _without_bodies(get: Json) -> Json:
    """The operation HEAD, made from that of GET."""
    headers = {} if get.get("security") == [] else REQUEST_ID
    return {
        **get,
        "operationId": f"{get['operationId']}{HEAD}",
        "summary": f"{get['summary']}: the response of GET without its body",
        "responses": {
            status: {"description": answer["description"], "headers": answer.get("headers", headers)}
            for status, answer in get["responses"].items()
        },
    }


def _parameters() -> Json:
    """The parameters of paths, and one header that all requests below `/v2` may have."""
    found = {
        name: {
            "name": name,
            "in": "path",
            "required": True,
            "description": description,
            "schema": {"type": "string", "minLength": 1},
        }
        for name, description in PATH_PARAMETERS.items()
    }
    about = f"Id of the request, at most {LONGEST_REQUEST_ID} characters. The prefix `req-` is added if it is missing"
    found["request_id"] = header("X-Openstack-Request-Id", about)
    return found


def _schemas(published: Mapping[str, Json]) -> Json:
    """The published schemas, by the names of components, and the schemas that only this description has."""
    image = published["image"]
    parts = {name: document for name, document in published.items() if name != "image"} | {"shown_image": image}
    found = {component_name(name): _embedded(document, parts) for name, document in published.items()}
    for document in published.values():
        for name, definition in document.get("definitions", {}).items():
            found[f"{DEFINED}{name}"] = _embed(definition, parts)
    found["shown_image"] = {
        "description": "An image in a response. Custom properties are further keys.",
        "allOf": [schema("image"), {"required": list(ALWAYS_SHOWN)}],
    }
    found["new_image"] = {
        "description": "A new image. Custom properties are further keys.",
        "type": "object",
        "properties": {
            key: value
            for key, value in image["properties"].items()
            if not value.get("readOnly") and key not in RESERVED
        },
        "propertyNames": {"maxLength": LONGEST_KEY, "pattern": r"\S"},
        "additionalProperties": image["additionalProperties"],
    }
    return found


def _embedded(document: Json, parts: Mapping[str, Json]) -> Json:
    """A schema as a component. Its definitions, which schemas share, are components too."""
    return {
        "type": "object",
        **{key: _embed(item, parts) for key, item in document.items() if key != "definitions"},
    }


def _embed(value: Any, parts: Mapping[str, Json]) -> Any:
    """A part of a schema, in which each occurrence of one of `parts` is replaced by a reference."""
    if isinstance(value, list):
        return [_embed(item, parts) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("$ref"), str):
        return schema(value["$ref"].replace("#/definitions/", DEFINED))
    for name, part in parts.items():
        if value == part:
            return schema(name)
    return {key: _embed(item, parts) for key, item in value.items()}
