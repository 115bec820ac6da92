"""The API with identity.mode = "users"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.config import Config, structure
from imgsvc.errors import ConfigurationError
from imgsvc.identity.users.attempts import OF_USER
from tests.support.server import MemoryServer
from tests.support.users import a_user, basic, with_token, write_users

TABLES: dict[str, Any] = {"identity": {"mode": "users"}}


class UsersApiTests(SynchronousTestCase):
    """The whole server in memory."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.root, made = with_token(a_user("root", ops="admin"), "ops")
        self.token = made.text
        self.users = (self.root, a_user("alice", blue="member"), a_user("bob", red="member", blue="reader"))

    def server(self) -> MemoryServer:
        """A server with these users."""
        write_users(self.folder / "users.json", *self.users)
        server = MemoryServer(self.folder, TABLES)
        self.addCleanup(server.stop)
        return server

    def test_projects(self) -> None:
        """The owner of an image is the project of its maker, and others do not see it."""
        server = self.server()
        body = json.dumps({"disk_format": "raw", "container_format": "bare"}).encode()
        made = server.request("POST", "/v2/images", basic("alice"), body)
        self.assertEqual((made.status, made.json["owner"]), (201, "blue"))
        path = f"/v2/images/{made.json['id']}"
        self.assertEqual(server.request("GET", path, basic("bob")).status, 404)
        in_blue = {**basic("bob"), "X-Project-Id": "blue"}
        self.assertEqual(server.request("GET", path, in_blue).status, 200)
        self.assertEqual(server.request("DELETE", path, in_blue).status, 403)
        self.assertEqual(server.request("GET", path, {"X-Auth-Token": self.token}).status, 200)
        self.assertEqual(server.request("DELETE", path, basic("root")).status, 204)

    def test_challenge(self) -> None:
        """A 401 says how to log in. Paths outside of /v2 need no user."""
        server = self.server()
        for headers in ({}, basic("alice", "wrong"), basic("nobody"), {"X-Auth-Token": "x"}):
            answer = server.request("GET", "/v2/images", headers)
            self.assertEqual(answer.status, 401)
            self.assertEqual(answer.headers["www-authenticate"], 'Basic realm="imgsvc", charset="UTF-8"')
        self.assertEqual(server.request("GET", "/v2/nothing").status, 401)
        self.assertEqual(server.request("GET", "/versions").status, 200)

    def test_too_many(self) -> None:
        """After too many wrong passwords the answer is 429, and says when to come again."""
        server = self.server()
        for number in range(OF_USER.burst):
            wrong = basic("alice", f"guess {number}")
            self.assertEqual(server.request("GET", "/v2/images", wrong).status, 401)
        answer = server.request("GET", "/v2/images", basic("alice"))
        self.assertEqual((answer.status, answer.headers["retry-after"]), (429, "10"))
        self.assertEqual(server.request("GET", "/v2/images", basic("bob")).status, 200)
        server.clock.advance(10)
        self.assertEqual(server.request("GET", "/v2/images", basic("alice")).status, 200)

    def test_reload(self) -> None:
        """A reload reads the users again, and does not forget the wrong passwords."""
        server = self.server()
        for number in range(OF_USER.burst):
            server.request("GET", "/v2/images", basic("alice", f"guess {number}"))
        self.users = (a_user("alice", blue="member"), a_user("carol", blue="member"))
        write_users(self.folder / "users.json", *self.users)
        server.server.reload(server.config)
        self.assertEqual(server.request("GET", "/v2/images", basic("carol")).status, 200)
        self.assertEqual(server.request("GET", "/v2/images", {"X-Auth-Token": self.token}).status, 401)
        self.assertEqual(server.request("GET", "/v2/images", basic("alice")).status, 429)
        (self.folder / "users.json").chmod(0o644)
        self.assertRaises(ConfigurationError, server.server.reload, server.config)
        self.assertEqual(server.request("GET", "/v2/images", basic("carol")).status, 200)

    def test_no_users(self) -> None:
        """Without any user the start is refused, and one line says how to make one."""
        for users in (None, ()):
            if users is not None:
                write_users(self.folder / "users.json")
            error = self.assertRaises(ConfigurationError, MemoryServer, self.folder, TABLES)
            self.assertIn("`imgsvc-admin user add NAME --project PROJECT=admin`", str(error))

    def test_first_start(self) -> None:
        """Who wants to serve other machines without an identity is told how to make the first user."""
        tables = {"server": {"listen": ["tcp:9292"]}}
        error = self.assertRaises(ConfigurationError, structure, Config, tables, "")
        self.assertIn("add --first-user NAME", str(error))
        structure(Config, {**tables, **TABLES}, "")
