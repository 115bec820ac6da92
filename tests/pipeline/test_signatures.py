"""Tests of imgsvc.pipeline.signatures."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.errors import BadSignature, CertificatesUnavailable, ConfigurationError
from imgsvc.interfaces import ICertificates
from imgsvc.model import Caller, Image
from imgsvc.pipeline.signatures import (
    CERTIFICATE,
    CURVES,
    HASH_METHOD,
    HASH_METHODS,
    KEY_TYPE,
    KEY_TYPES,
    PROPERTIES,
    SIGNATURE,
    Signatures,
    Verifier,
    load_authorities,
)
from tests.support.server import fired
from tests.support.signing import (
    DAY,
    KNOWN_CURVES,
    NOW,
    USABLE_TYPES,
    KnownCertificates,
    certificate,
    der,
    pem,
    private_key,
    signature_properties,
)
from tests.support.threads import ImmediateThreads

DATA = b"the bytes of an image"
CALLER = Caller("user", "project", token="token")


def image(properties: dict[str, str]) -> Image:
    return Image(id="an-image", created_at=NOW, updated_at=NOW, properties=properties)


class SignatureTestCase(SynchronousTestCase):
    """A test with certificates for every key type."""

    def setUp(self) -> None:
        self.known = KnownCertificates(
            {signature_properties(b"", name)[CERTIFICATE]: pem(certificate(private_key(name))) for name in USABLE_TYPES}
        )

    def verifier(self, properties: dict[str, str], now: datetime = NOW, authorities: Any = None) -> Verifier | None:
        signatures = Signatures(self.known, ImmediateThreads(), authorities, lambda: now)
        found: Verifier | None = fired(Deferred.fromCoroutine(signatures.verifier(CALLER, image(properties))))
        return found

    def check(self, properties: dict[str, str], data: bytes = DATA) -> None:
        verifier = self.verifier(properties)
        assert verifier is not None
        verifier.check(hashlib.new(verifier.algorithm, data).digest())

    def refusal(self, properties: dict[str, str], **more: Any) -> str:
        return str(self.assertRaises(BadSignature, self.verifier, properties, **more))


class VerifyTests(SignatureTestCase):
    """Data and signatures."""

    def test_interface(self) -> None:
        """KnownCertificates provides the interface."""
        verifyObject(ICertificates, self.known)

    def test_every_kind(self) -> None:
        """A signature of every key type and hash method fits its own data, and no other."""
        for key_type in USABLE_TYPES:
            for method in HASH_METHODS:
                properties = signature_properties(DATA, key_type, method)
                self.check(properties)
                error = self.assertRaises(BadSignature, self.check, properties, DATA + b".")
                self.assertEqual(str(error), "Image an-image: its bytes are not what was signed.")

    def test_empty(self) -> None:
        """Empty data can be signed."""
        self.check(signature_properties(b""), b"")
        self.assertRaises(BadSignature, self.check, signature_properties(DATA), b"")

    def test_other_key(self) -> None:
        """A signature by another key of the same type does not fit."""
        for key_type in USABLE_TYPES:
            properties = signature_properties(DATA, key_type)
            self.known.certificates[properties[CERTIFICATE]] = pem(certificate(private_key(key_type, 1)))
            self.assertRaises(BadSignature, self.check, properties)

    def test_other_method(self) -> None:
        """A signature is made for one hash method, and does not fit with another."""
        properties = signature_properties(DATA, method="SHA-256") | {HASH_METHOD: "SHA-512"}
        self.assertRaises(BadSignature, self.check, properties)

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(st.sampled_from(USABLE_TYPES), st.binary(max_size=80))
    def test_nonsense(self, key_type: str, raw: bytes) -> None:
        """Bytes that are not a signature are refused like a signature that does not fit."""
        properties = signature_properties(DATA, key_type) | {SIGNATURE: base64.b64encode(raw).decode()}
        self.assertRaises(BadSignature, self.check, properties)

    def test_in_lines(self) -> None:
        """Base64 may have line breaks."""
        properties = signature_properties(DATA)
        text = properties[SIGNATURE]
        self.check(properties | {SIGNATURE: text[:64] + "\n" + text[64:] + "\n"})

    def test_caller(self) -> None:
        """Certificates are requested for the caller."""
        self.verifier(signature_properties(DATA))
        self.assertEqual(self.known.callers, [CALLER])


class PropertyTests(SignatureTestCase):
    """The values of the four properties."""

    def test_fewer(self) -> None:
        """An image that lacks one of the four is not verified, and no certificate is requested."""
        for name in PROPERTIES:
            properties = signature_properties(DATA)
            del properties[name]
            self.assertIsNone(self.verifier(properties))
        self.assertEqual(self.known.callers, [])

    def test_unusable(self) -> None:
        """An invalid property is reported, and no certificate is requested."""
        for changed, text in (
            ({HASH_METHOD: "MD5"}, "img_signature_hash_method 'MD5' is not one of SHA-224, SHA-256"),
            ({HASH_METHOD: "sha-256"}, "not one of"),
            ({HASH_METHOD: ""}, "not one of"),
            ({KEY_TYPE: "RSA"}, "img_signature_key_type 'RSA' is not one of RSA-PSS, DSA, ECC_SECT571K1"),
            ({KEY_TYPE: "ECC_SECP256R1"}, "not one of"),
            ({SIGNATURE: "not base64!"}, "img_signature is not base64."),
            ({SIGNATURE: "\u00fc"}, "img_signature is not base64."),
            ({SIGNATURE: "abc"}, "img_signature is not base64."),
            ({CERTIFICATE: "../../etc/passwd"}, "img_signature_certificate_uuid '../../etc/passwd' is not a UUID."),
            ({CERTIFICATE: ""}, "is not a UUID."),
            ({CERTIFICATE: "0" * 32}, "is not a UUID."),
        ):
            refusal = self.refusal(signature_properties(DATA) | changed)
            self.assertIn("Image an-image: the signature cannot be checked: ", refusal)
            self.assertIn(text, refusal)
        self.assertEqual(self.known.callers, [])

    def test_nowhere(self) -> None:
        """A server without certificates refuses signed images."""
        self.known = None  # type: ignore[assignment]
        self.assertIn("this server has no certificates", self.refusal(signature_properties(DATA)))

    def test_all_types_have_names(self) -> None:
        """The names of the key types are those of Glance."""
        self.assertEqual(KEY_TYPES[:2], ("RSA-PSS", "DSA"))
        self.assertEqual(KEY_TYPES[-1], "ECC_SECP384R1")
        self.assertEqual(len(KEY_TYPES), 8)


class CertificateTestCase(SignatureTestCase):
    """A test that creates its own certificate."""

    def put(self, encoded: bytes, key_type: str = "ECC_SECP384R1") -> dict[str, str]:
        """The properties of an image, and the certificate that they name."""
        properties = signature_properties(DATA, key_type)
        self.known.certificates[properties[CERTIFICATE]] = encoded
        return properties


class CertificateTests(CertificateTestCase):
    """Valid and invalid certificates."""

    def test_forms(self) -> None:
        """PEM, with text around it, and DER are accepted."""
        made = certificate(private_key("DSA"))
        for encoded in (pem(made), b"issued by me\n" + pem(made) + b"\n", der(made)):
            self.check(self.put(encoded, "DSA"))

    def test_none(self) -> None:
        """A certificate that does not exist is refused."""
        refusal = self.refusal(signature_properties(DATA) | {CERTIFICATE: "00000000-0000-0000-0000-000000000000"})
        self.assertIn("there is no certificate 00000000-0000-0000-0000-000000000000.", refusal)

    def test_unreadable(self) -> None:
        """Bytes that are not a certificate are refused."""
        made = certificate(private_key("DSA"))
        for encoded in (
            b"",
            b"-----BEGIN",
            b"nonsense",
            der(made)[:-9],
            pem(made)[:300],
            pem(made).replace(b"M", b"!"),
        ):
            self.assertIn("its certificate cannot be read", self.refusal(self.put(encoded)))

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(st.integers(min_value=0), st.integers(0, 255))
    def test_damaged(self, position: int, value: int) -> None:
        """A certificate with a changed byte is accepted or refused, without another effect."""
        encoded = bytearray(der(certificate(private_key("ECC_SECP384R1"))))
        encoded[position % len(encoded)] = value
        with contextlib.suppress(BadSignature):
            self.check(self.put(bytes(encoded)))

    def test_time(self) -> None:
        """The certificate must be valid now."""
        properties = self.put(pem(certificate(private_key("ECC_SECP384R1"))))
        self.assertIsNotNone(self.verifier(properties, now=NOW + DAY))
        self.assertIn("its certificate has expired.", self.refusal(properties, now=NOW + 2 * DAY))
        self.assertIn("its certificate is not valid yet.", self.refusal(properties, now=NOW - 2 * DAY))

    def test_wrong_key(self) -> None:
        """The key must have the type in the image's properties, including the curve."""
        for key_type, other in (("RSA-PSS", "DSA"), ("DSA", "RSA-PSS"), ("ECC_SECP384R1", "ECC_SECP521R1")):
            properties = self.put(pem(certificate(private_key(other))), key_type)
            self.assertIn(f"the key of its certificate is not of type {key_type}.", self.refusal(properties))
        for other in ("ed25519", "ECC_SECP256R1"):
            self.assertIn("not of type", self.refusal(self.put(pem(certificate(private_key(other))))))

    def test_curves_of_the_library(self) -> None:
        """A curve that the library does not have any more cannot be used, and an image with it is refused."""
        for curve in set(CURVES) - set(KNOWN_CURVES):
            properties = self.put(pem(certificate(private_key("ECC_SECP384R1"))))
            refusal = self.refusal(properties | {KEY_TYPE: f"ECC_{curve}"})
            self.assertIn(f"not of type ECC_{curve}.", refusal)

    def test_unavailable(self) -> None:
        """If certificates are unavailable, that is not an error of the signature."""
        self.known.waiting = Deferred()
        self.known.waiting.errback(CertificatesUnavailable("down"))
        self.assertRaises(CertificatesUnavailable, self.verifier, signature_properties(DATA))


