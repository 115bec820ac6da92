"""The part of Barbican's API that the client of certificates uses (its API guide, "Secrets"), without Barbican."""

from __future__ import annotations

import json

from attrs import define, field
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 406: "Not Acceptable", 500: "Internal Server Error"}


@define
class Secret:
    """One secret. readers: the tokens that may read it."""

    payload: bytes
    content_type: str | None = "application/octet-stream"
    status: str = "ACTIVE"
    readers: frozenset[str] = frozenset({"token"})


@define(eq=False)
class Barbican(Resource):
    """The API, with secrets by their ids.

    tokens: the valid ones. broken: `fault`, `hang`, `hang-payload`, `redirect`, `nonsense`: what it does instead of
    answering. asked: method, path, Accept and token of every request.
    """

    secrets: dict[str, Secret] = field(factory=dict)
    tokens: frozenset[str | None] = frozenset({"token", "other"})
    broken: str = ""
    asked: list[tuple[str, str, str | None, str | None]] = field(factory=list)
    hanging: list[Request] = field(factory=list)
    isLeaf = True

    def __attrs_post_init__(self) -> None:
        Resource.__init__(self)

    def render(self, request: Request) -> bytes | int:
        """See IResource."""
        path = request.path.decode()
        token, accept = request.getHeader("x-auth-token"), request.getHeader("accept")
        self.asked.append((request.method.decode(), path, accept, token))
        parts = path.strip("/").split("/")
        is_payload = parts[3:] == ["payload"]
        if self.broken == "hang" or (self.broken == "hang-payload" and is_payload):
            self.hanging.append(request)
            if is_payload:
                request.write(b"-----BEGIN")
            return NOT_DONE_YET
        if self.broken == "fault":
            return _error(request, 500)
        if self.broken == "redirect":
            request.redirect(b"http://elsewhere.example/")
            return b""
        if token not in self.tokens:
            return _error(request, 401)
        secret = self.secrets.get(parts[2]) if parts[:2] == ["v1", "secrets"] and len(parts) in (3, 4) else None
        if secret is None:
            return _error(request, 404)
        if token is not None and token not in secret.readers:
            return _error(request, 403)
        if is_payload:
            if accept != secret.content_type:
                return _error(request, 406)
            request.setHeader("content-type", secret.content_type)
            return secret.payload
        request.setHeader("content-type", "application/json")
        if self.broken == "nonsense":
            return b"[1"
        document = {
            "algorithm": None,
            "bit_length": None,
            "created": "2026-06-01T12:00:00",
            "creator_id": "someone",
            "expiration": None,
            "mode": None,
            "name": "signer",
            "secret_ref": f"http://barbican.example{path}",
            "secret_type": "certificate",
            "status": secret.status,
            "updated": "2026-06-01T12:00:00",
        }
        if secret.content_type is not None:
            document["content_types"] = {"default": secret.content_type}
        return json.dumps(document).encode()


def _error(request: Request, code: int) -> bytes:
    request.setResponseCode(code)
    request.setHeader("content-type", "application/json")
    return json.dumps({"code": code, "title": REASONS[code], "description": "."}).encode()
