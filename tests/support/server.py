"""The whole server in memory: no socket, no thread, and a clock that the test moves."""

from __future__ import annotations

import json
import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IListeningPort
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.config import Config, structure
from imgsvc.daemon.server import Server
from imgsvc.interfaces import IStore
from imgsvc.web.openapi.routes import DescriptionRoutes
from tests.support.compiled import description_of, give_tables
from tests.support.description import Description
from tests.support.network import Network
from tests.support.threads import ImmediateThreads


@frozen
class Answer:
    """One HTTP response. headers: the last value of each, by its lower-case name."""

    status: int
    headers: dict[str, str] = field(factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Connection:
    """A client's connection, byte for byte.

    Bytes that the client has sent wait while the server does not read, as they would in the kernel.
    """

    def __init__(self, server: MemoryServer, peer: Any = None) -> None:
        self._server = server
        self._unread: deque[bytes] = deque()
        self._reading = False
        self.transport = _Transport(peerAddress=peer)
        self.transport.resumed = self._read_soon
        self.lost = False
        self.channel: Any = server.site.buildProtocol(peer)
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Give bytes to the server, and let it do what it can at once."""
        self._unread.append(data)
        self._read()
        self._server.clock.advance(0)

    def close_writing(self) -> None:
        """Half-close the connection. The server must have read everything."""
        assert not self._unread
        self.channel.readConnectionLost()
        self._server.clock.advance(0)

    @property
    def unread(self) -> int:
        """Bytes that the server has not read."""
        return sum(map(len, self._unread))

    @property
    def closed(self) -> bool:
        """Whether the server has closed the connection, or half-closed it."""
        return self.transport.disconnecting or self.transport.write_closed

    def _read_soon(self) -> None:
        if self._unread and not self._reading:
            self._server.clock.callLater(0, self._read)

    def _read(self) -> None:
        if self._reading:
            return
        self._reading = True
        try:
            while self._unread and self.transport.reads and not self.lost:
                data = self._unread.popleft()
                if len(data) > self.transport.bufferSize:
                    self._unread.appendleft(data[self.transport.bufferSize :])
                self.channel.dataReceived(data[: self.transport.bufferSize])
        finally:
            self._reading = False

    def lose(self, reason: Exception | None = None) -> None:
        """Lose the connection."""
        if not self.lost:
            self.lost = True
            self.transport.disconnecting = True
            self.channel.connectionLost(Failure(reason or ConnectionDone()))
            self._server.clock.advance(0)

    @property
    def received(self) -> bytes:
        """All that the server has sent."""
        return self.transport.value()

    def answers(self) -> list[Answer]:
        """The responses that the server has sent, including interim ones (100)."""
        data, answers = self.received, []
        while data:
            answer, data = parse_answer(data)
            answers.append(answer)
        return answers


class _Transport(StringTransport):
    """A StringTransport that reads and stops like a socket, and can be half-closed and cut."""

    write_closed = False
    aborting = False
    bufferSize = 1 << 16

    def __init__(self, **arguments: Any) -> None:
        super().__init__(lenient=True, **arguments)
        self.resumed: Callable[[], object] = lambda: None

    @property
    def reads(self) -> bool:
        return self.producerState == "producing" and not self.disconnecting

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self.resumed()

    def loseWriteConnection(self) -> None:
        self.write_closed = True

    def abortConnection(self) -> None:
        self.aborting = self.disconnecting = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to set."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Keep the last producer for the test."""
        self.producer, self.streaming = producer, streaming

    def unregisterProducer(self) -> None:
        self.producer = None


class MemoryServer:
    """A Server with a catalogue in `folder` and the stores of the configuration, controlled by the test.

    tables: the configuration as in TOML; the default is one store in memory. wrap_store: gets each store, and returns
    the one that replaces it. network: one that another server uses too.
    """

    def __init__(
        self,
        folder: Path,
        tables: dict[str, Any] | None = None,
        wrap_store: Callable[[IStore], IStore] | None = None,
        network: Network | None = None,
    ) -> None:
        self.clock = self.network = network or Network()
        self.folder = folder
        tables = {"stores": {"local": {"kind": "memory"}}, **(tables or {})}
        self.config = structure(Config, tables, "")
        self._tables = repr(sorted(tables.items()))
        give_tables(folder)
        self.server = Server(self.config, folder, self.clock, lambda name, size: ImmediateThreads())
        self.site = self.server.site
        if wrap_store is not None:
            self._wrap(wrap_store)
        self.start()

    def _wrap(self, wrap: Callable[[IStore], IStore]) -> None:
        registry: Any = self.server.core.stores  # which all users of stores share
        registry._stores = {store.store_id: wrap(store) for store in registry.every()}
        registry.default = registry.get(registry.default.store_id)

    @cached_property
    def _description(self) -> Description:
        key = f"{self.folder if self.config.images.schema_file else ''} {self._tables}"
        return description_of(key, lambda: self.document)

    @property
    def document(self) -> Any:
        """The description of the API."""
        [group] = [each for each in self.site.resource.groups if isinstance(each, DescriptionRoutes)]
        return group.document

    def store(self, store_id: str = "local") -> Any:
        """A store of the server."""
        return self.server.core.stores.get(store_id)

    def expire_leases(self) -> None:
        """Let the leases of all uploads expire by the database's clock."""
        with closing(sqlite3.connect(self.folder / "imgsvc.sqlite")) as connection, connection:
            connection.execute("UPDATE leases SET expires_at = 0")

    def query(self, statement: str) -> list[Any]:
        """The rows of a statement on the database."""
        with closing(sqlite3.connect(self.folder / "imgsvc.sqlite")) as connection:
            return connection.execute(statement).fetchall()

    def run_reaper(self) -> None:
        """One round of the reaper."""
        fired(self.server.core.reaper.round())

    def start(self) -> None:
        """Start the server. Called once."""

        async def listen(site: Any) -> list[IListeningPort]:
            return []

        fired(Deferred.fromCoroutine(self.server.start(listen)))

    def stop(self) -> None:
        """Stop the server."""
        stopping = Deferred.fromCoroutine(self.server.stop())
        for _ in range(10_000):
            if stopping.called:
                break
            self.clock.advance(0.05)
        fired(stopping)

    def connect(self, peer: Any = None) -> Connection:
        """A new connection."""
        return Connection(self, peer)

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Send a request on its own connection. Returns the final response, which the API's description must have."""
        connection = self.connect()
        lines = {"Host": "imgsvc-test", **(headers or {})}
        if body is not None and "Transfer-Encoding" not in lines:
            lines.setdefault("Content-Length", str(len(body)))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        connection.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (body or b""))
        answers = [answer for answer in connection.answers() if answer.status >= 200]
        connection.lose()
        if len(answers) != 1:
            raise AssertionError(f"{method} {path}: {len(answers)} answers")
        (answer,) = answers
        complaint = self._description.complaint(method, path, answer.status, answer.headers, answer.body)
        if complaint is not None and answer.status != 500:  # the test itself reports a 500
            raise AssertionError(f"{complaint}: see what describes the route")
        return answer

    def image(self, **fields: Any) -> dict[str, Any]:
        """A new image. The default formats are raw and bare."""
        document = {"disk_format": "raw", "container_format": "bare", **fields}
        answer = self.request("POST", "/v2/images", body=json.dumps(document).encode())
        assert answer.status == 201, answer
        made: dict[str, Any] = answer.json
        return made

    def put(self, image_id: str, data: bytes, **headers: str) -> Answer:
        """Upload data."""
        lines = {"Content-Type": "application/octet-stream", **headers}
        return self.request("PUT", f"/v2/images/{image_id}/file", lines, data)

    def show(self, image_id: str) -> dict[str, Any]:
        """The current image."""
        document: dict[str, Any] = self.request("GET", f"/v2/images/{image_id}").json
        return document


class ServerTestCase(SynchronousTestCase):
    """A test with a MemoryServer. `tables` is its configuration."""

    tables: ClassVar[dict[str, Any] | None] = None
    wrap_store: Callable[[IStore], IStore] | None = None

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        self.server = MemoryServer(self.folder, self.tables, type(self).wrap_store)
        self.addCleanup(self.server.stop)


def parse_answer(data: bytes) -> tuple[Answer, bytes]:
    """The first response in `data`, and what follows it. A body without a length goes to the end."""
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    status = int(first.split(" ")[1])
    if status < 200 or status in (204, 304):
        return Answer(status, headers), rest
    length = int(headers.get("content-length", len(rest)))
    return Answer(status, headers, rest[:length]), rest[length:]


def fired(deferred: Deferred[Any]) -> Any:
    """The result of a Deferred that has fired."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    if not results:
        raise AssertionError("not fired yet")
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]
