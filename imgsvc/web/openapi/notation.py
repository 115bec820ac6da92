"""Functions and values for writing the objects of OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

Json = dict[str, Any]

TEXT: Final = {"type": "string"}
FLAG: Final = {"type": "boolean"}
COUNT: Final = {"type": "integer", "minimum": 0}

EVERYWHERE: Final = {
    400: "The request is malformed",
    414: "The path or the query is too long",
    431: "The headers are too large",
}
IDENTIFIED: Final = {
    401: "The request carries no valid identity",
    403: "The request comes from a page of another origin, or has a foreign host name",
    429: "Too many wrong passwords came from this address, or for this user",
    503: (
        "The catalogue, a store or the identity service does not answer, or there is no memory for a body of that size"
    ),
}

WITH_BODY: Final = {
    413: "The body is longer than 1 MiB, or holds more than 20,000 values",
    415: "The body has a Content-Encoding",
}
_WITH_BODY_HEADERS: Final[Mapping[int, Json]] = {
    415: {"Accept-Encoding": {"description": "`identity`, if the encoding is wrong", "schema": {"const": "identity"}}}
}

NO_IMAGE: Final = "There is no such image, or the caller may not see it"
NOT_CHANGED: Final = "The caller may see the image, but not change it"
CHANGED: Final = "Another request changed the image at the same time"

REQUEST_ID: Final = {"X-Openstack-Request-Id": {"$ref": "#/components/headers/request_id"}}
"""Headers of all responses below `/v2`."""

_MESSAGE: Final = {
    "type": "object",
    "properties": {"message": TEXT, "code": {**TEXT, "examples": ["404 Not Found"]}, "title": TEXT},
    "required": ["message", "code", "title"],
}
ERROR: Final = {
    "text/html": {"schema": TEXT},
    "application/json": {"schema": _MESSAGE},
    "text/plain": {"schema": TEXT},
}
"""The body of an error."""


def reference(kind: str, name: str, description: str | None = None) -> Json:
    """A reference to a component. description: replaces that of the component."""
    found = {"$ref": f"#/components/{kind}/{component_name(name)}"}
    return found if description is None else {**found, "description": description}


def schema(name: str) -> Json:
    """A reference to a schema.

    name: of a published schema, such as `metadefs/object`, or of one of this description.
    """
    return reference("schemas", name)


def component_name(name: str) -> str:
    """The name of a component for `name`. It has no slash."""
    return name.replace("/", "_")


@frozen
class Operation:
    """The description of a route. Each route has a function that makes it when a client asks for the description.

    operation_id: unique. answers: the successful responses, by status. errors: the reasons of failures, by status, in
    addition to those of all operations. error_headers: headers of these responses, in addition to the common one.
    parameters: in addition to those of the path. body: of the request. head: the operation HEAD if it is not GET
    without its body. schemas: that it refers to, by name, in addition to the published ones.
    """

    operation_id: str
    summary: str
    answers: Mapping[int, Json]
    errors: Mapping[int, str] = field(factory=dict)
    error_headers: Mapping[int, Json] = field(factory=dict)
    parameters: Sequence[Json] = ()
    body: Json | None = None
    description: str | None = None
    head: Operation | None = None
    schemas: Mapping[str, Json] = field(factory=dict)

    def document(self, is_open: bool) -> Json:
        """The operation as an OpenAPI object. is_open: whether it needs no identity."""
        found: Json = {"operationId": self.operation_id, "summary": self.summary}
        if self.description is not None:
            found["description"] = self.description
        parameters = list(self.parameters)
        if not is_open:
            parameters.append(reference("parameters", "request_id"))
        if parameters:
            found["parameters"] = parameters
        if self.body is not None:
            found["requestBody"] = self.body
        responses = self._responses(is_open)
        found["responses"] = {str(status): responses[status] for status in sorted(responses)}
        if is_open:
            found["security"] = []
        return found

    def _responses(self, is_open: bool) -> dict[int, Json]:
        """All responses, by status."""
        reasons = {**EVERYWHERE, **({} if is_open else IDENTIFIED), **(WITH_BODY if self.body else {}), **self.errors}
        common = {} if is_open else REQUEST_ID
        responses = {
            status: {**answer, "headers": {**common, **answer.get("headers", {})}}
            for status, answer in self.answers.items()
        }
        responses.update({status: reference("responses", "error", reason) for status, reason in reasons.items()})
        special = dict(self.error_headers)
        for status, headers in (_WITH_BODY_HEADERS if self.body else {}).items():
            special[status] = {**headers, **special.get(status, {})}
        for status, headers in special.items():
            responses[status] = {
                "description": reasons[status],
                "headers": {**REQUEST_ID, **headers},
                "content": ERROR,
            }
        return responses


def json_answer(description: str, content: Json, **more: Json) -> Json:
    """A response with a JSON body. more: headers, links."""
    return {"description": description, "content": {"application/json": {"schema": content}}, **more}


def nothing(description: str, **more: Json) -> Json:
    """A response without a body."""
    return {"description": description, **more}


def json_body(content: Json, description: str | None = None) -> Json:
    """The JSON body of a request, which is required."""
    body: Json = {"required": True, "content": {"application/json": {"schema": content}}}
    return body if description is None else {**body, "description": description}


def query(name: str, description: str, content: Json = TEXT, **more: Any) -> Json:
    """A parameter of the query."""
    return {"name": name, "in": "query", "description": description, "schema": content, **more}


def header(name: str, description: str, content: Json = TEXT, **more: Any) -> Json:
    """A header of a request."""
    return {"name": name, "in": "header", "description": description, "schema": content, **more}


def sent_header(description: str, content: Json = TEXT) -> Json:
    """A header of a response."""
    return {"description": description, "schema": content}


def fields(required: Sequence[str] = (), **properties: Json) -> Json:
    """An object with these properties."""
    found: Json = {"type": "object", "properties": properties}
    return {**found, "required": list(required)} if required else found


def array(items: Json, **more: Any) -> Json:
    """An array."""
    return {"type": "array", "items": items, **more}


def choice(*values: str | None) -> Json:
    """One of these values."""
    return {"enum": list(values)}


def link(operation_id: str, description: str, **parameters: str) -> Json:
    """A further operation for the content of a response."""
    return {"operationId": operation_id, "description": description, "parameters": parameters}
