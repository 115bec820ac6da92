"""The places of certificates that the configuration names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imgsvc.certificates.folder import CertificateFolder
from imgsvc.certificates.several import SeveralPlaces
from imgsvc.config import Signatures
from imgsvc.interfaces import ICertificates, IThreads


def make_certificates(options: Signatures, data_folder: Path, reactor: Any, threads: IThreads) -> ICertificates | None:
    """Where certificates are looked for, the folder first; None: nowhere. Raises ConfigurationError."""
    places: list[ICertificates] = []
    if options.certificates:
        places.append(CertificateFolder(data_folder / options.certificates, threads))
    if options.barbican:
        from twisted.web.client import Agent, HTTPConnectionPool  # a twentieth of the start that only few need

        from imgsvc.certificates.barbican import Barbican

        agent = Agent(reactor, connectTimeout=options.barbican_timeout, pool=HTTPConnectionPool(reactor, False))
        places.append(Barbican(options.barbican, agent, reactor, options.barbican_timeout))
    return SeveralPlaces(places) if places else None
