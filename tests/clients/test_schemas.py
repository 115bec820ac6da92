"""python-glanceclient builds its model of images from the published schemas, with an operator's properties."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from glanceclient import Client, exc
from twisted.trial.unittest import SynchronousTestCase

from tests.support.daemon import Daemon

OPERATORS = {
    "properties": {
        "kernel_id": {"type": ["null", "string"], "pattern": "^[0-9a-f-]{36}$", "description": "Kernel"},
        "os_type": {"type": "string", "enum": ["linux", "windows"], "description": "Kind of system"},
    },
    "required": ["os_type"],
}
TOML = """
[images]
schema_file = "../schema-image.json"
[stores.local]
kind = "memory"
"""


class SchemaTests(SynchronousTestCase):
    """A daemon with an operator's schema file."""

    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        self.daemon = Daemon(folder, TOML)
        (folder / "schema-image.json").write_text(json.dumps(OPERATORS))
        self.addCleanup(self.daemon.kill)
        self.daemon.start()
        self.glance: Any = Client("2", endpoint=self.daemon.endpoint, token="any")

    def test_model(self) -> None:
        """Base and custom properties are distinguished, and the model refuses what the server would refuse."""
        schema = self.glance.schemas.get("image")
        for name, base, core in (
            ("name", True, True),
            ("locations", True, True),
            ("os_type", False, True),
            ("os_distro", False, False),
        ):
            self.assertEqual((bool(schema.is_base_property(name)), schema.is_core_property(name)), (base, core), name)
        self.assertEqual(schema.raw()["properties"]["disk_format"]["enum"][0], None)
        for fields in ({"os_type": "beos"}, {"disk_format": "floppy"}, {"min_disk": "x"}, {"visibility": "secret"}):
            with self.assertRaises(TypeError):
                self.glance.images.create(name="disk", **{"os_type": "linux", **fields})
        self.assertEqual(list(self.glance.images.list()), [])

    def test_life(self) -> None:
        """Images with and without such properties are created, listed, shown and changed."""
        image = self.glance.images.create(name="disk", os_type="linux", os_distro="debian", min_disk=3)
        changed = self.glance.images.update(image.id, os_type="windows", more="text", remove_props=["os_distro"])
        self.assertEqual((changed.os_type, changed.more, changed.min_disk), ("windows", "text", 3))
        self.assertNotIn("os_distro", changed)
        with self.assertRaises(exc.HTTPBadRequest):
            self.glance.images.update(image.id, remove_props=["os_type"])
        self.assertEqual([each.os_type for each in self.glance.images.list()], ["windows"])
        status, _, body = self.daemon.request("POST", "/v2/images", body=b'{"name": "disk"}')
        self.assertEqual((status, b"os_type must be given" in body), (400, True))
