"""A configuration that changes while the server runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.config import Config, structure
from imgsvc.daemon.reload import Reloading, in_place
from imgsvc.errors import ConfigurationError
from tests.support.server import ServerTestCase

STORES = {"stores": {"local": {"kind": "memory"}}}
OCTETS = {"Content-Type": "application/octet-stream"}


def config(**tables: Mapping[str, Any]) -> Config:
    """The configuration of these tables, with one memory store."""
    return structure(Config, {**STORES, **tables}, "")


class InPlaceTests(SynchronousTestCase):
    """imgsvc.daemon.reload.in_place"""

    def test_same(self) -> None:
        """Equal configurations change nothing."""
        self.assertEqual(in_place(config(), config()), (config(), []))

    def test_mixed(self) -> None:
        """Reloadable options change. Others keep their values and are named."""
        wanted = config(
            server={"grace": 1, "workers": 3, "listen": ["unix:/a"]},
            identity={"proxy": {"peers": []}},
            database={"pool_size": 9},
            stores={"other": {"kind": "memory"}},
        )
        changed, waiting = in_place(config(), wanted)
        self.assertEqual(changed, config(server={"grace": 1}, identity={"proxy": {"peers": []}}))
        self.assertEqual(waiting, ["server.listen", "server.workers", "database.pool_size", "stores"])

    def test_together(self) -> None:
        """A mixture that is not valid is refused."""
        running = config(server={"listen": ["tcp:80"]}, identity={"mode": "proxy"})
        wanted = config(server={"listen": ["unix:/a"]})
        self.assertRaises(ConfigurationError, in_place, running, wanted)


class _Service:
    """Keeps its calls."""

    def __init__(self) -> None:
        self.reopened = 0
        self.configs: list[Config] = []
        self.refuses = False

    def reopen_log(self) -> None:
        self.reopened += 1

    async def reload(self, config: Config) -> None:
        if self.refuses:
            raise ConfigurationError("it is no good")
        self.configs.append(config)


class ReloadingTests(SynchronousTestCase):
    """imgsvc.daemon.reload.Reloading"""

    def test_refused(self) -> None:
        """After a refusal, the next reload starts from the configuration in force. The log file is reopened
        each time.
        """
        service = _Service()
        wanted = [config(server={"grace": 1})]
        reloading = Reloading(config(), lambda: wanted[0], service)
        service.refuses = True
        reloading()
        service.refuses = False
        wanted[0] = config(server={"idle_timeout": 2})
        reloading()
        self.assertEqual(service.configs, [config(server={"idle_timeout": 2})])
        self.assertEqual(service.reopened, 2)

    def test_nothing_to_read(self) -> None:
        """A file that cannot be read changes nothing."""
        service = _Service()

        def read() -> Config:
            raise ConfigurationError("no such file")

        Reloading(config(), read, service)()
        self.assertEqual((service.configs, service.reopened), ([], 1))


class ServerTests(ServerTestCase):
    """Server.reload"""

    def reload(self, **tables: Mapping[str, Any]) -> None:
        self.server.server.reload(config(**tables))

    def create(self, **fields: Any) -> int:
        document = {"disk_format": "raw", "container_format": "bare", **fields}
        return self.server.request("POST", "/v2/images", body=json.dumps(document).encode()).status

    def test_rules(self) -> None:
        """New requests follow the new options: of images, lists, quotas, identity and CORS."""
        image = self.server.image(tags=["one", "two"])
        self.reload(
            api={"limit_max": 1, "limit_default": 1},
            images={"disk_formats": ["iso"]},
            quotas={"tags": 1},
            server={"cors_origins": ["https://dashboard.example"]},
        )
        self.assertEqual(self.create(), 400)
        self.assertEqual(self.create(disk_format="iso"), 201)
        self.assertEqual(len(self.server.request("GET", "/v2/images").json["images"]), 1)
        self.assertEqual(self.server.request("PUT", f"/v2/images/{image['id']}/tags/three").status, 413)
        answer = self.server.request("GET", "/v2/images", {"Origin": "https://dashboard.example"})
        self.assertEqual(answer.headers["access-control-allow-origin"], "https://dashboard.example")
        self.reload(identity={"mode": "proxy"})
        self.assertEqual(self.server.request("GET", "/v2/images").status, 401)

    def test_open_connection(self) -> None:
        """An open connection follows them from its next request on."""
        connection = self.server.connect()
        head = "GET /v2/images HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.send(head.encode())
        self.reload(identity={"mode": "proxy"})
        connection.send(head.encode())
        self.assertEqual([answer.status for answer in connection.answers()], [200, 401])

    def test_upload_under_way(self) -> None:
        """A running upload keeps its rules, and the stop of the server waits for it."""
        image = self.server.image()
        connection = self.server.connect()
        connection.send(
            f"PUT /v2/images/{image['id']}/file HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
            "Content-Length: 10\r\n\r\nhalf.".encode()
        )
        self.reload(images={"size_cap": 1, "hash": "sha256"})
        self.assertEqual(len(self.server.server.core.uploads.running), 1)
        connection.send(b"half.")
        self.assertEqual([answer.status for answer in connection.answers()], [204])
        self.assertEqual(self.server.request("GET", f"/v2/images/{image['id']}").json["os_hash_algo"], "sha512")
        other = self.server.image()
        path = f"/v2/images/{other['id']}/file"
        self.assertEqual(self.server.request("PUT", path, OCTETS, b"more than one").status, 413)

    def test_tasks(self) -> None:
        """Catalogue, stores, tasks and thread pools stay the same. Tasks follow the new options."""
        before = self.server.server.core
        threads = list(before.threads)
        self.reload(images={"location_retries": 7})
        after = self.server.server.core
        self.assertEqual(after.hashing.rules.retries, 7)
        self.assertEqual(after.threads, threads)
        for name in ("catalogue", "stores", "reaper", "tasks", "hashing", "budgets", "health", "events"):
            self.assertIs(getattr(after, name), getattr(before, name), name)
        self.assertIs(after.deletion.at_work, before.deletion.at_work)

    def test_refused(self) -> None:
        """A refused configuration changes nothing."""
        before = self.server.server.core
        error = self.assertRaises(ConfigurationError, self.reload, quotas={"tags": 1}, policy={"file": "absent.yaml"})
        self.assertIn("absent.yaml", str(error))
        self.assertRaises(ConfigurationError, self.reload, quotas={"tags": 1}, images={"schema_file": "absent"})
        self.assertIs(self.server.server.core, before)
        self.assertEqual(self.create(tags=["one", "two"]), 201)
