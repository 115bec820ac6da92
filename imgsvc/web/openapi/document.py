"""Puts the description together."""

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
    "images": "Images as records",
    "data": "Their data",
    "members": "Projects that they are shared with",
    "tags": "Their tags, one by one",
    "actions": "What is done to them as a whole",
    "locations": "Where the copies of their data are",
    "metadefs": "Definitions of the properties that images, flavors, volumes and the like may have",
    "service": "What the server is and can do",
}
PATH_PARAMETERS: Final = {
    "image_id": "Id of an image",
    "member_id": "Id of a project",
    "namespace": "Name of a namespace of metadata definitions; in it a slash is written `%2F`",
    "name": "Name of what is in a namespace; in it a slash is written `%2F`",
    "store_id": "Id of a store",
    "tag": "A tag; in it a slash is written `%2F`",
}
DEFINED: Final = "defined_"
"""What names of components begin with that are definitions in published schemas."""
HEAD: Final = "_head"
"""What the ids of operations end with that are those of GET without its body."""
_ABOUT: Final = """\
The OpenStack Image API v2, as imgsvc serves it. What it does otherwise than Glance is listed in docs/differences.md.

Paths may begin with any version that `/versions` lists in the place of `/v2`. A path of no version is answered with
300 and the versions. Other methods of a path are answered with 405 and `Allow`, methods and transfer encodings that are
not known with 501. Where pages of other origins may use the API, OPTIONS is answered with 200 on every path.

HEAD of a path that takes GET is answered as GET would be, without a body.

Errors have HTML for a body unless `Accept` asks for JSON; without an `Accept`, plain text.
"""


def describe(groups: Iterable[RouteGroup], published: Mapping[str, Json]) -> Json:
    """The description of all routes.

    published: the schemas of `/v2/schemas/`, by name; they are those of the configuration, enumerations included.
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
        "security": [{"token": []}, {}],
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
                "request_id": sent_header("Names the request in the log: the client's own `X-Openstack-Request-Id`"),
                "store_ids": sent_header("The stores, with commas between them, if there are several"),
            },
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Auth-Token",
                    "description": "Which identity is asked for, if any, is the operator's choice.",
                }
            },
        },
    }


def _paths(found: Iterable[tuple[str, Route | OpenRoute, Operation]]) -> Json:
    """The operations by path and method, in lower case."""
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
    """HEAD in the place of GET."""
    headers = {} if get.get("security") == [] else REQUEST_ID
    return {
        **get,
        "operationId": f"{get['operationId']}{HEAD}",
        "summary": f"{get['summary']}: what GET would say, without its body",
        "responses": {
            status: {"description": answer["description"], "headers": answer.get("headers", headers)}
            for status, answer in get["responses"].items()
        },
    }


def _parameters() -> Json:
    """Those of paths, and one that all requests below `/v2` may have."""
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
    about = f"Names the request, in at most {LONGEST_REQUEST_ID} characters; `req-` is put before it if it is not there"
    found["request_id"] = header("X-Openstack-Request-Id", about)
    return found


def _schemas(published: Mapping[str, Json]) -> Json:
    """The published schemas, by the names of components, and those that only this description has."""
    image = published["image"]
    parts = {name: document for name, document in published.items() if name != "image"} | {"shown_image": image}
    found = {component_name(name): _embedded(document, parts) for name, document in published.items()}
    for document in published.values():
        for name, definition in document.get("definitions", {}).items():
            found[f"{DEFINED}{name}"] = _embed(definition, parts)
    found["shown_image"] = {
        "description": "An image as it is shown. Custom properties stand beside these.",
        "allOf": [schema("image"), {"required": list(ALWAYS_SHOWN)}],
    }
    found["new_image"] = {
        "description": "What an image is made of. Custom properties stand beside these.",
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
    """A schema as a component. Its definitions, which schemas share, are components, too."""
    return {
        "type": "object",
        **{key: _embed(item, parts) for key, item in document.items() if key != "definitions"},
    }


def _embed(value: Any, parts: Mapping[str, Json]) -> Any:
    """A part of a schema; whatever of it is one of `parts` is referred to."""
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
