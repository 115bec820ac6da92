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
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.extras import SERVER_MODULES

ROOT = Path(__file__).parent.parent

KINDS = """
import imgsvc
from twisted.plugin import getPlugins
from imgsvc.stores.maker import IStoreMaker
print(imgsvc.__file__, *sorted(maker.kind for maker in getPlugins(IStoreMaker)))
"""


class DependencyTests(SynchronousTestCase):
    """The dependencies in pyproject.toml."""

    def declared(self, *extras: str) -> dict[str, str]:
        """The names of packages, and the lowest version of each."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        lines = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
        found = [re.fullmatch(r"([A-Za-z0-9.-]+)(?:\[\w+\])?>=([0-9.]+)", line) for line in lines]
        return {match[1].lower(): match[2] for match in found if match}

    def test_imported(self) -> None:
        """Every imported package is declared, even if another one depends on it."""
        packages = packages_distributions()
        (hook,) = (ROOT / "imgsvc").rglob("hatch_build.py")
        self.assertEqual(_libraries([hook]), {"hatchling"})
        for name in _libraries(set((ROOT / "imgsvc").rglob("*.py")) - {hook}):
            found = {package.lower() for package in packages[name]}
            self.assertTrue(found & self.declared("server").keys(), (name, found))

    def test_client(self) -> None:
        """The packages that the client imports are declared without an extra."""
        packages = packages_distributions()
        # tests/test_architecture.py checks that the client imports no other module of imgsvc.
        names = ("__init__", "clouds", "extras", "image_fields", "interrupts", "joined", "logger", "model")
        ours = [ROOT / "imgsvc" / f"{name}.py" for name in names]
        libraries = _libraries([*(ROOT / "imgsvc" / "client").rglob("*.py"), *ours])
        self.assertLessEqual({"treq", "click", "txaio"}, libraries)
        for name in libraries:
            self.assertTrue({package.lower() for package in packages[name]} & self.declared().keys(), name)

    def test_server(self) -> None:
        """Every package of the extra `server` is checked before the server starts."""
        packages = packages_distributions()
        looked_for = {package.lower() for name in SERVER_MODULES for package in packages[name]}
        self.assertEqual(looked_for, self.declared("server").keys() - self.declared().keys())

    def test_floors(self) -> None:
        """No version with a vulnerability that matters here is allowed."""
        declared = self.declared("server", "mariadb")
        for name, floor in (("pymysql", (1, 1, 1)), ("cryptography", (44, 0, 1)), ("werkzeug", (3, 0, 6))):
            self.assertGreaterEqual(tuple(map(int, declared[name].split("."))), floor, name)


def _libraries(paths: Iterable[Path]) -> set[str]:
    """The top-level names of the libraries that these modules import."""
    names = {name for path in paths for node in ast.walk(ast.parse(path.read_text())) for name in _imported(node)}
    return {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"imgsvc"}


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []


OURS = ("imgsvc/", "twisted/plugins/imgsvc_")
"""The beginnings of the names of all code in the wheel."""


class WheelTests(SynchronousTestCase):
    """The installed wheel has all that is needed, and twistd finds it."""

    def run_in(self, folder: Path, *command: str | Path, status: int = 0, **environment: str) -> str:
        """The output of a command that must end with this status."""
        result = subprocess.run(
            command,
            cwd=folder,
            env={"HOME": str(folder), **environment, "PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        self.assertEqual(result.returncode, status, result.stdout)
        return result.stdout

    def build_wheel(self, **environment: str) -> Path:
        """A wheel, alone in a folder."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        self.run_in(ROOT, sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, **environment)
        (wheel,) = folder.glob("*.whl")
        return wheel

    def build(self) -> tuple[Path, Path, Path]:
        """A folder with a wheel, and the Python of an empty environment in it."""
        wheel = self.build_wheel()
        folder = wheel.parent
        self.run_in(folder, sys.executable, "-m", "venv", "--without-pip", "venv")
        return folder, wheel, folder / "venv" / "bin" / "python"

    def test_client_alone(self) -> None:
        """Without the extra `server` the client works, and the commands of the server say what to install."""
        folder, wheel, python = self.build()
        kept = ("HOME", "PIP_", "HTTP", "SSL_")
        settings = {name: value for name, value in os.environ.items() if name.upper().startswith(kept)}
        pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
        self.run_in(folder, *pip, "install", "-q", wheel, **settings)

        self.assertIn("upload", self.run_in(folder, python.parent / "imgsvc", "--help"))
        every_name = "import imgsvc.client as c; print(*(getattr(c, name).__name__ for name in c.__all__))"
        self.assertIn("ImageClient", self.run_in(folder, python, "-c", every_name))
        told = self.run_in(folder, python.parent / "imgsvc", "--endpoint", "http://127.0.0.1:1", "list", status=3)
        self.assertRegex(told, r"\ACannot reach the Image API [^\n]*\n\Z")

        usage = self.run_in(folder, python.parent / "twistd", "--help")
        self.assertRegex(usage, r"(?m)^ +imgsvc ")
        self.assertNotIn("Traceback", usage)
        self.assertRegex(self.run_in(folder, python.parent / "twistd", "ftp", "--help"), r"(?m)^ +-p, --port=")
        for command in (("twistd", "-n", "imgsvc"), ("twistd", "imgsvc", "--help"), ("imgsvc-admin", "check")):
            told = self.run_in(folder, python.parent / command[0], *command[1:], status=1)
            self.assertRegex(told, r"\Aimgsvc(-admin)?: [^\n]*pip install 'imgsvc\[server\]'[^\n]*\n\Z")
        self.assertEqual(sorted(path.name for path in folder.iterdir()), sorted([wheel.name, "venv"]))

    def test_installed(self) -> None:
        """A wheel in an environment of its own gives twistd the service, and the server the kinds of stores."""
        folder, wheel, python = self.build()
        self.check_names(zipfile.ZipFile(wheel).namelist())
        site = Path(self.run_in(folder, python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        # Only libraries are used from there. Its pth files, such as that of an editable install, are not read.
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

    def test_compiler(self) -> None:
        """The kernels are compiled for this machine. Without a compiler the wheel is for all, and has none."""
        wheel = self.build_wheel(IMGSVC_BUILD_KERNELS="require")
        self.assertRegex(wheel.name, r"-py3-none-linux_x86_64\.whl\Z")
        self.assertIn("imgsvc/hashing/kernels.so", zipfile.ZipFile(wheel).namelist())
        for environment in ({"CC": "/nowhere/cc"}, {"IMGSVC_BUILD_KERNELS": "off"}):
            wheel = self.build_wheel(**environment)
            self.assertRegex(wheel.name, r"-py3-none-any\.whl\Z")
            self.assertNotIn("imgsvc/hashing/kernels.so", zipfile.ZipFile(wheel).namelist())
        command = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheel.parent)
        self.run_in(ROOT, *command, status=1, CC="/nowhere/cc", IMGSVC_BUILD_KERNELS="require")

    def check_names(self, names: list[str]) -> None:
        """The wheel has only imgsvc and the entry points of its commands, and only plugins in Twisted's package."""
        code = [name for name in names if ".dist-info/" not in name]
        self.assertEqual([name for name in code if not name.startswith(OURS)], [])
        self.assertEqual([name for name in code if name.endswith((".pyc", ".cache", ".c", ".h", "hatch_build.py"))], [])
        self.assertIn("twisted/plugins/imgsvc_service.py", code)
        self.assertIn("twisted/plugins/imgsvc_stores.py", code)
        self.assertIn("imgsvc/definitions/quota.json", code)


class CheckoutTests(SynchronousTestCase):
    """The service is found in a checkout too."""

    def test_checkout(self) -> None:
        """If the checkout is on the path, twistd lists the service."""
        result = subprocess.run(
            [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--help"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertRegex(result.stdout, r"(?m)^ +imgsvc ")
