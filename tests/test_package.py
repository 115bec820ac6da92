"""The wheel, built and installed for real."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent

KINDS = """
import imgsvc
from twisted.plugin import getPlugins
from imgsvc.stores.maker import IStoreMaker
print(imgsvc.__file__, *sorted(maker.kind for maker in getPlugins(IStoreMaker)))
"""


class DependencyTests(SynchronousTestCase):
    """What pyproject.toml asks for."""

    def declared(self, *extras: str) -> dict[str, str]:
        """Names of packages, and the lowest version of each."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        lines = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
        found = [re.fullmatch(r"([A-Za-z0-9.-]+)(?:\[\w+\])?>=([0-9.]+)", line) for line in lines]
        return {match[1].lower(): match[2] for match in found if match}

    def test_imported(self) -> None:
        """All that is imported is asked for, and not left to what others ask for."""
        names = {
            name.partition(".")[0]
            for path in (ROOT / "imgsvc").rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            for name in _imported(node)
        }
        packages = packages_distributions()
        for name in names - set(sys.stdlib_module_names) - {"imgsvc"}:
            found = {package.lower() for package in packages[name]}
            self.assertTrue(found & self.declared().keys(), (name, found))

    def test_floors(self) -> None:
        """No version is allowed that has a hole known to matter here."""
        declared = self.declared("mariadb")
        for name, floor in (("pymysql", (1, 1, 1)), ("cryptography", (44, 0, 1)), ("werkzeug", (3, 0, 6))):
            self.assertGreaterEqual(tuple(map(int, declared[name].split("."))), floor, name)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []


OURS = ("imgsvc/", "twisted/plugins/imgsvc_")
"""How the names of all code in the wheel begin."""


class WheelTests(SynchronousTestCase):
    """What is installed is all that is needed, and twistd finds it."""

    def run_in(self, folder: Path, *command: str | Path, **environment: str) -> str:
        """The output of a command that must succeed."""
        result = subprocess.run(
            command,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        self.assertEqual(result.returncode, 0, result.stdout)
        return result.stdout

    def test_installed(self) -> None:
        """A wheel in an environment of its own gives twistd the service, and the server both kinds of stores."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        self.run_in(ROOT, sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
        (wheel,) = folder.glob("*.whl")
        self.check_names(zipfile.ZipFile(wheel).namelist())

        python = folder / "venv" / "bin" / "python"
        self.run_in(folder, sys.executable, "-m", "venv", "--without-pip", "venv")
        site = Path(self.run_in(folder, python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        # Only the libraries are borrowed: pth files in there, as that of an editable install, are not read again.
        (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
        pip = (sys.executable, "-m", "pip", "--python", python)
        self.run_in(folder, *pip, "install", "-q", "--no-deps", "--no-index", "--ignore-installed", wheel)

        path, *kinds = self.run_in(folder, python, "-c", KINDS).split()
        self.assertTrue(Path(path).is_relative_to(site), path)
        self.assertEqual(kinds, ["file", "http", "memory"])
        usage = self.run_in(folder, python, "-c", "from twisted.scripts.twistd import run; run()", "--help")
        self.assertRegex(usage, r"(?m)^ +imgsvc ")
        for command in ("imgsvc", "imgsvc-admin"):
            self.assertIn("--version", self.run_in(folder, python.parent / command, "--help"))

    def check_names(self, names: list[str]) -> None:
        """Nothing but imgsvc and the entry of its commands, and in Twisted's package nothing but plugins."""
        code = [name for name in names if ".dist-info/" not in name]
        self.assertEqual([name for name in code if not name.startswith(OURS)], [])
        self.assertEqual([name for name in code if name.endswith((".pyc", ".cache"))], [])
        self.assertIn("twisted/plugins/imgsvc_service.py", code)
        self.assertIn("twisted/plugins/imgsvc_stores.py", code)
        self.assertIn("imgsvc/definitions/quota.json", code)


class CheckoutTests(SynchronousTestCase):
    """The service is found from the sources too."""

    def test_checkout(self) -> None:
        """With the checkout on the path, twistd lists the service."""
        result = subprocess.run(
            [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--help"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertRegex(result.stdout, r"(?m)^ +imgsvc ")
