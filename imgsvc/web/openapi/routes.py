"""`/v2/openapi.json`: the description of the API, for programs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property

from werkzeug.http import parse_etags

from imgsvc.web.openapi.notation import Json
from imgsvc.web.render import answer_nothing
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import OpenRoute


class DescriptionRoutes:
    """Gives one document to everybody: what it says stands in public documents, too."""

    def __init__(self, published: Mapping[str, Json]) -> None:
        """published: the schemas of `/v2/schemas/`, by name."""
        self._published = published

    @cached_property
    def document(self) -> Json:
        """The description, made when it is first asked for: until then none of its parts is imported."""
        from imgsvc.web.openapi.document import describe

        return describe(self._published)

    @cached_property
    def _answer(self) -> tuple[bytes, str]:
        """The body and its tag."""
        body = json.dumps(self.document, ensure_ascii=False).encode()
        return body, hashlib.sha256(body).hexdigest()

    def routes(self) -> list[OpenRoute]:
        """See RouteGroup."""
        return [OpenRoute("GET", "/v2/openapi.json", self.show)]

    async def show(self, request: StreamingRequest) -> bytes:
        """200, or 304."""
        body, etag = self._answer
        request.setHeader("etag", f'"{etag}"')
        if parse_etags(request.getHeader("if-none-match")).contains_weak(etag):
            return answer_nothing(request, 304)
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"content-length", b"%d" % len(body))
        return body
