"""`/healthcheck`: whether a load balancer is to send clients here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from attrs import define
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from imgsvc.web.render import answer_nothing
from imgsvc.web.routes import Route
from imgsvc.web.site import StreamingRequest

PLAIN: Final = "text/plain"
HTML: Final = "text/html"
JSON: Final = "application/json"


@define
class HealthRoutes:
    """disable_file: while it exists, the answer is 503; None: never. In the forms of oslo.middleware's health check."""

    disable_file: Path | None = None

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        return [Route(method, "/healthcheck", self.check, open=True) for method in ("GET", "HEAD")]

    async def check(self, request: StreamingRequest) -> bytes:
        """200, 204 for HEAD, or 503, with the reason in what the Accept header asks for."""
        disabled = self.disable_file is not None and self.disable_file.exists()
        if request.method == b"HEAD" and not disabled:
            return answer_nothing(request)
        reason = "DISABLED BY FILE" if disabled else "OK"
        accept = (request.getHeader(b"accept") or b"").decode("latin-1")
        form = parse_accept_header(accept, MIMEAccept).best_match([PLAIN, HTML, JSON], default=PLAIN)
        body = {
            PLAIN: reason,
            HTML: f"<html><head><title>Healthcheck Status</title></head><body><h1>{reason}</h1></body></html>",
            JSON: json.dumps({"detailed": False, "reasons": [reason]}),
        }[form].encode()
        request.setResponseCode(503 if disabled else 200)
        request.setHeader(b"content-type", f"{form}; charset=UTF-8".encode())
        request.setHeader(b"content-length", b"%d" % len(body))
        return body
