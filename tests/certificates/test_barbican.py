"""Tests of imgsvc.certificates.barbican, with a server that has the needed part of its API."""

from __future__ import annotations

import socket
from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import DNSLookupError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.iweb import IAgent, IResponse
from zope.interface import implementer
from zope.interface.verify import verifyObject

from imgsvc.certificates.barbican import Barbican, limits
from imgsvc.errors import BadSignature, CertificatesUnavailable, ConfigurationError, NoSuchCertificate
from imgsvc.interfaces import ICertificates
from imgsvc.model import Caller
from imgsvc.remote.json_service import JsonService
from imgsvc.remote.service_calls import TokenSource
from tests.support import barbican
from tests.support.barbican import Secret
from tests.support.server import fired

ID = "01234567-89ab-cdef-0123-456789abcdef"
CALLER = Caller("user", "project", token="token")
PATH = f"/v1/secrets/{ID}"


def client(
    endpoint: str, agent: IAgent, clock: Any, timeout: float = 10.0, tokens: TokenSource | None = None
) -> Barbican:
    """A client of the Barbican at a URL."""
    service = JsonService(
        "Barbican", endpoint, agent, clock, limits(timeout), option="signatures.barbican", tokens=tokens
    )
    return Barbican(service, clock, timeout)


class OwnToken:
    """A TokenSource with one token."""

    def token(self) -> Deferred[str | None]:
        return succeed("token")

    def forget(self, token: str) -> None:
        """There is no other."""


@implementer(IAgent)
class Lost:
    """Finds no host, and fails like Agent."""

    def request(self, *arguments: Any, **more: Any) -> Deferred[IResponse]:
        return fail(DNSLookupError())


