"""Uploads of signed images, as clients see them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.errors import BadSignature, CertificatesUnavailable, ConfigurationError
from imgsvc.pipeline.signatures import CERTIFICATE, HASH_METHOD, HASH_METHODS, KEY_TYPE, PROPERTIES, SIGNATURE
from tests.support.server import Answer, MemoryServer
from tests.support.signing import (
    DAY,
    USABLE_TYPES,
    KnownCertificates,
    certificate,
    der,
    pem,
    private_key,
    signature_properties,
)
from tests.web.rigs import BEHIND_PROXY, MEMBER, MEMORY, ApiTestCase, chunked

DATA = b"the bytes of an image" * 100
NOW = datetime.now(UTC)
ROOT = private_key("ECC_SECP384R1", 9)


class SignedTestCase(ApiTestCase):
    """A server with certificates of every key type in a folder."""

    more: ClassVar[dict[str, Any]] = {}
    signatures: ClassVar[dict[str, Any]] = {"certificates": "certificates"}

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        self.certificates = folder / "certificates"
        self.certificates.mkdir(parents=True)
        for key_type in USABLE_TYPES:
            self.put_certificate(key_type, since=NOW - DAY, until=NOW + DAY)
        (folder / "root.pem").write_bytes(pem(certificate(ROOT, NOW - DAY, NOW + DAY, name="root", is_authority=True)))
        self.server = MemoryServer(
            folder, {"stores": {"local": MEMORY}, "signatures": self.signatures, **self.more}, self.wrap_store
        )
        self.addCleanup(self.server.stop)

    def put_certificate(self, key_type: str, encode: Any = pem, suffix: str = "pem", **more: Any) -> None:
        """Write the certificate that signature_properties() names."""
        name = signature_properties(b"", key_type)[CERTIFICATE]
        (self.certificates / f"{name}.{suffix}").write_bytes(encode(certificate(private_key(key_type), **more)))

    def upload(self, properties: dict[str, str], data: bytes = DATA) -> tuple[str, Answer]:
        """The id of a new image, and the response to its upload."""
        image = self.server.image(**properties)["id"]
        return image, self.server.put(image, data)

    def assert_refused(self, properties: dict[str, str], text: str, data: bytes = DATA, status: int = 400) -> None:
        """The upload is refused with this text, the image is queued, and nothing is kept."""
        image, answer = self.upload(properties, data)
        self.assertEqual(answer.status, status, answer.body)
        self.assertIn(text, answer.body.decode())
        self.assert_queued(image)
        self.assert_nothing_kept()
        self.assertEqual(self.server.server.core.uploads.running, set())

    def assert_refused_early(self, properties: dict[str, str], text: str, status: int = 400) -> None:
        """The upload is refused, also before a byte is requested."""
        self.assert_refused(properties, text, status=status)
        connection = self.server.connect()
        image = self.server.image(**properties)["id"]
        connection.send(self.put_headers(image, "Content-Length: 1000000", "Expect: 100-continue"))
        self.assertEqual([answer.status for answer in connection.answers()], [status])
        self.assert_queued(image)


class SignedTests(SignedTestCase):
    """Data is verified while it arrives."""

    def test_every_kind(self) -> None:
        """For every key type and hash method, the right data makes the image active, and other data is refused."""
        for key_type in USABLE_TYPES:
            for method in HASH_METHODS:
                properties = signature_properties(DATA, key_type, method)
                image, answer = self.upload(properties)
                self.assertEqual(answer.status, 204, (key_type, method))
                shown = self.show(image)
                self.assertEqual((shown["status"], shown["os_hash_algo"]), ("active", "sha512"))
                self.assertEqual(shown["os_hash_value"], hashlib.sha512(DATA).hexdigest())
                self.assertEqual({name: shown[name] for name in PROPERTIES}, properties)
                self.server.request("DELETE", f"/v2/images/{image}")
                self.assert_refused(properties, "its bytes are not what was signed.", DATA[:-1] + b"?")

    def test_der(self) -> None:
        """A certificate may be in DER."""
        name = signature_properties(b"", "DSA")[CERTIFICATE]
        (self.certificates / f"{name}.pem").unlink()
        self.put_certificate("DSA", der, "der", since=NOW - DAY, until=NOW + DAY)
        self.assertEqual(self.upload(signature_properties(DATA, "DSA"))[1].status, 204)

    def test_empty(self) -> None:
        """An image of 0 bytes is verified too."""
        self.assertEqual(self.upload(signature_properties(b""), b"")[1].status, 204)
        self.assert_refused(signature_properties(DATA), "its bytes are not what was signed.", b"")
        image = self.server.image(**signature_properties(b""))["id"]
        self.assertEqual(self.server.put(image, DATA).status, 400)

    def test_chunked(self) -> None:
        """Bodies without a length are verified too."""
        for data, status in ((DATA, 204), (DATA + b"?", 400), (DATA[:-1], 400), (b"", 400)):
            image = self.server.image(**signature_properties(DATA))["id"]
            answer = self.server.put(image, chunked(data[:7], data[7:]), **{"Transfer-Encoding": "chunked"})
            self.assertEqual(answer.status, status)
            self.assertEqual(self.status(image), "active" if status == 204 else "queued")

    def test_again(self) -> None:
        """After a refusal, the right data is accepted."""
        image, answer = self.upload(signature_properties(DATA), b"others")
        self.assertEqual(answer.status, 400)
        self.assertEqual(self.server.put(image, DATA).status, 204)

    def test_fewer(self) -> None:
        """Images that lack one of the four properties are not verified."""
        for name in PROPERTIES:
            properties = signature_properties(b"other bytes")
            del properties[name]
            self.assertEqual(self.upload(properties)[1].status, 204)

    def test_cut(self) -> None:
        """A body that is cut is not a mismatch. The image is queued as usual."""
        image = self.server.image(**signature_properties(DATA))["id"]
        self.begin_put(image, len(DATA), DATA[:9]).lose()
        self.assert_queued(image)
        self.assert_nothing_kept()


class RefusedEarlyTests(SignedTestCase):
    """Requests that cannot succeed are refused before the first byte."""

    def test_properties(self) -> None:
        """Unknown methods, key types and certificates, and signatures that are not base64, are refused."""
        for changed, text in (
            ({HASH_METHOD: "MD5"}, "img_signature_hash_method"),
            ({KEY_TYPE: "RSA"}, "img_signature_key_type"),
            ({SIGNATURE: "?"}, "img_signature is not base64"),
            ({CERTIFICATE: "../root"}, "is not a UUID"),
            ({CERTIFICATE: "00000000-0000-0000-0000-000000000000"}, "there is no certificate 00000000"),
        ):
            self.assert_refused_early(signature_properties(DATA) | changed, text)

    def test_certificates(self) -> None:
        """Certificates that are not valid now, have another key, or cannot be parsed are refused."""
        kind = "ECC_SECP384R1"
        self.put_certificate(kind, since=NOW - 2 * DAY, until=NOW - DAY)
        self.assert_refused_early(signature_properties(DATA), "its certificate has expired.")
        self.put_certificate(kind, since=NOW + DAY, until=NOW + 2 * DAY)
        self.assert_refused_early(signature_properties(DATA), "its certificate is not valid yet.")
        self.put_certificate(kind, lambda _: b"nonsense")
        self.assert_refused_early(signature_properties(DATA), "its certificate cannot be read")
        self.put_certificate(kind, lambda _: pem(certificate(private_key("DSA"), NOW - DAY, NOW + DAY)))
        self.assert_refused_early(signature_properties(DATA), f"not of type {kind}")

    def test_unreadable(self) -> None:
        """A certificate that cannot be read now is 503."""
        name = signature_properties(b"")[CERTIFICATE]
        (self.certificates / f"{name}.pem").unlink()
        (self.certificates / f"{name}.pem").mkdir()
        self.assert_refused_early(signature_properties(DATA), "cannot be read", status=503)


class TrustTests(SignedTestCase):
    """Only certificates of an authority are accepted."""

    signatures: ClassVar[dict[str, Any]] = {"certificates": "certificates", "trusted_ca": "root.pem"}

    def test_trust(self) -> None:
        """Those that the authority has issued are accepted, others refused."""
        self.assert_refused_early(signature_properties(DATA), "trusted")
        self.put_certificate("ECC_SECP384R1", since=NOW - DAY, until=NOW + DAY, issuer=("root", ROOT))
        self.assertEqual(self.upload(signature_properties(DATA))[1].status, 204)


class NoCertificatesTests(SignedTestCase):
    """A server without certificates."""

    signatures: ClassVar[dict[str, Any]] = {}

    def test_refused(self) -> None:
        """It refuses signed images, because it could not verify them."""
        self.assert_refused_early(signature_properties(DATA), "this server has no certificates")


class OtherHashTests(SignedTestCase):
    """The image's own hash may be the signed one, or another."""

    more: ClassVar[dict[str, Any]] = {"images": {"hash": "sha256"}}

    def test_both(self) -> None:
        """Both are correct."""
        for method in HASH_METHODS:
            image, answer = self.upload(signature_properties(DATA, method=method))
            self.assertEqual(answer.status, 204)
            self.assertEqual(self.show(image)["os_hash_value"], hashlib.sha256(DATA).hexdigest())


