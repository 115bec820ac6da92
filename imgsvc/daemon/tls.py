"""TLS for listeners. Certificates are replaced while the ports are open."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IListeningPort, IOpenSSLContextFactory
from zope.interface import implementer

__all__ = ["RenewableContext", "TlsReactor"]


@implementer(IOpenSSLContextFactory)
class RenewableContext:
    """A context factory that can be replaced. Connections that are open keep their certificates."""

    def __init__(self, factory: IOpenSSLContextFactory) -> None:
        self._factory = factory

    def getContext(self) -> Any:
        """See IOpenSSLContextFactory."""
        return self._factory.getContext()

    def become(self, other: RenewableContext) -> None:
        """Use the certificates of `other` for new connections."""
        self._factory = other._factory


class TlsReactor:
    """A reactor for one endpoint. context: of its listener; None without TLS, or before the endpoint listens."""

    def __init__(self, reactor: Any) -> None:
        """reactor: opens the port; None to open none and only read the certificates."""
        self._reactor = reactor
        self.context: RenewableContext | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort | None:
        """See IReactorSSL."""
        try:
            contextFactory.getContext()  # reads the files now, so that an error in them shows at once
        except Exception as error:  # of OpenSSL, which is imported only with TLS
            raise ValueError(f"the certificate and the key cannot be used: {error}") from error
        self.context = RenewableContext(contextFactory)
        if self._reactor is None:
            return None
        port_: IListeningPort = self._reactor.listenSSL(
            port, factory, contextFactory=self.context, backlog=backlog, interface=interface
        )
        return port_
