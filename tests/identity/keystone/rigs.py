"""An identity by tokens, a Keystone on a real port, and a clock that the test moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers

from imgsvc.config import IdentityKeystone
from imgsvc.errors import ServiceUnavailable, Unauthenticated
from imgsvc.identity.keystone.maker import KeystoneParts, limits, make_keystone
from imgsvc.identity.keystone.settings import Settings, settings_of
from imgsvc.interfaces import RequestHead
from imgsvc.model import Caller
from imgsvc.remote.json_service import JsonService
from imgsvc.remote.service_calls import TokenSource
from tests.support.keystone import OPTIONS, FakeKeystone, FakeToken

START = 1_800_000_000.0
"""When the tests begin, in seconds since 1970."""
PEER = IPv4Address("TCP", "127.0.0.1", 1)
NEVER = START + 10_000_000.0


class KeystoneTestCase(TestCase):
    """keystone: the server. options: of the identity. clock: of the identity."""

    options: dict[str, Any] = {}
    timeout = 6

    def setUp(self) -> None:
        self.clock = Clock()
        self.keystone = FakeKeystone(self.now)
        self.addCleanup(self.keystone.close)
        self.keystone.tokens["good"] = FakeToken(NEVER)
        self.parts = self.make(**self.options)

    def now(self) -> float:
        """The time in seconds since 1970."""
        return START + self.clock.seconds()

    def settings(self, **options: Any) -> Settings:
        """What options say."""
        url = self.keystone.auth_url
        return settings_of(IdentityKeystone(**{"auth_url": url, **OPTIONS, **options}), Path(self.mktemp()))

    def make(self, **options: Any) -> KeystoneParts:
        """An identity of these options."""
        settings = self.settings(**options)

        def connected(url: str, tokens: TokenSource | None) -> JsonService:
            pool = HTTPConnectionPool(reactor)
            # A second attempt would wait by the test's clock.
            once = evolve(limits(settings), attempts=1)
            agent, option = Agent(reactor, pool=pool), "identity.keystone.auth_url"
            close = pool.closeCachedConnections
            return JsonService("Keystone", url, agent, self.clock, once, option=option, tokens=tokens, close=close)

        parts = make_keystone(settings, self.clock, self.now, connected)
        self.addCleanup(parts.client.stop)
        return parts

    def identify(
        self, token: str | None = "good", service: str | None = None, method: str = "GET", path: str = "/v2/images"
    ) -> Deferred[Caller]:
        """The caller of a request with these tokens."""
        lines = {"X-Auth-Token": token, "X-Service-Token": service}
        headers = Headers({name: [value] for name, value in lines.items() if value is not None})
        return maybeDeferred(self.parts.identity.identify, RequestHead(method, path, headers, PEER))

    async def refusal(self, *arguments: Any, **more: Any) -> str:
        """Why such a request is refused."""
        error: Any = await self.assertFailure(self.identify(*arguments, **more), Unauthenticated)
        return str(error)

    async def outage(self, *arguments: Any, **more: Any) -> ServiceUnavailable:
        """The error of a request that cannot be checked."""
        error: Any = await self.assertFailure(self.identify(*arguments, **more), ServiceUnavailable)
        return error  # type: ignore[no-any-return]


def later(work: Any) -> Deferred[Any]:
    """The result of a coroutine that has begun."""
    return ensureDeferred(work)
