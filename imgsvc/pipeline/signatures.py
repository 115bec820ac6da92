"""Signatures of images: reads them from the properties of an image, and verifies its bytes.

The four properties, the names of hash methods and key types, and the way in which each key type signs are those of
Glance (Image API user guide, "Image Signature Verification").
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from imgsvc.errors import BadSignature, ConfigurationError
from imgsvc.interfaces import ICertificates, IThreads
from imgsvc.model import Caller, Image

T = TypeVar("T")

SigningKey = rsa.RSAPublicKey | dsa.DSAPublicKey | ec.EllipticCurvePublicKey

SIGNATURE: Final = "img_signature"
HASH_METHOD: Final = "img_signature_hash_method"
KEY_TYPE: Final = "img_signature_key_type"
CERTIFICATE: Final = "img_signature_certificate_uuid"
PROPERTIES: Final = (SIGNATURE, HASH_METHOD, KEY_TYPE, CERTIFICATE)

HASH_METHODS: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "SHA-224": hashes.SHA224(),
    "SHA-256": hashes.SHA256(),
    "SHA-384": hashes.SHA384(),
    "SHA-512": hashes.SHA512(),
}
CURVES: Final = ("SECT571K1", "SECT409K1", "SECT571R1", "SECT409R1", "SECP521R1", "SECP384R1")
"""The curves that Glance accepts. Newer versions of the cryptography library know the last two only."""
KEY_TYPES: Final = ("RSA-PSS", "DSA", *(f"ECC_{curve}" for curve in CURVES))

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@frozen
class Verifier:
    """Verifies one image. algorithm: hashlib's name of the digest that `check` takes."""

    algorithm: str
    _image_id: str
    _verify: Callable[[bytes], None]

    def check(self, digest: bytes) -> None:
        """Verify the raw digest of the image's bytes. This computes for a while, so call it in a thread.

        Raises BadSignature: the signature is not one of this digest.
        """
        try:
            self._verify(digest)
        except (InvalidSignature, ValueError) as error:  # ValueError: the key is too short for the hash
            raise BadSignature(f"Image {self._image_id}: its bytes are not what was signed.") from error


class Signatures:
    """Makes the verifiers of images.

    certificates: provides certificates; None: there are none, and signed images are refused. authorities: the
    certificate authorities, of which one must have issued a certificate; None: any issuer is accepted. now: returns the
    time at which certificates must be valid.
    """

    def __init__(
        self,
        certificates: ICertificates | None,
        threads: IThreads,
        authorities: Sequence[x509.Certificate] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._certificates = certificates
        self._threads = threads
        self._authorities = authorities
        self._now = now

    async def verifier(self, caller: Caller, image: Image) -> Verifier | None:
        """Make the verifier of an image; None if the image does not have all four properties.

        Raises BadSignature: the properties or the certificate cannot be used. Raises CertificatesUnavailable.
        """
        if not all(name in image.properties for name in PROPERTIES):
            return None
        signature, method, key_type, certificate_id = (image.properties[name] for name in PROPERTIES)
        try:
            hash_method = _one_of(HASH_METHODS, HASH_METHOD, method)
            _one_of(dict.fromkeys(KEY_TYPES), KEY_TYPE, key_type)
            raw = _decode(signature)
            if not _UUID.fullmatch(certificate_id):
                raise BadSignature(f"{CERTIFICATE} {certificate_id!r} is not a UUID.")
            if self._certificates is None:
                raise BadSignature("this server has no certificates to check it with.")
            encoded = await self._certificates.certificate(certificate_id, caller)
            key = await self._threads.run(self._usable_key, encoded, key_type)
            verify = _verify_with(key, raw, hash_method)
        except BadSignature as error:
            raise BadSignature(f"Image {image.id}: the signature cannot be checked: {error}") from error
        return Verifier(hash_method.name, image.id, verify)

    def _usable_key(self, encoded: bytes, key_type: str) -> SigningKey:
        """The public key of a certificate. Raises BadSignature: the certificate is not valid now, or not of this key
        type.
        """
        try:
            certificate = _load(encoded)
            self._require_valid(certificate)
            key = certificate.public_key()
        except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
            raise BadSignature("its certificate cannot be read by this server.") from error
        if not isinstance(key, SigningKey) or type_of(key) != key_type:
            raise BadSignature(f"the key of its certificate is not of type {key_type}.")
        return key

    def _require_valid(self, certificate: x509.Certificate) -> None:
        now = self._now()
        if now < certificate.not_valid_before_utc:
            raise BadSignature("its certificate is not valid yet.")
        if now > certificate.not_valid_after_utc:
            raise BadSignature("its certificate has expired.")
        if self._authorities is not None and not any(
            _has_issued(authority, certificate, now) for authority in self._authorities
        ):
            raise BadSignature("its certificate was not issued by an authority that is trusted here.")


def load_authorities(file: Path, option: str) -> list[x509.Certificate]:
    """The certificates in a PEM file. option: the option that names the file, for messages.

    Raises ConfigurationError: the file cannot be read, or holds no certificates.
    """
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds no certificates in PEM"
        raise ConfigurationError(f"{option} = {str(file)!r}: {reason}") from None


def type_of(key: object) -> str | None:
    """The name of a key's type in `img_signature_key_type`; None if images cannot be signed with such a key."""
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA-PSS"
    if isinstance(key, dsa.DSAPublicKey):
        return "DSA"
    if isinstance(key, ec.EllipticCurvePublicKey):
        name = f"ECC_{key.curve.name.upper()}"
        return name if name in KEY_TYPES else None
    return None


def _verify_with(key: SigningKey, signature: bytes, method: hashes.HashAlgorithm) -> Callable[[bytes], None]:
    """A function that takes a raw digest, and raises InvalidSignature if the signature is not one of it."""
    hashed = Prehashed(method)
    if isinstance(key, rsa.RSAPublicKey):
        pss = padding.PSS(padding.MGF1(method), padding.PSS.MAX_LENGTH)
        return lambda digest: key.verify(signature, digest, pss, hashed)
    if isinstance(key, dsa.DSAPublicKey):
        return lambda digest: key.verify(signature, digest, hashed)
    return lambda digest: key.verify(signature, digest, ec.ECDSA(hashed))


def _one_of(names: Mapping[str, T], name: str, value: str) -> T:
    if value not in names:
        raise BadSignature(f"{name} {value!r} is not one of {', '.join(names)}.")
    return names[value]


def _decode(signature: str) -> bytes:
    try:
        return base64.b64decode("".join(signature.split()), validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: not ASCII
        raise BadSignature(f"{SIGNATURE} is not base64.") from error


def _load(encoded: bytes) -> x509.Certificate:
    is_pem = b"-----BEGIN" in encoded
    return x509.load_pem_x509_certificate(encoded) if is_pem else x509.load_der_x509_certificate(encoded)


def _has_issued(authority: x509.Certificate, certificate: x509.Certificate, now: datetime) -> bool:
    """Whether `authority` is a valid certificate authority now, and has issued `certificate` (RFC 5280, section 6)."""
    try:
        constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(authority)
    except (
        x509.ExtensionNotFound,
        x509.DuplicateExtension,
        InvalidSignature,
        UnsupportedAlgorithm,
        ValueError,
        TypeError,
    ):
        return False
    return constraints.ca and authority.not_valid_before_utc <= now <= authority.not_valid_after_utc
