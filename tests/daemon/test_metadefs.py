"""Metadata definitions in a daemon with several processes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.daemon import Daemon

ROOT = "/v2/metadefs/namespaces"
CLIENTS = 12


class TogetherTests(SynchronousTestCase):
    """Many clients at once, with two processes."""

    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        self.daemon = Daemon(folder, "[server]\nworkers = 2\n")
        self.addCleanup(self.daemon.end)
        self.daemon.start()

    def together(self, method: str, targets: list[str], documents: list[Any]) -> list[int]:
        """The statuses of concurrent requests."""

        def send(target: str, document: Any) -> int:
            body = None if document is None else json.dumps(document).encode()
            return self.daemon.request(method, target, body=body)[0]

        with ThreadPoolExecutor(len(targets)) as threads:
            return sorted(threads.map(send, targets, documents))

    def read(self, path: str) -> Any:
        return json.loads(self.daemon.request("GET", f"{ROOT}{path}")[2])

    def test_one_name(self) -> None:
        """Of all requests that create one name, one succeeds with its contents, and the others get an error."""
        for number in range(5):
            name = f"name {number}"
            documents = [{"namespace": name, "tags": [{"name": f"tag {tag}"}]} for tag in range(CLIENTS)]
            self.assertEqual(self.together("POST", [ROOT] * CLIENTS, documents), [201] + [409] * (CLIENTS - 1))
        names = self.read("")["namespaces"]
        self.assertEqual(len(names), 5)
        for each in names:
            self.assertEqual(len(self.read(f"/{each['namespace'].replace(' ', '%20')}/tags")["tags"]), 1)

    def test_one_namespace(self) -> None:
        """All changes of one namespace take effect."""
        self.daemon.request("POST", ROOT, body=b'{"namespace": "one"}')
        tags = [f"{ROOT}/one/tags/{number}" for number in range(CLIENTS)]
        self.assertEqual(self.together("POST", tags, [None] * CLIENTS), [201] * CLIENTS)
        self.assertEqual(len(self.read("/one/tags")["tags"]), CLIENTS)
        types = [{"name": f"type {number // 2}", "prefix": "x"} for number in range(CLIENTS)]
        statuses = self.together("POST", [f"{ROOT}/one/resource_types"] * CLIENTS, types)
        self.assertEqual(statuses, [201] * (CLIENTS // 2) + [409] * (CLIENTS // 2))
        self.assertEqual(self.together("DELETE", tags, [None] * CLIENTS), [204] * CLIENTS)
        self.assertEqual(self.read("/one/tags")["tags"], [])
