"""Makes the provider of certificates that the configuration asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imgsvc.certificates.folder import CertificateFolder
from imgsvc.certificates.several import SeveralPlaces
from imgsvc.config import Signatures
from imgsvc.interfaces import ICertificates, IThreads


def make_certificates(options: Signatures, data_folder: Path, reactor: Any, threads: IThreads) -> ICertificates | None:
    """The provider of certificates, which looks in the folder first; None if the configuration names no place.

    reactor: for requests to Barbican. Raises ConfigurationError.
    """
    places: list[ICertificates] = []
    if options.certificates:
        places.append(CertificateFolder(data_folder / options.certificates, threads))
    if options.barbican:
        # Imported here, because the import takes a twentieth of the start-up time and few configurations need it.
        from imgsvc.certificates.barbican import Barbican, limits
        from imgsvc.remote.json_service import connect

        timeout = options.barbican_timeout
        service = connect("Barbican", options.barbican, reactor, limits(timeout), option="signatures.barbican")
        places.append(Barbican(service, reactor, timeout))
    return SeveralPlaces(places) if places else None
