"""What schemathesis is told beside the description, so that what it makes gets beyond the first check.

It imports this module by its name.
"""

from __future__ import annotations

from typing import Any

import schemathesis

schemathesis.serializer.alias(
    ["application/openstack-images-v2.0-json-patch", "application/openstack-images-v2.1-json-patch"],
    "application/json",
)


def _is(context: Any, operation_id: str) -> bool:
    return bool(context.operation.definition.raw.get("operationId") == operation_id)


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """New images can take data, unless they were given other formats."""
    if _is(context, "create_image") and isinstance(body, dict):
        body = {"disk_format": "raw", "container_format": "bare", **body}
    return _with_integers(body)


def _with_integers(value: Any) -> Any:
    """To the schemas of OpenAPI 1.0 is an integer; to those of the Image API, which are older, it is none."""
    if isinstance(value, dict):
        return {key: _with_integers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_integers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@schemathesis.hook
def map_headers(context: Any, headers: Any) -> Any:
    """Of all that an upload may be told, it is told one thing: two that no data fits are refused at the first."""
    if _is(context, "upload_image") and headers and len(headers) > 1:
        return {name: value for name, value in headers.items() if name == "X-Image-Meta-Store"}
    return headers
