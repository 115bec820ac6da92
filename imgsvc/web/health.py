"""`/healthcheck`: tells load balancers whether the server works."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from attrs import define

from imgsvc.operations.health import OK, Finding, Health
from imgsvc.peers import Peers
from imgsvc.web.openapi.notation import FLAG, TEXT, Operation, array, fields, nothing, query
from imgsvc.web.render import answer_nothing, preferred_type
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import OpenRoute

PLAIN: Final = "text/plain"
HTML: Final = "text/html"
JSON: Final = "application/json"

_FORWARDED: Final = (b"forwarded", b"via", b"x-forwarded-for", b"x-real-ip")
"""Headers of proxies: a request with one of them comes from another client than the peer of the connection."""


@define
class HealthRoutes:
    """Answers health checks, in the formats of oslo.middleware.

    disable_file: while it exists, the status is 503; None: there is no such file. With `?detail` the catalogue and the
    stores are checked too, and the status is 503 if one of them does not work. insiders: the peers that learn which
    one.
    """

    part: ClassVar[str] = "service"

    health: Health
    insiders: Peers
    disable_file: Path | None = None

    def routes(self) -> list[OpenRoute]:
        """See RouteGroup."""
        return [OpenRoute("GET", "/healthcheck", self.check, _checking)]

    async def check(self, request: StreamingRequest) -> bytes:
        """200, 204 for HEAD, or 503. The body has the reason in the format that the Accept header asks for."""
        reason, findings = OK, None
        if self.disable_file is not None and self.disable_file.exists():
            reason = "DISABLED BY FILE"
        elif b"detail" in _names(request.uri.partition(b"?")[2]):
            findings = await self.health.look()
            if any(finding.result != OK for finding in findings):
                reason = "UNAVAILABLE"
            if not self._is_insider(request):
                findings = None
        if request.method == b"HEAD" and reason == OK:
            return answer_nothing(request)
        accept = (request.getHeader(b"accept") or b"").decode("latin-1")
        form = preferred_type(accept, [PLAIN, HTML, JSON]) or PLAIN
        body = _FORMS[form](reason, findings).encode()
        request.setResponseCode(200 if reason == OK else 503)
        request.setHeader(b"content-type", f"{form}; charset=UTF-8".encode())
        request.setHeader(b"content-length", b"%d" % len(body))
        return body

    def _is_insider(self, request: StreamingRequest) -> bool:
        return request.client in self.insiders and not any(map(request.requestHeaders.hasHeader, _FORWARDED))


def _names(query: bytes) -> set[bytes]:
    """The names of the parameters of a query, with and without values."""
    return {part.partition(b"=")[0] for part in query.split(b"&")}


def _as_text(reason: str, findings: Sequence[Finding] | None) -> str:
    return "\n".join([reason, *(f"{finding.name}: {finding.result}" for finding in findings or ())])


def _as_html(reason: str, findings: Sequence[Finding] | None) -> str:
    rows = "".join(f"<li>{html.escape(finding.name)}: {finding.result}</li>" for finding in findings or ())
    details = f"<ul>{rows}</ul>" if rows else ""
    return f"<html><head><title>Healthcheck Status</title></head><body><h1>{reason}</h1>{details}</body></html>"


def _as_json(reason: str, findings: Sequence[Finding] | None) -> str:
    if findings is None:
        return json.dumps({"detailed": False, "reasons": [reason]})
    reasons = [{"name": finding.name, "reason": finding.result} for finding in findings]
    return json.dumps({"detailed": True, "reasons": reasons})


_FORMS: Final = {PLAIN: _as_text, HTML: _as_html, JSON: _as_json}


# --- the description of the API


def _checking() -> Operation:
    summary = "Check the health of the server, for load balancers"
    detail = query("detail", "If present, with any value, the catalogue and the stores are checked too")
    content = {
        PLAIN: {"schema": TEXT},
        HTML: {"schema": TEXT},
        JSON: {"schema": fields(("detailed", "reasons"), detailed=FLAG, reasons=array({}))},
    }
    return Operation(
        "check_health",
        summary,
        parameters=[detail],
        answers={
            200: {"description": "The server works", "content": content},
            503: {"description": "The disable file exists, or a part of the server does not work", "content": content},
        },
        head=Operation(
            "check_health_briefly",
            summary,
            parameters=[detail],
            answers={204: nothing("The server works"), 503: {"description": "It does not", "content": content}},
        ),
    )
