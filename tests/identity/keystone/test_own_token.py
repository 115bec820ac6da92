"""Tests of imgsvc.identity.keystone.own_token and client: how the server itself gets in."""

from __future__ import annotations

from typing import Any

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from imgsvc.remote.service_calls import ServiceRequest
from tests.identity.keystone.rigs import NEVER, KeystoneTestCase
from tests.support.json_website import document, nonsense
from tests.support.keystone import PASSWORD, FakeToken


class LoginTests(KeystoneTestCase):
    """The server gets a token by its own account."""

    async def test_password(self) -> None:
        """By name and password, in a project."""
        await self.identify()
        [auth] = self.keystone.accounts
        user = {"name": "imgsvc", "domain": {"id": "default"}, "password": PASSWORD}
        identity = {"methods": ["password"], "password": {"user": user}}
        self.assertEqual(
            auth, {"identity": identity, "scope": {"project": {"name": "service", "domain": {"id": "default"}}}}
        )

    async def test_domains(self) -> None:
        """Domains are named, but for the first, whose id is known."""
        self.parts = self.make(user_domain="Services", project_domain="Others")
        await self.identify()
        [auth] = self.keystone.accounts
        self.assertEqual(auth["identity"]["password"]["user"]["domain"], {"name": "Services"})
        self.assertEqual(auth["scope"]["project"]["domain"], {"name": "Others"})

    async def test_application_credential(self) -> None:
        """By an application credential, which has a project already."""
        self.keystone.password = "credential-secret"
        self.parts = self.make(
            username="",
            password="",
            application_credential_id="abc",
            application_credential_secret="credential-secret",
        )
        await self.identify()
        credential = {"id": "abc", "secret": "credential-secret"}
        self.assertEqual(
            self.keystone.accounts,
            [{"identity": {"methods": ["application_credential"], "application_credential": credential}}],
        )

    async def test_renewed(self) -> None:
        """The token is renewed half a minute before its end."""
        self.keystone.life = 100.0
        self.parts = self.make(cache_time=0.0)
        await self.identify()
        self.clock.advance(69.0)
        await self.identify()
        self.assertEqual(len(self.keystone.logins), 1)
        self.clock.advance(1.0)
        await self.identify()
        self.assertEqual(len(self.keystone.logins), 2)

    async def test_short_life(self) -> None:
        """One that does not live a minute is renewed after half its life, and not for every request."""
        self.keystone.life = 10.0
        self.parts = self.make(cache_time=0.0)
        await self.identify()
        self.clock.advance(4.0)
        await self.identify()
        self.assertEqual(len(self.keystone.logins), 1)
        self.clock.advance(1.0)
        await self.identify()
        self.assertEqual(len(self.keystone.logins), 2)

    async def test_revoked(self) -> None:
        """A token that Keystone refuses is renewed at once, and the request of the user does not notice."""
        await self.identify()
        self.keystone.own.clear()
        self.keystone.tokens["new"] = FakeToken(NEVER)
        await self.identify("new")
        self.assertEqual((len(self.keystone.logins), len(self.keystone.checks)), (2, 3))

    async def test_refused(self) -> None:
        """If Keystone refuses the account, that is 503, and the account is not tried again for a while."""
        self.keystone.password = "another"
        error = await self.outage()
        self.assertEqual(
            (str(error), error.retry_after), ("Keystone does not accept the credentials of this server.", 1)
        )
        await self.outage()
        await self.outage("other")
        self.assertEqual(len(self.keystone.logins), 1)
        self.keystone.password = PASSWORD
        self.clock.advance(1.0)
        await self.identify()

    async def test_faults(self) -> None:
        """So it is if Keystone answers nonsense to it."""
        for fault in (
            document({}, 500),
            nonsense,
            document({"token": {}}, 201),
            document({"token": {}}, 201, X_Subject_Token="x"),
        ):
            self.parts = self.make()
            self.keystone.fault = fault
            await self.outage()
            asked = len(self.keystone.asked)
            await self.outage("other")
            self.assertEqual(len(self.keystone.asked), asked)
            self.keystone.fault = None
            self.clock.advance(1.0)
            await self.identify()

    async def test_may_not_check(self) -> None:
        """If the account may not check tokens, that is 503, and not the caller's fault."""
        await self.identify()
        self.keystone.fault = document({"error": {"code": 403}}, 403)
        self.assertIn("403", str(await self.outage("new")))
        self.assertEqual((await self.outage("new")).retry_after, 1)


class EndpointTests(KeystoneTestCase):
    """Tokens can be checked elsewhere than where the server logs in."""

    def endpoint(self, interface: str, region: str, url: str) -> dict[str, str]:
        return {"interface": interface, "region": region, "region_id": region, "url": url, "id": "e"}

    async def test_catalogue(self) -> None:
        """The endpoint is that of the interface and the region, with or without the version in its URL."""
        elsewhere = "http://127.0.0.1:1"
        endpoints = [
            self.endpoint("public", "one", elsewhere),
            self.endpoint("internal", "two", elsewhere),
            self.endpoint("internal", "one", f"{self.keystone.url}/inner"),
        ]
        self.keystone.catalogue = [{"type": "image", "endpoints": []}, {"type": "identity", "endpoints": endpoints}]
        self.parts = self.make(interface="internal", region="one")
        self.keystone.prefixes.append("/inner")
        await self.identify()
        self.assertEqual([asked.target for asked in self.keystone.logins], ["/v3/auth/tokens"])
        self.assertEqual([asked.target for asked in self.keystone.checks], ["/inner/v3/auth/tokens?nocatalog"])

    async def test_none(self) -> None:
        """Without such an endpoint there is no check."""
        self.parts = self.make(interface="admin", region="one")
        self.assertIn("has no admin endpoint of itself in the region one", str(await self.outage()))


@implementer(ILogObserver)
class Lines:
    """All that is logged."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        """See ILogObserver."""
        self.texts.append(f"{formatEvent(event)} {event!r}")


class SecretTests(KeystoneTestCase):
    """Neither the log nor an error nor a dump has passwords or tokens."""

    async def test_log(self) -> None:
        """Whatever goes wrong."""
        lines = Lines()
        globalLogPublisher.addObserver(lines)
        self.addCleanup(globalLogPublisher.removeObserver, lines)
        token, errors = "t0k3n-of-user", []
        for fault in (document({}, 500), nonsense, document({}, 403), document({}, 401), None):
            self.keystone.fault = None
            self.parts = self.make()
            await self.identify()
            self.keystone.fault = fault
            errors.append(await self.assertFailure(self.identify(token), Exception))
            self.parts = self.make()
            errors.append(await self.assertFailure(self.identify(token), Exception))
        self.keystone.password = "another"
        self.parts = self.make()
        errors.append(await self.outage(token))
        text = "\n".join([*lines.texts, *map(repr, errors), *map(str, errors)])
        self.assertIn("500", text)
        for secret in (token, PASSWORD, "p\\xe4ssword", "own-token"):
            self.assertNotIn(secret, text)

    def test_dumps(self) -> None:
        """Settings and requests are shown without what is secret in them."""
        settings = self.settings()
        request: Any = ServiceRequest("GET", "/", headers={"X-Subject-Token": "s3cret"}, document={"auth": "s3cret"})
        shown = f"{settings!r} {settings.options!r} {settings.account!r} {request!r}"
        self.assertIn("imgsvc", shown)
        self.assertNotIn("s3cret", shown)
        self.assertNotIn(PASSWORD, shown)
