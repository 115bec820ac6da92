"""Certificates from a folder of this machine."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from imgsvc.certificates.limits import LARGEST, readable
from imgsvc.errors import CertificatesUnavailable, ConfigurationError, NoSuchCertificate
from imgsvc.interfaces import ICertificates, IThreads
from imgsvc.logger import make_logger
from imgsvc.model import Caller

log = make_logger()


@implementer(ICertificates)
class CertificateFolder:
    """Reads files named `UUID.pem` or `UUID.der`, with the UUID in lower case. Every caller may use them."""

    def __init__(self, folder: Path, threads: IThreads) -> None:
        """threads: where files are read, because the folder may be on a network.

        Raises ConfigurationError: there is no such folder.
        """
        if not folder.is_dir():
            raise ConfigurationError(f"signatures.certificates = {str(folder)!r}: must be a folder")
        self._folder = folder
        self._threads = threads

    def certificate(self, certificate_id: str, caller: Caller) -> Deferred[bytes]:
        """See ICertificates."""
        return self._threads.run(self._read, certificate_id)

    def stop(self) -> Deferred[None]:
        """See ICertificates. Running reads are not interrupted."""
        return succeed(None)

    def _read(self, certificate_id: str) -> bytes:
        try:
            name = str(UUID(certificate_id))  # only a UUID may become part of a path
        except ValueError:
            raise NoSuchCertificate(certificate_id) from None
        for suffix in (".pem", ".der"):
            try:
                with (self._folder / (name + suffix)).open("rb") as file:
                    return readable(file.read(LARGEST + 1), certificate_id)
            except FileNotFoundError:
                continue
            except OSError as error:
                log.error("certificate {name}: {error}", name=name + suffix, error=str(error))
                raise CertificatesUnavailable(f"Certificate {name} cannot be read: {error.strerror}.") from error
        raise NoSuchCertificate(certificate_id)
