"""Identifies the callers of requests."""

from __future__ import annotations

from attrs import frozen
from twisted.internet.defer import Deferred

from imgsvc.interfaces import IIdentity, RequestHead
from imgsvc.model import Caller
from imgsvc.web.request import StreamingRequest


@frozen
class Callers:
    """Asks the IIdentity once for each request."""

    identity: IIdentity

    async def caller_of(self, request: StreamingRequest) -> Caller:
        """The caller. Raises Unauthenticated, Forbidden, and other errors of the IIdentity."""
        method, path = request.method.decode("latin-1"), request.path.decode("latin-1")
        head = RequestHead(method, path, request.requestHeaders, request.client)
        found = self.identity.identify(head)
        return await found if isinstance(found, Deferred) else found

    def challenge(self, request: StreamingRequest) -> None:
        """Set the header WWW-Authenticate of a 401 (RFC 9110, section 11.6.1)."""
        if self.identity.challenge:
            request.setHeader(b"www-authenticate", self.identity.challenge.encode())
