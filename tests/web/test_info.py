"""`/v2/info/stores` and its details."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.web.location_rigs import SERVICE, LocationTestCase
from tests.web.rigs import ADMIN, MEMBER, MEMORY, READER

PATHS = ("/v2/info/stores", "/v2/info/stores/detail")


class SeveralStoresTests(LocationTestCase):
    """A server with stores of every kind."""

    stores: ClassVar[dict[str, Any]] = {
        "default": "fast",
        "web": {"kind": "http", "description": "mirrors"},
        "fast": {**MEMORY, "weight": 7},
        "disks": {"kind": "file", "path": "disks", "thin_provisioning": True, "weight": -1},
        "area": {**MEMORY, "purpose": "staging"},
    }

    def test_brief(self) -> None:
        """Stores are in the order of the configuration, without reserved ones. Flags are "true", or absent."""
        for who in (MEMBER, READER, SERVICE, ADMIN):
            self.assertEqual(
                self.server.request("GET", "/v2/info/stores", who).json,
                {
                    "stores": [
                        {"id": "web", "description": "mirrors", "read-only": "true"},
                        {"id": "fast", "default": "true"},
                        {"id": "disks"},
                    ]
                },
            )

    def test_detail(self) -> None:
        """Administrators and services see kind, weight and properties."""
        for who in (ADMIN, SERVICE):
            answer = self.server.request("GET", "/v2/info/stores/detail", who)
            self.assertEqual(answer.status, 200)
            self.assertEqual(
                answer.json["stores"],
                [
                    {
                        "id": "web",
                        "description": "mirrors",
                        "read-only": "true",
                        "type": "http",
                        "weight": 0,
                        "properties": {},
                    },
                    {"id": "fast", "default": "true", "type": "memory", "weight": 7, "properties": {}},
                    {
                        "id": "disks",
                        "type": "file",
                        "weight": -1,
                        "properties": {
                            "data_dir": str((self.folder / "disks").absolute()),
                            "chunk_size": 65536,
                            "thin_provisioning": True,
                        },
                    },
                ],
            )

    def test_who(self) -> None:
        """401 without identity, and 403 for all others who ask for the details."""
        for path in PATHS:
            self.assertEqual(self.server.request("GET", path).status, 401)
        for who in (MEMBER, READER):
            self.assertEqual(self.server.request("GET", PATHS[1], who).status, 403)

    def test_form(self) -> None:
        """400 for a body, 405 for another method."""
        for path in PATHS:
            self.assertEqual(self.server.request("GET", path, ADMIN, b"{}").status, 400)
            answer = self.server.request("POST", path, ADMIN)
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"))


class OneStoreTests(LocationTestCase):
    """A server with one store."""

    stores: ClassVar[dict[str, Any]] = {"local": MEMORY}

    def test_none(self) -> None:
        """404, before the 403 for the details."""
        for path in PATHS:
            for who in (MEMBER, ADMIN):
                self.assertEqual(self.server.request("GET", path, who).status, 404)

    def test_header(self) -> None:
        """No response names the store."""
        answer = self.server.request("POST", "/v2/images", MEMBER, b"{}")
        self.assertNotIn("openstack-image-store-ids", answer.headers)
