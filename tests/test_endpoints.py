"""Advice for texts that are not endpoints."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.config import Config, Identity, Server
from imgsvc.daemon.listening import listen_endpoints
from imgsvc.endpoints import advice
from imgsvc.errors import ConfigurationError

MEANT = {
    "9522": "tcp:9522:interface=127.0.0.1",
    ":9522": "tcp:9522:interface=127.0.0.1",
    "localhost:9522": "tcp:9522:interface=localhost",
    "127.0.0.1:9522": "tcp:9522:interface=127.0.0.1",
    "*:9522": "tcp:9522:interface=0.0.0.0",
    "[::1]:9522": r"tcp6:9522:interface=\:\:1",
    "tcp:127.0.0.1:9522": "tcp:9522:interface=127.0.0.1",
    "tcp://127.0.0.1:9522": "tcp:9522:interface=127.0.0.1",
    "http://images.example:9522/": "tcp:9522:interface=images.example",
    "https://192.0.2.1:9522": "ssl:9522:interface=192.0.2.1:privateKey=FILE:certKey=FILE",
    "/run/imgsvc.sock": "unix:/run/imgsvc.sock",
}


class AdviceTests(SynchronousTestCase):
    """imgsvc.endpoints.advice"""

    def test_meant(self) -> None:
        """For forms that are common elsewhere there is advice, and the advised text is an endpoint."""
        for text, meant in MEANT.items():
            self.assertEqual(advice(text), meant)
            self.assertIsNone(advice(meant))
            if "FILE" not in meant:
                listen_endpoints(None, [meant])

    def test_endpoints(self) -> None:
        """There is no advice for endpoints, and for texts whose meaning cannot be guessed."""
        for text in ("tcp:9292", "tcp6:9292", "ssl:9292", "unix:/a:mode=660", "systemd:domain=INET:index=0", "", "a b"):
            self.assertIsNone(advice(text))

    def test_refused(self) -> None:
        """The configuration gives the advice."""
        for identity in (Identity(), Identity(allow_remote=True), Identity("proxy")):
            error = self.assertRaises(
                ConfigurationError,
                Config,
                server=Server(listen=("tcp:9292:interface=127.0.0.1", "9522")),
                identity=identity,
            )
            self.assertEqual(str(error), "server.listen = '9522': must be an endpoint, as tcp:9522:interface=127.0.0.1")
