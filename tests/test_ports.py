"""Listening sockets, and the limit of open files."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
from pathlib import Path

from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.daemon import descriptors
from imgsvc.daemon.listening import listen_endpoints
from imgsvc.daemon.ports import ACCEPTED_AT_ONCE, ListeningReactor, longest_backlog, with_backlog
from imgsvc.errors import ConfigurationError
from tests.support.waiting import PATIENCE

HERE = "interface=127.0.0.1"


class BacklogTests(SynchronousTestCase):
    """The backlog of listening sockets."""

    def test_longest(self) -> None:
        """The backlog is the largest that the kernel allows."""
        self.assertEqual(longest_backlog(), int(Path("/proc/sys/net/core/somaxconn").read_text()))

    def test_descriptions(self) -> None:
        """Endpoints without a backlog get the largest, wherever the argument may be. Others are unchanged."""
        longest = f":backlog={longest_backlog()}"
        for description in (
            "tcp:9292", "tcp:9292:127.0.0.1", f"tcp:9292:{HERE}", "tcp:port=9292", r"tcp6:9292:interface=\:\:1",
            "ssl:9292:key.pem:cert.pem", f"ssl:9292:privateKey=a:certKey=b:{HERE}", "unix:/run/imgsvc.sock",
            "unix:/run/imgsvc.sock:mode=660", "unix:/run/imgsvc.sock:660", r"unix:/run/a\:backlog=b",
        ):  # fmt: skip
            self.assertEqual(with_backlog(description), description + longest)
        for description in (
            "tcp:9292:backlog=10", "tcp:9292:127.0.0.1:10", "tcp6:9292:10", "unix:/a:660:10", "unix:/a:backlog=10",
            "ssl:9292:a:b:TLSv1_METHOD:127.0.0.1:10", "systemd:domain=INET:index=0", "nonsense", "",
        ):  # fmt: skip
            self.assertEqual(with_backlog(description), description)


class PortTests(SynchronousTestCase):
    """Ports of the server."""

    def listen(self, description: str) -> IListeningPort:
        """The port of an endpoint."""
        from twisted.internet import reactor

        (place,) = listen_endpoints(ListeningReactor(reactor), [description])
        ports: list[IListeningPort] = []
        coroutine = place.listen(Factory.forProtocol(Protocol))
        try:
            coroutine.send(None)
        except StopIteration as end:
            ports.append(end.value)
        (port,) = ports
        self.addCleanup(port.stopListening)
        return port

    def test_queue(self) -> None:
        """Many clients are connected although none of them was accepted yet."""
        port = self.listen(f"tcp:0:{HERE}")
        for _ in range(200):  # Twisted's own queue has 50 places, and the next one would wait for its time-out
            client = socket.create_connection(("127.0.0.1", port.getHost().port), PATIENCE)
            self.addCleanup(client.close)

    def test_accepts_a_few(self) -> None:
        """A port accepts a limited number of connections in one turn, however many wait."""
        for description in (f"tcp:0:{HERE}", f"unix:{self.mktemp()}"):
            port: object = self.listen(description)
            port.numberAccepts += 1000  # type: ignore[attr-defined]
            self.assertEqual(port.numberAccepts, ACCEPTED_AT_ONCE)  # type: ignore[attr-defined]


class DescriptorTests(SynchronousTestCase):
    """The limit of open files."""

    def test_most_connections(self) -> None:
        """The default is half of the rest, up to a maximum. A configured number is used if possible."""
        free = descriptors.allowed() - descriptors.RESERVED
        self.assertEqual(descriptors.most_connections(0), min(free // 2, descriptors.MOST_CONNECTIONS))
        self.assertEqual(descriptors.most_connections(7), 7)
        self.assertEqual(descriptors.most_connections(free), free)
        error = self.assertRaises(ConfigurationError, descriptors.most_connections, free + 1)
        self.assertIn(f"must be at most {free}", str(error))

    def test_raised(self) -> None:
        """The soft limit is raised to the hard one, up to a maximum."""
        code = (
            "import resource; from imgsvc.daemon import descriptors; "
            "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 1000)); descriptors.raise_limit(); "
            "print(*resource.getrlimit(resource.RLIMIT_NOFILE), descriptors.most_connections(0))"
        )
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        self.assertEqual(shown.split(), ["1000", "1000", "436"])
        self.assertLessEqual(descriptors.allowed(), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
