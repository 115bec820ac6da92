"""`/v2/openapi.json`: the description of the API, for programs."""

from __future__ import annotations

import hashlib
import json

from werkzeug.http import parse_etags

from imgsvc.web.openapi.notation import Json
from imgsvc.web.render import answer_nothing
from imgsvc.web.routes import Route
from imgsvc.web.site import StreamingRequest


class DescriptionRoutes:
    """Gives one document to everybody: what it says stands in public documents, too."""

    def __init__(self, document: Json) -> None:
        self._body = json.dumps(document, ensure_ascii=False).encode()
        self._etag = hashlib.sha256(self._body).hexdigest()

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        return [Route("GET", "/v2/openapi.json", self.show, open=True)]

    async def show(self, request: StreamingRequest) -> bytes:
        """200, or 304."""
        request.setHeader("etag", f'"{self._etag}"')
        if parse_etags(request.getHeader("if-none-match")).contains_weak(self._etag):
            return answer_nothing(request, 304)
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"content-length", b"%d" % len(self._body))
        return self._body
