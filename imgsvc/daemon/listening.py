"""The endpoints of `server.listen`: opens their ports, and reads the certificates of those that use TLS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from imgsvc.daemon.ports import with_backlog
from imgsvc.daemon.tls import RenewableContext, TlsReactor
from imgsvc.errors import ConfigurationError


@frozen
class ListenEndpoint:
    """One endpoint of server.listen. description: its text in the configuration. endpoint: what Twisted makes of it."""

    description: str
    endpoint: IStreamServerEndpoint
    _tls: TlsReactor

    async def listen(self, factory: IProtocolFactory) -> IListeningPort:
        """Open the port. Raises ConfigurationError: the port cannot be opened."""
        try:
            port: IListeningPort = await self.endpoint.listen(factory)
        except (CannotListenError, OSError, OverflowError, ValueError) as error:  # a bad port number or path
            raise ConfigurationError(f"server.listen = {self.description!r}: {error}") from error
        return port

    def read_certificates(self) -> RenewableContext | None:
        """Read the certificate files again. None without TLS. Raises ConfigurationError: they cannot be used."""
        return None if self._tls.context is None else read_certificates(self.description)

    def renew(self, context: RenewableContext | None) -> None:
        """Use `context`, which `read_certificates` returned, for new connections."""
        if self._tls.context is not None and context is not None:
            self._tls.context.become(context)


def read_certificates(description: str) -> RenewableContext | None:
    """Read the certificate files of an endpoint, without opening its port. None if the endpoint does not use TLS.

    Raises ConfigurationError: the files cannot be used.
    """
    endpoint = _listen_endpoint(None, description)
    if not description.startswith("ssl:"):
        return None
    failures: list[Failure] = []
    endpoint.endpoint.listen(Factory()).addErrback(failures.append)  # has its result at once, as there is no reactor
    for failure in failures:
        raise ConfigurationError(f"server.listen = {description!r}: {failure.getErrorMessage()}")
    return endpoint._tls.context


def listen_endpoints(reactor: Any, descriptions: Sequence[str]) -> list[ListenEndpoint]:
    """Parse the strings of server.listen.

    reactor: opens the ports.

    Raises ConfigurationError: a string is not an endpoint.
    """
    return [_listen_endpoint(reactor, description) for description in descriptions]


def _listen_endpoint(reactor: Any, description: str) -> ListenEndpoint:
    tls = TlsReactor(reactor)
    try:
        return ListenEndpoint(description, serverFromString(tls, with_backlog(description)), tls)
    except OSError as error:
        raise ConfigurationError(f"server.listen = {description!r}: {error}") from error
    except Exception as error:  # the parser of each kind raises other exceptions
        raise ConfigurationError(
            f"server.listen = {description!r}: {error}; must be an endpoint, as tcp:9292:interface=127.0.0.1"
        ) from error


def address_of(port: IListeningPort) -> str:
    """The address of a port, for the log: `http://127.0.0.1:9292` or `unix:/path`."""
    scheme = "https" if getattr(port, "_type", "TCP") == "TLS" else "http"  # set by the `listenSSL` of reactors
    address: Any = port.getHost()
    if not hasattr(address, "port"):
        return f"unix:{address.name.decode()}"
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{scheme}://{host}:{address.port}"
