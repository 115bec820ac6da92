"""What a start costs, as far as that can be counted: no module is imported that only few need."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.daemon.process import start_or_exit

SELDOM = {
    "alembic",
    "click",
    "configparser",
    "imgsvc.admin",
    "imgsvc.catalogue.servers",
    "imgsvc.certificates.barbican",
    "imgsvc.client",
    "imgsvc.identity.rules",
    "imgsvc.pipeline.formats",
    "imgsvc.remote",
    "imgsvc.stores.http",
    "imgsvc.web.openapi.document",
    "oslo_config",
    "oslo_policy",
    "oslo_utils",
    "psycopg",
    "pymysql",
    "requests",
    "sqlalchemy.dialects.mysql",
    "sqlalchemy.dialects.postgresql",
    "stevedore",
    "treq",
    "twisted.web.client",
    "yaml",
}
"""Modules that take long to import, or bring others that do, and that a server with the default options needs not."""


class _Silent:
    """Tells nobody."""

    def begin(self) -> None:
        """Nothing to do."""

    def serving(self) -> None:
        """Nothing to do."""

    def failed(self, reason: str) -> None:
        """Nothing to do."""

    def rejected(self, reason: str) -> None:
        """Nothing to do."""


class ImportTests(SynchronousTestCase):
    """The modules of a server that is ready to start."""

    def test_seldom_needed(self) -> None:
        """What the default options do not need is imported when it is used."""
        folder = Path(self.mktemp())
        script = (
            "import sys; from imgsvc.tap import Options, makeService; options = Options();"
            f"options.parseOptions(['--data', {str(folder)!r}]); makeService(options); print(*sorted(sys.modules))"
        )
        modules = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        loaded = set(modules.stdout.split())
        self.assertIn("imgsvc.daemon.server", loaded)
        self.assertEqual(loaded & SELDOM, set())


class CollectorTests(SynchronousTestCase):
    """The collector of cycles, which is off while the server starts."""

    def test_on_again(self) -> None:
        """It is on when the start has ended."""
        self.addCleanup(gc.enable)

        async def start() -> None:
            self.assertFalse(gc.isenabled())

        gc.disable()
        start_or_exit(start(), Clock(), _Silent())
        self.assertTrue(gc.isenabled())
