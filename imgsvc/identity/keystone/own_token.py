"""The token of the server itself, which Keystone wants to see before it says anything of another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from attrs import field, frozen
from twisted.internet.defer import Deferred, succeed

from imgsvc.errors import ServiceUnavailable
from imgsvc.identity.keystone.facts import KEYSTONE, expiry_of, token_of
from imgsvc.joined import Joined
from imgsvc.logger import make_logger
from imgsvc.remote.json_service import JsonService
from imgsvc.remote.service_calls import ServiceRequest

__all__ = ["OwnToken"]

log = make_logger()

SPARE: Final = 30.0
"""Seconds before its end when a token is renewed. One that does not live twice as long is renewed after half its life.
"""


@frozen
class _Token:
    """text: the token. until: when to renew it, in seconds since 1970."""

    text: str = field(repr=False)
    until: float


class OwnToken:
    """Gets a token by the server's credentials when it is needed, and renews it in time. It is a TokenSource."""

    def __init__(
        self,
        service: JsonService,
        auth: Mapping[str, object],
        now: Callable[[], float],
        catalogue: Callable[[Mapping[str, object]], None] | None = None,
    ) -> None:
        """service: Keystone, without tokens. auth: the object `auth` of the request for a token. now: the time in
        seconds since 1970. catalogue: called with each new token's description; None: no catalogue is needed.
        """
        self._service = service
        self._auth = auth
        self._now = now
        self._catalogue = catalogue
        self._token: _Token | None = None
        self._renewals: Joined[None, str | None] = Joined()

    def token(self) -> Deferred[str | None]:
        """See TokenSource. Fails with ServiceUnavailable: no token can be had now."""
        token = self._token
        if token is not None and self._now() < token.until:
            return succeed(token.text)
        return self._renewals.wait(None, lambda: Deferred.fromCoroutine(self._renewed()))

    def forget(self, token: str) -> None:
        """See TokenSource."""
        if self._token is not None and self._token.text == token:
            self._token = None

    async def _renewed(self) -> str:
        try:
            self._token = token = await self._login()
        except ServiceUnavailable as error:
            raise ServiceUnavailable(KEYSTONE, str(error)) from error  # which makes all other requests fail, too
        return token.text

    async def _login(self) -> _Token:
        path = "/auth/tokens" if self._catalogue else "/auth/tokens?nocatalog"
        answer = await self._service.ask(ServiceRequest("POST", path, document={"auth": self._auth}, repeatable=True))
        [text, *_] = answer.headers.getRawHeaders("x-subject-token") or [""]
        if answer.status != 201 or not text:
            log.error(
                "Keystone answers {status} to the credentials of [identity.keystone]: are they right?",
                status=answer.status,
            )
            raise ServiceUnavailable(KEYSTONE, "Keystone does not accept the credentials of this server.")
        token = token_of(answer)
        expires_at = expiry_of(token)
        if self._catalogue is not None:
            self._catalogue(token)
        life = expires_at - self._now()
        return _Token(text, expires_at - min(SPARE, life / 2))
