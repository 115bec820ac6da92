"""Limits of projects in the whole server."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any, ClassVar

from tests.support.server import Answer, ServerTestCase
from tests.web.rigs import BEHIND_PROXY, MEMBER, identity


class UsageTests(ServerTestCase):
    """`/v2/info/usage`."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": {"local": {"kind": "memory"}},
        "identity": BEHIND_PROXY,
        "quotas": {"unified": True, "image_size_total": "3 MiB", "image_count_total": 2},
    }

    def make(self) -> Answer:
        return self.server.request("POST", "/v2/images", MEMBER, b'{"disk_format": "raw", "container_format": "bare"}')

    def usage(self, who: dict[str, str] = MEMBER) -> dict[str, Any]:
        usage: dict[str, Any] = self.server.request("GET", "/v2/info/usage", who).json["usage"]
        return usage

    def test_usage(self) -> None:
        """Each limit is shown with its usage, sizes in MiB; -1 is no limit."""
        image = self.make().json["id"]
        self.assertEqual(self.server.put(image, bytes(1 << 20), **MEMBER).status, 204)
        self.assertEqual(
            self.usage(),
            {
                "image_size_total": {"limit": 3, "usage": 1},
                "image_stage_total": {"limit": -1, "usage": 0},
                "image_count_total": {"limit": 2, "usage": 1},
                "image_count_uploading": {"limit": -1, "usage": 0},
            },
        )
        self.assertEqual(self.usage(identity("red", "reader"))["image_count_total"], {"limit": 2, "usage": 0})

    def test_without_project(self) -> None:
        """A caller without a project has no limits."""
        self.assertEqual(self.usage(identity(None, "reader")), {})

    def test_count_total(self) -> None:
        """One image more than the limit is 413. A deleted image makes room."""
        first = self.make().json["id"]
        self.make()
        refused = self.make()
        self.assertEqual(refused.status, 413)
        self.assertIn(b"Project blue has 2 images, and may not have more.", refused.body)
        self.assertNotIn("retry-after", refused.headers)
        self.server.request("DELETE", f"/v2/images/{first}", MEMBER)
        self.assertEqual(self.make().status, 201)

    def test_own_limits(self) -> None:
        """Limits of the project replace those of the configuration, and 0 allows nothing."""
        own = [("image_count_total", 0), ("image_size_total", -1), ("image_stage_total", 5 << 20)]
        with closing(sqlite3.connect(self.folder / "imgsvc.sqlite")) as connection, connection:
            connection.executemany("INSERT INTO project_limits VALUES ('blue', ?, ?)", own)
        self.assertEqual(self.make().status, 413)
        limits = {name: limit["limit"] for name, limit in self.usage().items()}
        self.assertEqual(
            limits,
            {"image_size_total": -1, "image_stage_total": 5, "image_count_total": 0, "image_count_uploading": -1},
        )


class NoUsageTests(ServerTestCase):
    """`/v2/info/usage` where projects have no limits."""

    def test_empty(self) -> None:
        """Nothing is shown."""
        self.assertEqual(self.server.request("GET", "/v2/info/usage").json, {"usage": {}})
