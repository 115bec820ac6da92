"""TLS of the client: which servers it trusts, and the certificate that it shows them."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

from OpenSSL.SSL import Connection
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    KeyPair,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from imgsvc.client.errors import LocalFileError
from imgsvc.client.identity.login import Tls

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def make_policy(tls: Tls) -> IPolicyForHTTPS:
    """Make the policy of an Agent. Raises LocalFileError: a file cannot be read, or has no certificate or key."""
    if tls == Tls():
        policy: IPolicyForHTTPS = BrowserLikePolicyForHTTPS()
        return policy
    return _Policy(tls)


@implementer(IPolicyForHTTPS)
class _Policy:
    def __init__(self, tls: Tls) -> None:
        self._insecure = tls.insecure
        self._trusted = None
        if tls.ca_file is not None and not tls.insecure:
            self._trusted = trustRootFromCertificates(_certificates(tls.ca_file))
        self._own, self._chain = None, []
        if tls.certificate_file is not None:
            first, *others = _certificates(tls.certificate_file)
            self._own = _with_key(first, tls.key_file or tls.certificate_file)
            self._chain = [each.original for each in others]
        self._unchecked = CertificateOptions(
            privateKey=self._own.privateKey.original if self._own else None,
            certificate=self._own.original if self._own else None,
            extraCertChain=self._chain or None,
        )

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        """See IPolicyForHTTPS."""
        if self._insecure:
            return _Unchecked(hostname, self._unchecked)
        more = {"extraCertChain": self._chain} if self._chain else {}
        creator: IOpenSSLClientConnectionCreator = optionsForClientTLS(
            hostname.decode("ascii"), self._trusted, self._own, extraCertificateOptions=more
        )
        return creator


@implementer(IOpenSSLClientConnectionCreator)
class _Unchecked:
    """Makes connections to a host whose certificate is not checked."""

    def __init__(self, hostname: bytes, options: CertificateOptions) -> None:
        self._hostname = hostname
        self._options = options

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> Connection:
        """See IOpenSSLClientConnectionCreator."""
        connection = Connection(self._options.getContext(), None)
        if not _is_address(self._hostname):
            connection.set_tlsext_host_name(self._hostname)
        return connection


def _is_address(hostname: bytes) -> bool:
    try:
        ip_address(hostname.decode("ascii").strip("[]"))
    except ValueError:
        return False
    return True


def _certificates(path: str) -> list[Certificate]:
    """Read the certificates of a PEM file: one at least."""
    found = _PEM.findall(_content(path))
    if not found:
        raise LocalFileError(path, "has no certificate in PEM form")
    try:
        return [Certificate.loadPEM(each) for each in found]
    except Exception as error:  # OpenSSL and its wrappers raise unrelated classes
        raise LocalFileError(path, "has a certificate that cannot be read") from error


def _with_key(certificate: Certificate, path: str) -> PrivateCertificate:
    try:
        key = KeyPair.load(_content(path), 1)  # FILETYPE_PEM
        both: PrivateCertificate = PrivateCertificate.fromCertificateAndKeyPair(certificate, key)
    except LocalFileError:
        raise
    except Exception as error:  # as above; assertions too
        raise LocalFileError(path, "has no key that fits the certificate and needs no password") from error
    return both


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise LocalFileError(path, error.strerror or "cannot be read") from error