class SlowCertificatesTests(SignedTestCase):
    """Certificates that come late, or never."""

    more: ClassVar[dict[str, Any]] = {"identity": BEHIND_PROXY}

    def setUp(self) -> None:
        super().setUp()
        self.known = KnownCertificates({})
        self.known.waiting = Deferred()
        self.server.server.core.uploads.signatures._certificates = self.known
        self.image = self.begin()

    def begin(self) -> str:
        """A new image and an upload of it that waits for its certificate."""
        body = {"disk_format": "raw", "container_format": "bare", **signature_properties(DATA)}
        image = self.server.request("POST", "/v2/images", MEMBER, json.dumps(body).encode()).json["id"]
        lines = [f"{name}: {value}" for name, value in {**MEMBER, "X-Auth-Token": "secret"}.items()]
        self.connection = self.begin_put(image, len(DATA), b"", *lines, "Expect: 100-continue")
        return str(image)

    def shown(self) -> str:
        return str(self.server.request("GET", f"/v2/images/{self.image}", MEMBER).json["status"])

    def test_token(self) -> None:
        """The certificate is requested with the caller's token."""
        [caller] = self.known.callers
        self.assertEqual((caller.token, caller.project_id), ("secret", "blue"))
        self.assertNotIn("secret", repr(caller))

    def test_arrives(self) -> None:
        """No byte is requested before the certificate is there."""
        self.assertEqual((self.connection.received, self.shown()), (b"", "saving"))
        assert self.known.waiting is not None
        self.known.waiting.callback(pem(certificate(private_key("ECC_SECP384R1"), NOW - DAY, NOW + DAY)))
        self.assertEqual([answer.status for answer in self.connection.answers()], [100])
        self.connection.send(DATA)
        self.assertEqual(self.final_status(self.connection), 204)

    def test_fails(self) -> None:
        """400 or 503, and the image is queued."""
        assert self.known.waiting is not None
        self.known.waiting.errback(CertificatesUnavailable("Barbican does not answer in time."))
        self.assertEqual((self.final_status(self.connection), self.shown()), (503, "queued"))
        self.known.waiting = Deferred()
        self.image = self.begin()
        self.known.waiting.errback(BadSignature("not for you"))
        self.assertEqual((self.final_status(self.connection), self.shown()), (400, "queued"))

    def test_client_leaves(self) -> None:
        """The upload ends when the certificate comes, and the image is queued again."""
        self.connection.lose()
        self.assertEqual(self.shown(), "saving")
        assert self.known.waiting is not None
        self.known.waiting.callback(pem(certificate(private_key("ECC_SECP384R1"), NOW - DAY, NOW + DAY)))
        self.assertEqual(self.shown(), "queued")
        self.assert_nothing_kept()


class StartTests(SynchronousTestCase):
    """Files that must exist at the start."""

    def test_missing(self) -> None:
        """A missing folder or file is reported in one line."""
        for name in ("certificates", "trusted_ca"):
            folder = Path(self.mktemp())
            folder.mkdir(parents=True)
            error = self.assertRaises(ConfigurationError, MemoryServer, folder, {"signatures": {name: "absent"}})
            self.assertIn(f"signatures.{name} = ", str(error))
