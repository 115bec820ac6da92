"""Tests of the API in mode `keystone`: what clients get, and what a change of the configuration does."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.config import Config, structure
from imgsvc.errors import ConfigurationError
from tests.support.network import Exchange, answer
from tests.support.server import Answer, ServerTestCase, fired

OPTIONS = {"auth_url": "http://192.0.2.1:5000", "username": "imgsvc", "password": "s3cret"}
TOKEN = {"X-Auth-Token": "t0ken"}


def tables(**options: Any) -> dict[str, Any]:
    """The configuration."""
    return {
        "server": {"listen": ["tcp:9292"]},
        "stores": {"local": {"kind": "memory"}},
        "identity": {"mode": "keystone", "keystone": {**OPTIONS, **options}},
    }


class KeystoneTests(ServerTestCase):
    """The whole server in memory, and Keystone at an address of its network."""

    tables: ClassVar[dict[str, Any]] = tables()

    def setUp(self) -> None:
        super().setUp()
        self.server.network.names["192.0.2.1"] = ["192.0.2.1"]
        self.asked: list[str] = []
        self.roles = ["member", "reader"]
        self.project = "project"

    def keystone(self, exchange: Exchange) -> None:
        """Keystone's answers."""
        self.asked.append(exchange.line)
        token: dict[str, Any] = {"expires_at": "2999-01-01T00:00:00.000000Z", "user": {"id": "user"}}
        if exchange.line.startswith("POST"):
            exchange.send(answer(201, json.dumps({"token": token}).encode(), "X-Subject-Token: own"))
        elif exchange.header("x-subject-token") == "t0ken":
            token |= {"project": {"id": self.project}, "roles": [{"name": role} for role in self.roles]}
            exchange.send(answer(200, json.dumps({"token": token}).encode()))
        else:
            exchange.send(answer(404))
        exchange.close()

    def serve(self) -> None:
        """Let Keystone answer from now on."""
        self.server.network.servers["192.0.2.1", 5000] = self.keystone

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        """A request, and the answer to it when what it waits for has come."""
        connection = self.server.connect()
        lines = {"Host": "imgsvc-test", **headers, **({} if body is None else {"Content-Length": str(len(body))})}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        connection.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + (body or b""))
        for _ in range(40):
            self.server.clock.advance(0.05)
        [found] = [each for each in connection.answers() if each.status >= 200]
        connection.lose()
        return found

    def test_no_token(self) -> None:
        """Who has no token is told where to get one."""
        found = self.server.request("GET", "/v2/images")
        self.assertEqual(found.status, 401)
        self.assertEqual(found.headers["www-authenticate"], 'Keystone uri="http://192.0.2.1:5000/v3"')
        self.assertEqual(self.server.request("GET", "/healthcheck").status, 200)
        self.assertEqual(self.server.request("GET", "/versions").status, 200)

    def test_caller(self) -> None:
        """The token decides whose images are made and who may make them."""
        self.serve()
        made = self.ask("POST", "/v2/images", TOKEN, b"{}")
        self.assertEqual((made.status, made.json["owner"]), (201, "project"))
        self.assertEqual(self.ask("GET", "/v2/images", {"X-Auth-Token": "bad"}).status, 401)
        self.assertEqual(len(self.asked), 3)
        self.assertEqual(self.server.request("GET", "/v2/images", TOKEN).status, 200)
        self.assertEqual(len(self.asked), 3)

    def test_away(self) -> None:
        """Without Keystone new tokens are 503, with the time after which to try again. Kept tokens go on."""
        self.serve()
        self.ask("GET", "/v2/images", TOKEN)
        self.server.network.servers.clear()
        found = self.ask("GET", "/v2/images", {"X-Auth-Token": "new"})
        self.assertEqual((found.status, found.headers["retry-after"]), (503, "1"))
        self.assertNotIn("www-authenticate", found.headers)
        found = self.server.request("GET", "/v2/images", {"X-Auth-Token": "new"})
        self.assertEqual((found.status, found.headers["retry-after"]), (503, "1"))
        self.assertEqual(self.server.request("GET", "/v2/images", TOKEN).status, 200)

    def test_reload(self) -> None:
        """A reload that does not change the options forgets nothing. Others begin anew."""
        self.serve()
        self.ask("GET", "/v2/images", TOKEN)
        self.server.server.reload(structure(Config, tables(), ""))
        self.assertEqual(self.server.request("GET", "/v2/images", TOKEN).status, 200)
        self.assertEqual(len(self.asked), 2)
        self.server.server.reload(structure(Config, tables(cache_time=60), ""))
        self.assertEqual(self.ask("GET", "/v2/images", TOKEN).status, 200)
        self.assertEqual(len(self.asked), 4)

    def test_end(self) -> None:
        """When the server ends, requests to Keystone end."""
        self.server.network.silent.add("192.0.2.1")
        connection = self.server.connect()
        connection.send(b"GET /v2/images HTTP/1.1\r\nHost: imgsvc-test\r\nX-Auth-Token: new\r\n\r\n")
        self.assertEqual(connection.answers(), [])
        stopping = Deferred.fromCoroutine(self.server.server.core.identities.stop())
        self.server.clock.advance(0)
        fired(stopping)
        [found] = connection.answers()
        self.assertEqual(found.status, 503)
        connection.lose()


class OptionTests(SynchronousTestCase):
    """What the options may not be."""

    def test_secret(self) -> None:
        """A wrong password is not shown."""

        for options in ({"password": 12345}, {"password": ["12345"]}, {"application_credential_secret": 12345}):
            error = self.assertRaises(ConfigurationError, structure, Config, tables(**options), "")
            self.assertIn("(not shown): must be a string", str(error))
            self.assertNotIn("12345", str(error))
