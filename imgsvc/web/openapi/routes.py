"""The description of the API for programs: `/v2/openapi.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import ClassVar

from werkzeug.http import parse_etags

from imgsvc.web.openapi.notation import REQUEST_ID, Json, Operation, header, json_answer, nothing, sent_header
from imgsvc.web.render import answer_nothing
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import OpenRoute, RouteGroup


class DescriptionRoutes:
    """Shows the description to everybody, because its content is public."""

    part: ClassVar[str] = "service"

    def __init__(self, groups: Iterable[RouteGroup], published: Mapping[str, Json]) -> None:
        """groups: all other route groups. published: the schemas of `/v2/schemas/`, by name."""
        self._groups = groups
        self._published = published

    @cached_property
    def document(self) -> Json:
        """The description. It is made at the first request for it."""
        from imgsvc.web.openapi.document import describe

        return describe((*self._groups, self), self._published)

    @cached_property
    def _answer(self) -> tuple[bytes, str]:
        """The body and its entity tag."""
        body = json.dumps(self.document, ensure_ascii=False).encode()
        return body, hashlib.sha256(body).hexdigest()

    def routes(self) -> list[OpenRoute]:
        """See RouteGroup."""
        return [OpenRoute("GET", "/v2/openapi.json", self.show, _showing)]

    async def show(self, request: StreamingRequest) -> bytes:
        """200, or 304."""
        body, etag = self._answer
        request.setHeader("etag", f'"{etag}"')
        if parse_etags(request.getHeader("if-none-match")).contains_weak(etag):
            return answer_nothing(request, 304)
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"content-length", b"%d" % len(body))
        return body


def _showing() -> Operation:
    headers = {**REQUEST_ID, "ETag": sent_header("Its digest")}
    return Operation(
        "describe_api",
        "This description",
        parameters=[header("If-None-Match", "ETags that the client has")],
        answers={
            200: json_answer("OpenAPI 3.1", {"type": "object"}, headers=headers),
            304: nothing("The client has it", headers=headers),
        },
    )
