"""Tells schemathesis more than the description has, so that its requests pass the first checks.

schemathesis imports this module by its name.
"""

from __future__ import annotations

from typing import Any, Final

import requests
import schemathesis

HEADERS: Final = {
    "X-Identity-Status": "Confirmed",
    "X-User-Id": "tester",
    "X-Project-Id": "testers",
    "X-Roles": "admin,member,reader",
}
FORMATS: Final = {"disk_format": "raw", "container_format": "bare"}
WITH_DATA: Final = {"download_image", "deactivate_image", "reactivate_image", "delete_copy", "delete_image"}
"""Operations for which the image has data. For the others it is queued."""
WITH_MEMBERS: Final = {"list_members", "show_member", "answer_share", "remove_member"}
KNOWN: Final = {"member_id": "others", "tag": "a tag", "store_id": "fast", "namespace": "known", "name": "known"}
"""Other existing names for paths."""
DEFINED = {"all": False}
"""Whether the namespace and its definitions exist, as far as this module knows."""

schemathesis.serializer.alias(
    ["application/openstack-images-v2.0-json-patch", "application/openstack-images-v2.1-json-patch"],
    "application/json",
)


def _operation_id(context: Any) -> str:
    return str(context.operation.definition.raw["operationId"]).removesuffix("_head")


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """New images can take data, unless the request sets other formats."""
    if _operation_id(context) == "create_image" and isinstance(body, dict):
        body = {**FORMATS, **body}
    return _with_integers(body)


def _with_integers(value: Any) -> Any:
    """1.0 is an integer in the schemas of OpenAPI, but not in the older schemas of the Image API."""
    if isinstance(value, dict):
        return {key: _with_integers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_integers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@schemathesis.hook
def map_headers(context: Any, headers: Any) -> Any:
    """An upload gets only one of its headers, because two that contradict the data would be refused at the first."""
    if _operation_id(context) == "upload_image" and headers and len(headers) > 1:
        return {name: value for name, value in headers.items() if name == "X-Image-Meta-Store"}
    return headers


@schemathesis.hook
def before_call(context: Any, case: Any, arguments: Any) -> None:
    """Half of all paths lead to something that exists."""
    parameters = case.path_parameters
    if not parameters or sum(map(len, map(str, parameters.values()))) % 2:
        return
    endpoint = case.operation.base_url.rstrip("/")
    for name in parameters.keys() & KNOWN.keys():
        parameters[name] = KNOWN[name]
    if "image_id" in parameters:
        parameters["image_id"] = _image(endpoint, _operation_id(context))
    if "namespace" in parameters:
        _define(endpoint)
        DEFINED["all"] = case.method == "GET"


def _image(endpoint: str, operation_id: str) -> str:
    """The id of a new image, in the state that the operation needs."""
    document = {**FORMATS, "tags": [KNOWN["tag"]], "visibility": "shared", "a": "property"}
    image_id = str(_ask("POST", f"{endpoint}/v2/images", json=document).json()["id"])
    path = f"{endpoint}/v2/images/{image_id}"
    if operation_id in WITH_MEMBERS:
        _ask("POST", f"{path}/members", json={"member": KNOWN["member_id"]})
    if operation_id in WITH_DATA:
        _ask("PUT", f"{path}/file", data=b"data", headers={"Content-Type": "application/octet-stream"})
    if operation_id == "reactivate_image":
        _ask("POST", f"{path}/actions/deactivate")
    return image_id


def _define(endpoint: str) -> None:
    """Create the namespace and its definitions, as far as they do not exist."""
    if DEFINED["all"]:
        return
    name = KNOWN["name"]
    namespaces = f"{endpoint}/v2/metadefs/namespaces"
    _ask("POST", namespaces, json={"namespace": KNOWN["namespace"]})
    path = f"{namespaces}/{KNOWN['namespace']}"
    _ask("POST", f"{path}/properties", json={"name": name, "type": "string", "title": name})
    _ask("POST", f"{path}/objects", json={"name": name})
    _ask("POST", f"{path}/tags/{name}")
    _ask("POST", f"{path}/resource_types", json={"name": name})


def _ask(method: str, url: str, headers: Any = None, **body: Any) -> requests.Response:
    answer = requests.request(method, url, headers={**HEADERS, **(headers or {})}, timeout=30, **body)
    if answer.status_code >= 400 and answer.status_code != 409:
        raise AssertionError(f"{method} {url}: {answer.status_code} {answer.text}")
    return answer
