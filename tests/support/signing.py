"""Keys, certificates and signatures of images."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from imgsvc.errors import NoSuchCertificate
from imgsvc.interfaces import ICertificates
from imgsvc.model import Caller
from imgsvc.pipeline.signatures import CERTIFICATE, CURVES, HASH_METHOD, HASH_METHODS, KEY_TYPE, SIGNATURE

KNOWN_CURVES = [curve for curve in CURVES if hasattr(ec, curve)]
"""Those curves of the API that the installed cryptography library has."""
USABLE_TYPES = ["RSA-PSS", "DSA", *(f"ECC_{curve}" for curve in KNOWN_CURVES)]
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@lru_cache
def private_key(key_type: str, which: int = 0) -> Any:
    """A key of a type of `img_signature_key_type`. which: the number of the key, if there are several of a type."""
    if key_type == "RSA-PSS":
        return rsa.generate_private_key(65537, 2048)
    if key_type == "DSA":
        return dsa.generate_private_key(1024)
    if key_type == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(getattr(ec, key_type.removeprefix("ECC_"))())


def certificate(
    key: Any,
    since: datetime = NOW - DAY,
    until: datetime = NOW + DAY,
    issuer: tuple[str, Any] | None = None,
    name: str = "signer",
    is_authority: bool = False,
) -> x509.Certificate:
    """A certificate of a private key. issuer: name and key of the issuer; None: it is self-signed."""
    issuer_name, issuer_key = issuer or (name, key)
    hash_method = None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), True)
        .sign(issuer_key, hash_method)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def pem(certificate: x509.Certificate) -> bytes:
    """A certificate as text."""
    return certificate.public_bytes(Encoding.PEM)


def der(certificate: x509.Certificate) -> bytes:
    """A certificate as bytes."""
    return certificate.public_bytes(Encoding.DER)


def signed(key: Any, data: bytes, method: str = "SHA-256") -> str:
    """The signature of the data, made like openstackclient does."""
    algorithm = HASH_METHODS[method]
    if isinstance(key, rsa.RSAPrivateKey):
        raw = key.sign(data, padding.PSS(padding.MGF1(algorithm), padding.PSS.MAX_LENGTH), algorithm)
    elif isinstance(key, dsa.DSAPrivateKey):
        raw = key.sign(data, algorithm)
    else:
        raw = key.sign(data, ec.ECDSA(algorithm))
    return base64.b64encode(raw).decode()


def signature_properties(data: bytes, key_type: str = "ECC_SECP384R1", method: str = "SHA-256") -> dict[str, str]:
    """The four properties of an image with this data."""
    return {
        SIGNATURE: signed(private_key(key_type), data, method),
        HASH_METHOD: method,
        KEY_TYPE: key_type,
        CERTIFICATE: str(uuid.uuid5(uuid.NAMESPACE_OID, key_type)),
    }


@implementer(ICertificates)
class KnownCertificates:
    """Certificates by their ids. Notes the callers, and answers with `waiting` if that is set."""

    def __init__(self, certificates: dict[str, bytes]) -> None:
        self.certificates = certificates
        self.callers: list[Caller] = []
        self.waiting: Deferred[bytes] | None = None

    def certificate(self, certificate_id: str, caller: Caller) -> Deferred[bytes]:
        """See ICertificates."""
        self.callers.append(caller)
        if self.waiting is not None:
            return self.waiting
        if certificate_id not in self.certificates:
            return fail(NoSuchCertificate(certificate_id))
        return succeed(self.certificates[certificate_id])

    def stop(self) -> Deferred[None]:
        """See ICertificates."""
        return succeed(None)
