"""What is asked of a JSON service, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers

from imgsvc.errors import ServiceUnavailable

__all__ = ["ServiceAnswer", "ServiceLimits", "ServiceRequest", "TokenSource"]


@frozen
class ServiceLimits:
    """timeout: seconds that a call takes at most, all attempts and pauses together. largest: bytes of an answer's body.

    attempts: how often a request is sent at most. pause: seconds before the second attempt; each further pause is twice
    as long as the one before, and at least as long as a Retry-After says.
    """

    timeout: float = 10.0
    largest: int = 256 << 10
    attempts: int = 3
    pause: float = 0.25


@frozen
class ServiceRequest:
    """One request.

    path: below the endpoint, with the query; begins with a slash. document: what is sent as JSON; None: no body.
    token: the caller's, shown as X-Auth-Token; None: the service's own, if there is one. repeatable: whether it does no
    harm to send it twice, as that of GET and HEAD; others are sent again only if no connection was made.
    """

    method: str
    path: str
    accept: str = "application/json"
    document: object = None
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(factory=dict)
    repeatable: bool = False


@frozen
class ServiceAnswer:
    """An answer of 200 to 299 or 400 to 499. service: whose, for messages."""

    service: str
    status: int
    headers: Headers
    body: bytes

    def document(self) -> object:
        """The body as JSON. Raises ServiceUnavailable if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise ServiceUnavailable(self.service, f"{self.service} has answered what is not JSON.") from None


class TokenSource(Protocol):
    """Where the token comes from that the server itself shows to services."""

    def token(self) -> Deferred[str | None]:
        """The token; None: there is none. Raises ServiceUnavailable."""

    def forget(self, token: str) -> None:
        """A service has refused this token: the next one must be another."""
