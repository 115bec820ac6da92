"""Who makes a request."""

from __future__ import annotations

from attrs import frozen
from twisted.internet.defer import Deferred

from imgsvc.interfaces import IIdentity
from imgsvc.model import Caller
from imgsvc.web.request import StreamingRequest


@frozen
class Callers:
    """Asks the identity once for each request."""

    identity: IIdentity

    async def caller_of(self, request: StreamingRequest) -> Caller:
        """The caller. Raises Unauthenticated, Forbidden, and what else the identity refuses with."""
        found = self.identity.identify(request.requestHeaders, request.client)
        return await found if isinstance(found, Deferred) else found

    def challenge(self, request: StreamingRequest) -> None:
        """Tell in the headers of a 401 how a client identifies itself (RFC 9110, section 11.6.1)."""
        if self.identity.challenge:
            request.setHeader(b"www-authenticate", self.identity.challenge.encode())