class AuthorityTests(CertificateTestCase):
    """Only certificates of some issuers are accepted."""

    authority_key = private_key("ECC_SECP384R1", 9)

    def issued(self, issuer: Any = None, name: str = "root") -> dict[str, str]:
        made = certificate(private_key("ECC_SECP384R1"), issuer=(name, issuer or self.authority_key))
        return self.put(pem(made))

    def authority(self, **more: Any) -> Any:
        return certificate(self.authority_key, **{"name": "root", "is_authority": True, **more})

    def test_issued(self) -> None:
        """A certificate of one of the authorities is accepted."""
        other = certificate(private_key("DSA"), name="other", is_authority=True)
        self.assertIsNotNone(self.verifier(self.issued(), authorities=[other, self.authority()]))

    def test_not_issued(self) -> None:
        """Certificates of other issuers are refused, also with an authority's name and another key, and of
        expired authorities.
        """
        for issuer, authorities in (
            ({}, []),
            ({"issuer": private_key("DSA", 3)}, [self.authority()]),
            ({"name": "else"}, [self.authority()]),
            ({}, [self.authority(is_authority=False)]),
            ({}, [self.authority(since=NOW - 3 * DAY, until=NOW - DAY)]),
            ({}, [self.authority(since=NOW + DAY / 2)]),
        ):
            refusal = self.refusal(self.issued(**issuer), authorities=authorities)
            self.assertIn("was not issued by an authority that is trusted here.", refusal)

    def test_signed_by_itself(self) -> None:
        """A self-signed certificate is not accepted for that."""
        properties = self.put(pem(certificate(private_key("ECC_SECP384R1"))))
        self.assertIn("trusted", self.refusal(properties, authorities=[self.authority()]))

    def test_file(self) -> None:
        """Authorities are in a PEM file with any number of certificates. An invalid file is refused at the start."""
        file = self._file(pem(self.authority()) + pem(certificate(private_key("DSA"))))
        self.assertEqual(len(load_authorities(file, "signatures.trusted_ca")), 2)
        for content in (b"", b"nonsense"):
            error = self.assertRaises(
                ConfigurationError, load_authorities, self._file(content), "signatures.trusted_ca"
            )
            self.assertIn("signatures.trusted_ca = ", str(error))
            self.assertIn("holds no certificates in PEM", str(error))
        error = self.assertRaises(ConfigurationError, load_authorities, file.with_name("absent"), "x")
        self.assertIn("No such file", str(error))

    def _file(self, content: bytes) -> Path:
        file = Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file
