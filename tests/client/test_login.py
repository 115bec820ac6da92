"""ImageClient logs in at an Identity API over loopback."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from imgsvc.client import (
    ApplicationCredential,
    BadResponse,
    Basic,
    ClientError,
    Domain,
    ImageClient,
    KeystoneToken,
    Login,
    LoginRefused,
    LoginUnusable,
    NoImageEndpoint,
    Password,
    RequestRefused,
    Scope,
    Token,
    Unreachable,
    User,
)
from imgsvc.client.identity.keystone import Keystone
from imgsvc.client.identity.login import Tls
from imgsvc.client.identity.tokens import LOGIN_LIMIT, PAUSE, KeystoneAccess
from imgsvc.client.transport import Transport
from tests.client.memory_api import MemoryImageApi
from tests.support.identity_service import IdentityService, Reply

SOME = os.urandom(3_000_000)
SECRET = "alice's secret"
PASSWORD = Password(User(name="alice"), SECRET)
PROJECT = Scope(project_name="blue")


class LoginTestCase(TestCase):
    """An Identity API, and an Image API that accepts its tokens."""

    timeout = 120

    def setUp(self) -> None:
        self.api, self.keystone = MemoryImageApi(), IdentityService()
        for server in (self.api, self.keystone):
            server.start()
            self.addCleanup(server.stop)
        self.api.accepts = self.keystone.accepts
        self.keystone.offer(self.api.endpoint)
        self.login = Login(PASSWORD, self.keystone.url, PROJECT)
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(self.check_log, events)

    def check_log(self, events: list[LogEvent]) -> None:
        """See that no secret and no token was logged, on any level."""
        globalLogPublisher.removeObserver(events.append)
        logged = "".join(f"{formatEvent(event)} {event}" for event in events)
        self.assertTrue(logged or not self.keystone.asked)
        for secret in (SECRET, "a long secret", *self.keystone.given):
            self.assertNotIn(secret, logged)

    def client(self, login: Login | None = None, endpoint: str | None = None, **more: Any) -> ImageClient:
        """Make a client, which is closed at the end."""
        client = ImageClient(endpoint, reactor, login=login or self.login, stall_limit=50, **more)
        self.addCleanup(lambda: Deferred.fromCoroutine(client.close()))
        return client

    def tokens(self) -> list[str]:
        """List the tokens of the requests to the Image API, each once, in their order."""
        return list(dict.fromkeys(seen.headers.get("x-auth-token", "") for seen in self.api.seen))

    async def list(self, client: ImageClient) -> None:
        """Make a request."""
        async for _ in client.images():
            pass


class CredentialTests(LoginTestCase):
    async def asked(self, login: Login) -> Any:
        """Log in, and return what Keystone was asked."""
        await self.list(self.client(login))
        return self.keystone.asked[-1]["auth"]

    async def test_password(self) -> None:
        """A user with a password gets a token for a project, and the endpoint is the one of the catalogue."""
        client = self.client()
        self.assertIsNone(client.endpoint)
        await self.list(client)
        user = {"name": "alice", "domain": {"id": "default"}, "password": SECRET}
        self.assertEqual(
            self.keystone.asked[-1]["auth"],
            {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": "blue", "domain": {"id": "default"}}},
            },
        )
        self.assertEqual(client.endpoint, self.api.endpoint)
        self.assertEqual(self.tokens(), list(self.keystone.good))

    async def test_application_credential(self) -> None:
        """An application credential is sent without a scope, which Keystone would refuse."""
        login = evolve(self.login, credentials=ApplicationCredential("a long secret", id="c0ffee"))
        identity = {"methods": ["application_credential"]}
        identity["application_credential"] = {"id": "c0ffee", "secret": "a long secret"}  # type: ignore[assignment]
        self.assertEqual(await self.asked(login), {"identity": identity})

    async def test_token(self) -> None:
        """A token is exchanged for one of the wanted scope."""
        self.keystone.good.add("mine")
        asked = await self.asked(evolve(self.login, credentials=KeystoneToken("mine")))
        self.assertEqual(asked["identity"], {"methods": ["token"], "token": {"id": "mine"}})
        self.assertNotIn("mine", self.tokens())

    async def test_scopes(self) -> None:
        """Each scope is sent in the form of the Identity API."""
        for scope, sent in (
            (Scope(), None),
            (Scope(project_id="12"), {"project": {"id": "12"}}),
            (
                Scope(project_name="p", project_domain=Domain(name="d")),
                {"project": {"name": "p", "domain": {"name": "d"}}},
            ),
            (Scope(domain=Domain(id="d")), {"domain": {"id": "d"}}),
            (Scope(system=True), {"system": {"all": True}}),
            (Scope(trust_id="t"), {"OS-TRUST:trust": {"id": "t"}}),
        ):
            self.assertEqual((await self.asked(evolve(self.login, scope=scope))).get("scope"), sent)

    async def test_urls(self) -> None:
        """The URL of Keystone may have a version or not, and a prefix."""
        for path in ("", "/", "/v3", "/v3/", "/v2.0"):
            await self.list(self.client(evolve(self.login, auth_url=self.keystone.url + path)))
        self.assertEqual(set(self.keystone.paths), {"/v3/auth/tokens"})
        with self.assertRaises(BadResponse):
            await self.list(self.client(evolve(self.login, auth_url=self.keystone.url + "/identity")))
        self.assertEqual(self.keystone.paths[-1], "/identity/v3/auth/tokens")

    async def test_without_keystone(self) -> None:
        """A token and HTTP Basic are sent as they are, to the endpoint that the caller names."""
        self.api.accepts = lambda headers: True
        for credentials, header, value in (
            (Token("mine"), "x-auth-token", "mine"),
            (Basic("Aladdin", "open sesame"), "authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),  # RFC 7617
        ):
            await self.list(self.client(Login(credentials), self.api.endpoint))
            self.assertEqual(self.api.seen[-1].headers[header], value)
        self.assertEqual(self.keystone.asked, [])

    def test_unusable(self) -> None:
        """A login without a URL, or beside another login, is refused at once."""
        for login in (Login(), Login(Token("x")), Login(PASSWORD)):
            self.assertRaises(LoginUnusable, ImageClient, None, reactor, login=login)
        self.assertRaises(ValueError, ImageClient, None, reactor, login=self.login, token="x")

    def test_no_secrets(self) -> None:
        """No secret is in a repr."""
        for credentials in (
            PASSWORD,
            Token(SECRET),
            Basic("alice", SECRET),
            KeystoneToken(SECRET),
            ApplicationCredential(SECRET, id="c0ffee"),
        ):
            self.assertNotIn(SECRET, repr(evolve(self.login, credentials=credentials)))


class CatalogueTests(LoginTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.keystone.catalogue.clear()
        for region in ("R1", "R2"):
            for interface in ("admin", "internal", "public"):
                self.keystone.offer(f"{self.api.endpoint}/{region}/{interface}", interface, region)
        self.keystone.offer(f"{self.api.endpoint}/other", kind="volume")

    async def found(self, **choice: str) -> str | None:
        """Log in, and return the endpoint."""
        client = self.client(evolve(self.login, **choice))
        with contextlib.suppress(BadResponse):  # there is no Image API at these paths
            await self.list(client)
        return client.endpoint

    async def test_choices(self) -> None:
        """Interface, region and service type choose the endpoint; without a region it is the first one."""
        base = self.api.endpoint
        self.assertEqual(await self.found(), f"{base}/R1/public")
        self.assertEqual(await self.found(region="R2"), f"{base}/R2/public")
        self.assertEqual(await self.found(region="R2", interface="internal"), f"{base}/R2/internal")
        self.assertEqual(await self.found(service_type="volume"), f"{base}/other")
        self.assertEqual(await self.found(endpoint=f"{base}/mine/v2"), f"{base}/mine")

    async def test_none(self) -> None:
        """If no endpoint fits, the error names those that are there."""
        for choice in ({"region": "R3"}, {"interface": "secret"}):
            with self.assertRaises(NoImageEndpoint) as caught:
                await self.found(**choice)
            self.assertIn("admin in R1, admin in R2, internal in R1", str(caught.exception))
        with self.assertRaises(NoImageEndpoint) as caught:
            await self.found(service_type="dns")
        self.assertTrue(str(caught.exception).endswith("there is none at all."))
        self.keystone.catalogue = []
        with self.assertRaises(NoImageEndpoint) as caught:
            await self.list(self.client(evolve(self.login, scope=Scope())))
        self.assertIn("perhaps because the login names no project", str(caught.exception))

    async def test_useless(self) -> None:
        """A URL of the catalogue that nothing can be sent to is refused, and so is a catalogue of another form."""
        for catalogue in (
            [{"type": "image", "endpoints": [{"interface": "public", "url": "nowhere"}]}],
            [{"type": "image", "endpoints": [{"interface": "public"}]}],
            [{"type": "image", "endpoints": "none"}, {"type": "image", "endpoints": [7]}, {"type": []}, 7],
            [],
        ):
            self.keystone.catalogue = catalogue
            with self.assertRaises(NoImageEndpoint):
                await self.found()


class RenewalTests(LoginTestCase):
    def access(self, clock: Clock, **more: Any) -> KeystoneAccess:
        """Make an Access whose clock is the test's, while its requests are real."""
        transport = Transport(reactor, agent=None, connections=2, stall_limit=50, tls=Tls())
        self.addCleanup(lambda: Deferred.fromCoroutine(transport.close()))
        return KeystoneAccess(Keystone(transport, self.login), self.login, clock)

    async def test_one_login(self) -> None:
        """Requests that begin at the same time share one login, and later ones its token."""
        client = self.client()
        calls = [Deferred.fromCoroutine(self.list(client)) for _ in range(8)]
        await gatherResults(calls)
        await self.list(client)
        self.assertEqual((len(self.keystone.asked), len(self.tokens())), (1, 1))

    async def test_before_expiry(self) -> None:
        """A token is renewed two minutes before its end, a short one after four fifths of its life."""
        for life, renewal in ((3600, 3480), (10, 8)):
            self.keystone.life, clock = life, Clock()
            access = self.access(clock)
            first = await access.grant()
            clock.advance(renewal - 0.5)
            self.assertIs(await access.grant(), first)
            clock.advance(0.5)
            self.assertNotEqual((await access.grant()).headers, first.headers)

    async def test_keystone_away(self) -> None:
        """While Keystone is away a token is used to its end, and Keystone is asked again after some seconds."""
        self.keystone.life, clock = 100, Clock()
        access = self.access(clock)
        first = await access.grant()
        clock.advance(85)
        self.keystone.replies = [Reply(503), Reply(cut=True)]
        for _ in range(3):
            self.assertIs(await access.grant(), first)
        self.assertEqual(len(self.keystone.asked), 2)
        clock.advance(PAUSE)
        self.assertIs(await access.grant(), first)
        clock.advance(10)
        self.keystone.replies = [Reply(503)]
        with self.assertRaises(Unreachable):
            await access.grant()
        self.assertIsNot(await access.grant(), first)

    async def test_silence(self) -> None:
        """A login that is not answered, or not to its end, ends after a minute, however many wait for it."""
        for reply in (Reply(silent=True), Reply(201, b"x" * 1000, {"X-Subject-Token": "t"}, half=True)):
            clock = Clock()
            access = self.access(clock)
            self.keystone.silent.clear()
            self.keystone.replies = [reply]
            waiting = [Deferred.fromCoroutine(access.grant()) for _ in range(2)]
            await deferToThread(self.keystone.silent.wait)
            clock.advance(LOGIN_LIMIT)
            for each in waiting:
                with self.assertRaises(Unreachable) as caught:
                    await each
                self.assertIn("not answered within 60 seconds", str(caught.exception))

    async def test_slow_renewal(self) -> None:
        """A renewal that is not answered leaves a token that is used to its end."""
        clock = Clock()
        access = self.access(clock)
        first = await access.grant()
        clock.advance(3590 - LOGIN_LIMIT)
        self.keystone.replies = [Reply(silent=True)]
        waiting = Deferred.fromCoroutine(access.grant())
        await deferToThread(self.keystone.silent.wait)
        clock.advance(LOGIN_LIMIT)
        self.assertIs(await waiting, first)

    async def test_cancelled(self) -> None:
        """A login goes on when one of those that wait for it is cancelled, and ends with the last one."""
        access = self.access(Clock())
        leaving, staying = (Deferred.fromCoroutine(access.grant()) for _ in range(2))
        leaving.cancel()
        with self.assertRaises(CancelledError):
            await leaving
        self.assertEqual((await staying).endpoint, self.api.endpoint)
        access = self.access(Clock())
        self.keystone.replies = [Reply(silent=True)]
        leaving = Deferred.fromCoroutine(access.grant())
        await deferToThread(self.keystone.silent.wait)
        leaving.cancel()
        with self.assertRaises(CancelledError):
            await leaving
        self.assertEqual((await access.grant()).endpoint, self.api.endpoint)

    async def test_refused_token(self) -> None:
        """A token that the server refuses is renewed once for each request; a second refusal is an error."""
        client = self.client()
        await self.list(client)
        self.keystone.good.clear()
        await self.list(client)
        self.assertEqual(len(self.tokens()), 2)
        self.api.accepts = lambda headers: False
        with self.assertRaises(RequestRefused) as caught:
            await self.list(client)
        self.assertEqual((caught.exception.status, len(self.tokens())), (401, 3))

    async def test_download(self) -> None:
        """A download whose token ends in the middle ends well, with one more login for all its connections."""
        self.keystone.life = 10_000
        image, client = self.api.add(SOME), self.client()
        path = self.mktemp()

        def moved(stage: str, done: int, total: int | None) -> None:
            if stage == "download" and done > len(SOME) // 2 and len(self.keystone.asked) == 1:
                self.keystone.good.clear()

        await client.download(image["id"], path, connections=4, piece_size=100_000, progress=moved)
        with open(path, "rb") as file:
            self.assertTrue(file.read() == SOME)
        self.assertEqual((len(self.keystone.asked), len(self.tokens())), (2, 2))

    async def test_upload(self) -> None:
        """An upload whose token ends in the middle is not sent twice, and the question after it has the new token."""
        client, path = self.client(), self.file()
        image = await client.create(disk_format="raw", container_format="bare")

        def moved(stage: str, done: int, total: int | None) -> None:
            self.keystone.good.clear()

        image = await client.upload(image.id, path, progress=moved)
        self.assertEqual(image.status, "active")
        self.assertEqual(len([seen for seen in self.api.seen if seen.method == "PUT"]), 1)
        self.assertGreaterEqual(len(self.tokens()), 2)

    async def test_refused_upload(self) -> None:
        """An upload of a file that begins with a token that is refused begins again; one of a stream is an error."""
        client, path = self.client(), self.file()
        image = await client.create(disk_format="raw", container_format="bare")
        self.keystone.good.clear()
        self.assertEqual((await client.upload(image.id, path)).status, "active")
        self.assertEqual(len([seen for seen in self.api.seen if seen.method == "PUT"]), 2)

        async def blocks() -> AsyncIterator[bytes]:
            yield SOME

        image = await client.create(disk_format="raw", container_format="bare")
        self.keystone.good.clear()
        with self.assertRaises(RequestRefused) as caught:
            await client.upload(image.id, blocks())
        self.assertEqual(caught.exception.status, 401)

    def file(self) -> str:
        """Write SOME into a file."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(SOME)
        return path


class FailureTests(LoginTestCase):
    async def failure(self, kind: type[ClientError], login: Login | None = None) -> str:
        """Try a request, which must fail before it gets to the Image API. Returns what the user is told."""
        with self.assertRaises(kind) as caught:
            await self.list(self.client(login))
        text = str(caught.exception)
        self.assertEqual((self.api.seen, text.count("\n")), ([], 0))
        self.assertNotIn("secret", text)
        return text

    async def test_wrong_password(self) -> None:
        """A refused login names the user and Keystone's reason, and not the password."""
        text = await self.failure(LoginRefused, evolve(self.login, credentials=Password(User(name="alice"), "secret!")))
        url = self.keystone.url
        message = "The request you have made needs a login."
        self.assertEqual(text, f"Keystone at {url}/v3 refuses to log in the user 'alice' (401): {message}")
        wrong = ApplicationCredential("secret!", id="c0ffee")
        self.assertIn("credential c0ffee", await self.failure(LoginRefused, evolve(self.login, credentials=wrong)))
        wrong = ApplicationCredential("secret!", name="robot", user=User(name="alice"))
        told = await self.failure(LoginRefused, evolve(self.login, credentials=wrong))
        self.assertIn("credential 'robot' of the user 'alice'", told)
        told = await self.failure(LoginRefused, evolve(self.login, credentials=KeystoneToken("secret!")))
        self.assertIn("with the given token", told)

    async def test_down(self) -> None:
        """A Keystone that is not there is told of by its own name."""
        self.keystone.stop()
        self.assertIn(f"Cannot reach Keystone at {self.keystone.url}/v3: ", await self.failure(Unreachable))

    async def test_nonsense(self) -> None:
        """Whatever Keystone answers, the user gets one clear line."""
        good = self.keystone.document()["token"]
        for reply, kind, told in (
            (Reply(500, b"Internal <b>error"), Unreachable, "The server refused (500)"),
            (Reply(503, b"", {"Retry-After": "7"}), Unreachable, "again in 7 s"),
            (Reply(429, b"", {"Retry-After": "7"}), Unreachable, "again in 7 s"),
            (Reply(cut=True), Unreachable, "was lost"),
            (Reply(403, b'{"error": {"message": "not you"}}'), LoginRefused, "(403): not you"),
            (Reply(404), BadResponse, "There is no Keystone"),
            (Reply(302, b"", {"Location": "http://elsewhere.example/"}), BadResponse, "http://elsewhere.example/"),
            (Reply(200, b"<html>It works!</html>"), BadResponse, "answers 200 to a login"),
            (Reply(204), BadResponse, "answers 204 to a login"),
            *(
                (Reply(201, body, {"X-Subject-Token": "t"}), BadResponse, "is no token")
                for body in (b"", b"{", b"[]", b'{"token": []}', b'{"token": {}}', b"[" * 100_000, b" " * 9_000_000)
            ),
            (Reply(201, _json(good)), BadResponse, "is no token"),
            (Reply(201, _json({**good, "expires_at": "soon"}), {"X-Subject-Token": "t"}), BadResponse, "is no token"),
            (Reply(201, _json({**good, "catalog": 7}), {"X-Subject-Token": "t"}), BadResponse, "is no token"),
        ):
            self.keystone.replies = [reply]
            self.assertIn(told, await self.failure(kind))


def _json(token: Any) -> bytes:
    return json.dumps({"token": token}).encode()
