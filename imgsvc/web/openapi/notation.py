"""What the parts of the description are written with: Python for the objects of OpenAPI 3.1."""

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
    403: "Where nobody has an identity: a page of another origin asks, or by a name that is not the server's",
    503: (
        "What the answer depends on does not answer now: the catalogue, a store, the identity service; or there is no"
        " memory for a body of that size"
    ),
}

WITH_BODY: Final = {
    413: "The body is longer than 1 MiB, or holds more than 20,000 values",
    415: "The body has a Content-Encoding",
}
_WITH_BODY_HEADERS: Final[Mapping[int, Json]] = {
    415: {"Accept-Encoding": {"description": "`identity`, if it was the encoding", "schema": {"const": "identity"}}}
}

NO_IMAGE: Final = "There is no such image, or the caller may not see it"
NOT_CHANGED: Final = "The caller sees the image, but may not change it"
CHANGED: Final = "The image was changed by others at the same time"

REQUEST_ID: Final = {"X-Openstack-Request-Id": {"$ref": "#/components/headers/request_id"}}
"""Headers of all answers below `/v2`."""

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
"""The body of an answer that tells of a failure."""


def reference(kind: str, name: str, description: str | None = None) -> Json:
    """A reference to a component, with a description of its own or that of the component."""
    found = {"$ref": f"#/components/{kind}/{component_name(name)}"}
    return found if description is None else {**found, "description": description}


def schema(name: str) -> Json:
    """A reference to a schema, by the name under which it is published (`metadefs/object`) or listed here."""
    return reference("schemas", name)


def component_name(name: str) -> str:
    """Names of components hold no slash."""
    return name.replace("/", "_")


@frozen
class Operation:
    """What the description says of a route. Each route has a function that makes it when the description is asked for.

    operation_id: unique. answers: what success looks like, by status. errors: when each status comes that tells of a
    failure, beside those that every operation has. error_headers: of those answers, beside the one that all have.
    parameters: beside those of the path. body: of the request. head: what is said of HEAD where that is not the answer
    to GET without its body. schemas: those that it refers to, by name, beside the published ones.
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
        """The operation as OpenAPI has it. is_open: it needs no identity."""
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
        """All answers, by status."""
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
    """An answer with a JSON body. more: headers, links."""
    return {"description": description, "content": {"application/json": {"schema": content}}, **more}


def nothing(description: str, **more: Json) -> Json:
    """An answer without a body."""
    return {"description": description, **more}


def json_body(content: Json, description: str | None = None) -> Json:
    """The JSON body of a request, which must be there."""
    body: Json = {"required": True, "content": {"application/json": {"schema": content}}}
    return body if description is None else {**body, "description": description}


def query(name: str, description: str, content: Json = TEXT, **more: Any) -> Json:
    """A parameter of the query."""
    return {"name": name, "in": "query", "description": description, "schema": content, **more}


def header(name: str, description: str, content: Json = TEXT, **more: Any) -> Json:
    """A header of a request."""
    return {"name": name, "in": "header", "description": description, "schema": content, **more}


def sent_header(description: str, content: Json = TEXT) -> Json:
    """A header of an answer."""
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
    """What can be done next with what an answer holds."""
    return {"operationId": operation_id, "description": description, "parameters": parameters}
