"""One line in the log for each request."""

from __future__ import annotations

import txaio

from imgsvc.web.request import StreamingRequest

log = txaio.make_logger()


def log_access(request: StreamingRequest) -> None:
    """Called with each request that was answered."""
    caller = request.caller
    log.info(
        "{client} {user} {method} {uri} {code} {sent}",
        request_id=request.request_id,
        client=getattr(request.client, "host", "unix"),
        user=caller.user_id if caller is not None else None,
        method=request.method.decode("latin-1"),
        uri=request.uri.decode("latin-1"),
        code=request.code,
        sent=request.sentLength,
    )
