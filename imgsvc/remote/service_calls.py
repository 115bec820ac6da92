"""Requests to JSON services, and their responses."""

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
    """timeout: seconds of a call at most, with all attempts and pauses. largest: bytes of a response's body at most.

    attempts: how often a request is sent at most. pause: seconds before the second attempt. Each further pause is twice
    as long as the one before. No pause is shorter than a Retry-After header says. There is no further attempt if the
    call would end before it.
    """

    timeout: float = 10.0
    largest: int = 256 << 10
    attempts: int = 3
    pause: float = 0.25


@frozen
class ServiceRequest:
    """One request.

    path: path and query below the endpoint; begins with a slash. accept: content type of the response. document: sent
    as JSON; None: no body. token: the caller's token for X-Auth-Token; None: the token of this server, if there is one.
    repeatable: whether the request may be sent twice, as GET and HEAD always may. Other requests are sent again only if
    no connection was made.
    """

    method: str
    path: str
    accept: str = "application/json"
    document: object = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    repeatable: bool = False


@frozen
class ServiceAnswer:
    """A response of status 200 to 299, or 400 to 499 except 429. service: its name, for messages."""

    service: str
    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)

    def document(self) -> object:
        """The body, parsed as JSON. Raises ServiceUnavailable: it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise ServiceUnavailable(
                self.service, f"The answer of {self.service} is not JSON.", is_down=False
            ) from None


class TokenSource(Protocol):
    """Gives the token that the server itself uses for services."""

    def token(self) -> Deferred[str | None]:
        """The token; None if there is none. Raises ServiceUnavailable."""

    def forget(self, token: str) -> None:
        """Drop a token that a service has refused: the next `token` must get another."""
