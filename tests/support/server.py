"""The whole server in memory: no socket, no thread, and a clock that the test moves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.compose import Server
from imgsvc.config import Config, structure
from tests.support.threads import ImmediateThreads


@frozen
class Answer:
    """One HTTP answer. headers: the last value of each, by its lower-case name."""

    status: int
    headers: dict[str, str] = field(factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Connection:
    """A client's connection, byte for byte."""

    def __init__(self, server: MemoryServer, peer: Any = None) -> None:
        self._server = server
        self.transport = _Transport(peerAddress=peer)
        self.channel: Any = server.site.buildProtocol(peer)
        self.channel.makeConnection(self.transport)
        self.lost = False

    def send(self, data: bytes) -> None:
        """Give bytes to the server, and let it do what it does at once."""
        self.channel.dataReceived(data)
        self._server.clock.advance(0)

    def lose(self, reason: Exception | None = None) -> None:
        """The connection is gone."""
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
        """What the server has sent, as answers; interim ones (100) too."""
        data, answers = self.received, []
        while data:
            answer, data = parse_answer(data)
            answers.append(answer)
        return answers


class _Transport(StringTransport):
    """A StringTransport whose half can be closed, and that can be cut."""

    write_closed = False

    def loseWriteConnection(self) -> None:
        self.write_closed = True

    def abortConnection(self) -> None:
        self.aborting = self.disconnecting = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to set."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """The latest counts; a test looks at it."""
        self.producer, self.streaming = producer, streaming

    def unregisterProducer(self) -> None:
        self.producer = None


class MemoryServer:
    """A Server with a catalogue in `folder` and the stores of the configuration, driven by hand.

    tables: the configuration as it would stand in TOML; by default one memory store.
    """

    def __init__(self, folder: Path, tables: dict[str, Any] | None = None) -> None:
        self.clock = Clock()
        tables = {"stores": {"local": {"kind": "memory"}}, **(tables or {})}
        self.config = structure(Config, tables, "")
        self.server = Server(self.config, folder, self.clock, lambda name, size: ImmediateThreads())
        self.site = self.server.site
        self.start()

    def start(self) -> None:
        """Called once."""

        async def listen(site: Any) -> list[IListeningPort]:
            return []

        fired(Deferred.fromCoroutine(self.server.start(listen)))

    def stop(self) -> None:
        """End it."""
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
        """One request on a connection of its own; the final answer."""
        connection = self.connect()
        lines = {"Host": "imgsvc.test", **(headers or {})}
        if body is not None and "Transfer-Encoding" not in lines:
            lines.setdefault("Content-Length", str(len(body)))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        connection.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (body or b""))
        answers = [answer for answer in connection.answers() if answer.status >= 200]
        connection.lose()
        if len(answers) != 1:
            raise AssertionError(f"{method} {path}: {len(answers)} answers")
        return answers[0]

    def image(self, **fields: Any) -> dict[str, Any]:
        """A new image, raw and bare unless told otherwise."""
        document = {"disk_format": "raw", "container_format": "bare", **fields}
        answer = self.request("POST", "/v2/images", body=json.dumps(document).encode())
        assert answer.status == 201, answer
        made: dict[str, Any] = answer.json
        return made

    def put(self, image_id: str, data: bytes, **headers: str) -> Answer:
        """Upload."""
        lines = {"Content-Type": "application/octet-stream", **headers}
        return self.request("PUT", f"/v2/images/{image_id}/file", lines, data)

    def show(self, image_id: str) -> dict[str, Any]:
        """The image as it is now."""
        document: dict[str, Any] = self.request("GET", f"/v2/images/{image_id}").json
        return document


class ServerTestCase(SynchronousTestCase):
    """A test with a MemoryServer. `tables` is its configuration."""

    tables: dict[str, Any] | None = None

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        self.server = MemoryServer(self.folder, self.tables)
        self.addCleanup(self.server.stop)


def parse_answer(data: bytes) -> tuple[Answer, bytes]:
    """The first answer in `data`, and what follows it. A body without a length goes to the end."""
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
