"""What `server.listen` describes: endpoints, the ports that they open, and the certificates of those that speak TLS."""

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
    """One of server.listen: as it is written there, and what that means."""

    description: str
    endpoint: IStreamServerEndpoint
    _tls: TlsReactor

    async def listen(self, factory: IProtocolFactory) -> IListeningPort:
        """The open port. Raises ConfigurationError."""
        try:
            port: IListeningPort = await self.endpoint.listen(factory)
        except (CannotListenError, OSError, OverflowError, ValueError) as error:  # a number or a path that is none
            raise ConfigurationError(f"server.listen = {self.description!r}: {error}") from error
        return port

    def read_certificates(self) -> RenewableContext | None:
        """What its files say now, if it speaks TLS. Raises ConfigurationError."""
        return None if self._tls.context is None else read_certificates(self.description)

    def renew(self, context: RenewableContext | None) -> None:
        """Show new connections the certificate of `context`, which `read_certificates` gave."""
        if self._tls.context is not None and context is not None:
            self._tls.context.become(context)


def read_certificates(description: str) -> RenewableContext | None:
    """What the files of an endpoint say, if it speaks TLS. Binds nothing. Raises ConfigurationError."""
    endpoint = _listen_endpoint(None, description)
    if not description.startswith("ssl:"):
        return None
    failures: list[Failure] = []
    endpoint.endpoint.listen(Factory()).addErrback(failures.append)  # at once: there is no reactor
    for failure in failures:
        raise ConfigurationError(f"server.listen = {description!r}: {failure.getErrorMessage()}")
    return endpoint._tls.context


def listen_endpoints(reactor: Any, descriptions: Sequence[str]) -> list[ListenEndpoint]:
    """What the strings of server.listen describe. Raises ConfigurationError."""
    return [_listen_endpoint(reactor, description) for description in descriptions]


def _listen_endpoint(reactor: Any, description: str) -> ListenEndpoint:
    tls = TlsReactor(reactor)
    try:
        return ListenEndpoint(description, serverFromString(tls, with_backlog(description)), tls)
    except OSError as error:
        raise ConfigurationError(f"server.listen = {description!r}: {error}") from error
    except Exception as error:  # each kind has a parser of its own
        raise ConfigurationError(
            f"server.listen = {description!r}: {error}; must be an endpoint, as tcp:9292:interface=127.0.0.1"
        ) from error


def address_of(port: IListeningPort) -> str:
    """Where a port listens, for people and for scripts: `http://127.0.0.1:9292` or the path of a unix socket."""
    scheme = "https" if getattr(port, "_type", "TCP") == "TLS" else "http"  # as `listenSSL` of a reactor sets it
    address: Any = port.getHost()
    if not hasattr(address, "port"):
        return f"unix:{address.name.decode()}"
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{scheme}://{host}:{address.port}"
