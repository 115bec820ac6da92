"""The cost of a start, as far as it can be counted: modules that few configurations need are not imported."""

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
    "imgsvc.identity.users",
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
"""Modules that take long to import, or import such modules, and that the default options do not need."""

SERVING = {"fastjsonschema", "imgsvc.catalogue", "imgsvc.stores", "imgsvc.web", "klein", "sqlalchemy", "werkzeug"}
"""Modules that only serving processes need."""

MODELS = {"imgsvc.interfaces", "imgsvc.model", "imgsvc.event_model", "imgsvc.metadef_model", "imgsvc.stores.services"}
"""Interfaces and values that only serving processes need."""


class _Silent:
    """A report without effect."""

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

    def modules(self, toml: str) -> set[str]:
        """The modules that are loaded after a service with this configuration was made."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "imgsvc.toml").write_text(toml)
        arguments = ["--data", str(folder / "data"), "--config", str(folder / "imgsvc.toml")]
        script = (
            "import sys; from imgsvc.tap import Options, makeService; options = Options();"
            f"options.parseOptions({arguments!r}); makeService(options); print(*sorted(sys.modules))"
        )
        said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        return set(said.stdout.split())

    def test_seldom_needed(self) -> None:
        """Modules that the default options do not need are imported when they are used."""
        loaded = self.modules("")
        self.assertLessEqual(SERVING | {"imgsvc.daemon.server"}, loaded)
        self.assertEqual(loaded & SELDOM, set())

    def test_parent(self) -> None:
        """The parent of workers does not import modules that serve."""
        loaded = self.modules("[server]\nworkers = 2\n")
        self.assertIn("imgsvc.daemon.parent", loaded)
        self.assertEqual(loaded & (SELDOM | SERVING | MODELS), set())

    def test_plugins(self) -> None:
        """twistd's look-up of plugins, which the parent of workers makes too, imports no modules that serve."""
        script = (
            "import sys; from twisted.application.service import IServiceMaker; from twisted.plugin import getPlugins;"
            "print(*(each.tapname for each in getPlugins(IServiceMaker)), *sorted(sys.modules))"
        )
        said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        words = set(said.stdout.split())
        self.assertIn("imgsvc", words)
        self.assertEqual(words & (SELDOM | MODELS), set())


class CollectorTests(SynchronousTestCase):
    """The garbage collector, which is off while the server starts."""

    def test_on_again(self) -> None:
        """It is on after the start."""
        self.addCleanup(gc.enable)

        async def start() -> None:
            self.assertFalse(gc.isenabled())

        gc.disable()
        start_or_exit(start(), Clock(), _Silent())
        self.assertTrue(gc.isenabled())
