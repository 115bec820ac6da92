"""TLS of listeners, whose certificates are renewed while they are open."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IListeningPort, IOpenSSLContextFactory
from zope.interface import implementer

__all__ = ["RenewableContext", "TlsReactor"]


@implementer(IOpenSSLContextFactory)
class RenewableContext:
    """Gives each new connection the context of the certificates that were read last."""

    def __init__(self, factory: IOpenSSLContextFactory) -> None:
        self._factory = factory

    def getContext(self) -> Any:
        """See IOpenSSLContextFactory."""
        return self._factory.getContext()

    def become(self, other: RenewableContext) -> None:
        """Give the other one's from now on."""
        self._factory = other._factory


class TlsReactor:
    """A reactor for one endpoint. context: that of its listener, if that speaks TLS and has begun to listen."""

    def __init__(self, reactor: Any) -> None:
        """reactor: None for one that binds nothing."""
        self._reactor = reactor
        self.context: RenewableContext | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort | None:
        """See IReactorSSL."""
        try:
            contextFactory.getContext()  # now, so that what is wrong with the files shows at once
        except Exception as error:  # of OpenSSL, which is not imported where nothing speaks TLS
            raise ValueError(f"the certificate and the key cannot be used: {error}") from error
        self.context = RenewableContext(contextFactory)
        if self._reactor is None:
            return None
        port_: IListeningPort = self._reactor.listenSSL(
            port, factory, contextFactory=self.context, backlog=backlog, interface=interface
        )
        return port_