class BarbicanTests(SynchronousTestCase):
    """Certificates from Barbican, in memory."""

    def setUp(self) -> None:
        self.server = barbican.Barbican({ID: Secret(b"certificate")})
        self.agent = RequestTraversalAgent(self.server)
        self.clock = Clock()
        self.certificates = client("http://barbican.example/", self.agent, self.clock)

    def begin(self, name: str = ID, caller: Caller = CALLER) -> Deferred[bytes]:
        found = self.certificates.certificate(name, caller)
        self.agent.flush()
        return found

    def get(self, name: str = ID, caller: Caller = CALLER) -> bytes:
        found: bytes = fired(self.begin(name, caller))
        return found

    def pass_pauses(self) -> None:
        """Let all attempts be made, which takes less than the time-out."""
        for _ in range(9):
            self.clock.advance(0.5)
            self.agent.flush()

    def get_after_pauses(self) -> bytes:
        found = self.begin()
        self.pass_pauses()
        certificate: bytes = fired(found)
        return certificate

    def test_interface(self) -> None:
        """It provides ICertificates."""
        verifyObject(ICertificates, self.certificates)

    def test_asked(self) -> None:
        """The secret's description is requested with the caller's token, and then its payload in the stored type."""
        for content_type in ("application/pkix-cert", "application/octet-stream", "text/plain"):
            self.server.asked.clear()
            self.server.secrets[ID] = Secret(b"certificate", content_type)
            self.assertEqual(self.get(), b"certificate")
            self.assertEqual(
                self.server.asked,
                [("GET", PATH, "application/json", "token"), ("GET", f"{PATH}/payload", content_type, "token")],
            )

    def test_upper_case(self) -> None:
        """Ids are requested in lower case."""
        self.assertEqual(self.get(ID.upper()), b"certificate")

    def test_own_token(self) -> None:
        """A caller without a token is served with the server's token. If there is none, the request has none."""
        self.server.tokens |= {None}
        self.assertEqual(self.get(caller=Caller()), b"certificate")
        self.assertEqual(self.server.asked[-1][3], None)
        self.certificates = client("http://barbican.example", self.agent, self.clock, tokens=OwnToken())
        self.assertEqual(self.get(caller=Caller()), b"certificate")
        self.assertEqual(self.server.asked[-1][3], "token")

    def test_absent(self) -> None:
        """A missing secret is NoSuchCertificate. A text that is not an id is not requested."""
        self.server.secrets.clear()
        self.assertRaises(NoSuchCertificate, self.get)
        self.server.asked.clear()
        for name in ("../../v1/orders", "", "x?y"):
            self.assertRaises(NoSuchCertificate, self.get, name)
        self.assertEqual(self.server.asked, [])

    def test_refused(self) -> None:
        """A token that is invalid, or may not read the secret, is the client's error."""
        for token in ("bad", "other"):
            error = self.assertRaises(BadSignature, self.get, ID, Caller(token=token))
            self.assertNotIsInstance(error, NoSuchCertificate)
            self.assertIn("does not give certificate", str(error))

    def test_no_certificate(self) -> None:
        """A secret of another type, without a payload, or not active, is refused."""
        for secret in (
            Secret(b"x", "application/pkcs8"),
            Secret(b"x", None),
            Secret(b"x", status="PENDING"),
        ):
            self.server.secrets[ID] = secret
            self.assertIn("holds no certificate", str(self.assertRaises(BadSignature, self.get)))
        self.server.broken = "nonsense"
        self.assertIn("holds no certificate", str(self.assertRaises(BadSignature, self.get)))

    def test_too_large(self) -> None:
        """A payload that is too large for a certificate is not read to its end."""
        self.server.secrets[ID] = Secret(b"x" * (1 << 20))
        self.assertIn("has more than 65536 bytes", str(self.assertRaises(BadSignature, self.get)))

    def test_fault(self) -> None:
        """An error of Barbican is reported as such, and so is a redirect, which is not followed with the token."""
        for broken, code, attempts in (("fault", 500, 3), ("redirect", 302, 1)):
            self.server.broken = broken
            self.server.asked.clear()
            error = self.assertRaises(CertificatesUnavailable, self.get_after_pauses)
            self.assertEqual(str(error), f"Barbican has answered {code}.")
            self.assertEqual(len(self.server.asked), attempts)

    def test_fault_that_passes(self) -> None:
        """A temporary error of Barbican is retried."""
        self.server.broken = "fault"
        found = self.begin()
        self.server.broken = ""
        self.pass_pauses()
        self.assertEqual(fired(found), b"certificate")

    def test_endpoint(self) -> None:
        """The endpoint must be an http or https URL, which may have a path."""
        for endpoint in ("barbican.example", "ftp://barbican.example", "http://", "http://a/?b", "http://a b"):
            error = self.assertRaises(ConfigurationError, client, endpoint, self.agent, self.clock)
            self.assertIn(f"signatures.barbican = {endpoint!r}", str(error))
        self.certificates = client("https://cloud.example/key-manager/", self.agent, self.clock)
        self.assertRaises(NoSuchCertificate, self.get)
        self.assertEqual(self.server.asked[-1][1], f"/key-manager{PATH}")

    def test_no_such_host(self) -> None:
        """A host name that is not found is an outage, not an error of the client."""
        self.certificates = client("http://barbican.example", Lost(), self.clock)
        self.assertRaises(CertificatesUnavailable, self.get_after_pauses)

    def test_hang(self) -> None:
        """One time-out holds for all requests, and the connection is closed."""
        for broken, asked in (("hang", 1), ("hang-payload", 2)):
            self.server.broken = broken
            self.server.asked.clear()
            found = self.begin()
            self.assertNoResult(found)
            self.assertEqual(len(self.server.asked), asked)
            ended = self.server.hanging[-1].notifyFinish()
            ended.addErrback(lambda _: None)
            self.clock.advance(10.1)
            self.failureResultOf(found, CertificatesUnavailable)
            self.agent.flush()
            self.assertTrue(ended.called)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class BrokenConnectionTests(TestCase):
    """Failures that need a real connection."""

    def certificates(self, port: int) -> Barbican:
        agent = Agent(reactor, pool=HTTPConnectionPool(reactor, False))
        return client(f"http://127.0.0.1:{port}", agent, reactor, 5.0)

    async def test_refused(self) -> None:
        """Nothing listens at the address."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            await self.assertFailure(
                self.certificates(listener.getsockname()[1]).certificate(ID, CALLER), CertificatesUnavailable
            )

    async def test_broken_off(self) -> None:
        """The connection ends within a response, or before it."""

        class Breaker(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(self.factory.answer)  # type: ignore[attr-defined]
                self.transport.loseConnection()

        factory: Any = Factory.forProtocol(Breaker)
        factory.noisy = False
        port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        for answer in (
            b"",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
            b"SSH-2.0\r\n\r\n",
        ):
            factory.answer = answer
            found = self.certificates(port.getHost().port).certificate(ID, CALLER)
            await self.assertFailure(found, CertificatesUnavailable)
