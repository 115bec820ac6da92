"""Asks Keystone about tokens. Source: Keystone's API guide, "Validate and show information for token"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults

from imgsvc.errors import ServiceUnavailable
from imgsvc.identity.keystone.facts import KEYSTONE, TokenFacts, endpoint_of, token_facts, token_of
from imgsvc.identity.keystone.own_token import OwnToken
from imgsvc.identity.keystone.settings import Account, versioned
from imgsvc.logger import make_logger
from imgsvc.remote.json_service import JsonService
from imgsvc.remote.service_calls import ServiceRequest, TokenSource

__all__ = ["Connect", "Finding", "KeystoneClient"]

log = make_logger()

Connect = Callable[[str, TokenSource | None], JsonService]
"""Makes the client of the Keystone at a URL, which uses the tokens of a source."""

_ACCESS_RULES: Final = {"OpenStack-Identity-Access-Rules": "1"}
"""Without this header Keystone does not accept tokens that have access rules."""


@frozen
class Finding:
    """What Keystone says of a token. facts: None if the token is not valid. size: bytes of the answer."""

    facts: TokenFacts | None
    size: int = 0


class KeystoneClient:
    """Checks tokens at Keystone: at `auth_url`, or at the endpoint of its catalogue that the operator has chosen."""

    def __init__(self, account: Account, connect: Connect, now: Callable[[], float]) -> None:
        """account: the server's own. now: the time in seconds since 1970. Raises ConfigurationError."""
        self._account = account
        self._connect = connect
        login = connect(account.auth_url, None)
        self._own = OwnToken(login, account.auth, now, self._found if account.interface else None)
        self._url = account.auth_url
        self._service = connect(self._url, self._own)
        self._services = [login, self._service]

    async def check(self, token: str, allow_expired: bool) -> Finding:
        """What Keystone says of a token.

        token: printable ASCII. allow_expired: whether a token counts, too, that has expired lately; Keystone's option
        `allow_expired_window` says how lately. Raises ServiceUnavailable.
        """
        await self._own.token()  # its catalogue says which service to ask
        path = "/auth/tokens?nocatalog" + ("&allow_expired=1" if allow_expired else "")
        request = ServiceRequest("GET", path, headers={"X-Subject-Token": token, **_ACCESS_RULES})
        answer = await self._service.ask(request)
        if answer.status == 200:
            return Finding(token_facts(token_of(answer)), len(answer.body))
        if answer.status == 404:
            return Finding(None)
        log.error("Keystone answers {status} to the check of a token", status=answer.status)
        # 401 and 403 are about the server's own token.
        is_down = answer.status in (401, 403)
        raise ServiceUnavailable(KEYSTONE, f"Keystone has answered {answer.status}.", is_down)

    async def check_account(self) -> None:
        """Log in, and check the server's own token. Raises ServiceUnavailable: the account is of no use."""
        token = await self._own.token()
        assert token is not None
        if (await self.check(token, False)).facts is None:
            raise ServiceUnavailable(KEYSTONE, "Keystone does not know the token that it has given.")

    def stop(self) -> Deferred[None]:
        """End all requests. They and all later ones fail with ServiceUnavailable."""
        return gatherResults([service.stop() for service in self._services]).addCallback(lambda _: None)

    def _found(self, token: Mapping[str, object]) -> None:
        """Called with the description of each new token of the server, which has the catalogue."""
        interface, region = self._account.interface, self._account.region
        url = endpoint_of(token, interface, region)
        if url is None:
            where = f"in the region {region}" if region else "in any region"
            raise ServiceUnavailable(KEYSTONE, f"Keystone's catalogue has no {interface} endpoint of itself {where}.")
        if versioned(url) != self._url:
            self._url = versioned(url)
            self._service = self._connect(self._url, self._own)
            self._services.append(self._service)
