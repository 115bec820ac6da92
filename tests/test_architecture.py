"""The allowed imports between packages, and other rules for every module, read from the sources."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "imgsvc"

GROUND = {
    *("interfaces", "model", "store_model", "lease_model", "metadef_model", "event_model", "notification_model"),
    *("image_fields", "errors", "clouds", "context", "folders", "forwarded", "joined", "lease_keeper", "page_cache"),
    *("peers", "producers", "rates", "response_body", "shield", "threads", "words"),
}
"""The packages that each package of the server may import."""

ARROWS = {
    "errors": set(),
    "model": set(),
    "store_model": set(),
    "lease_model": set(),
    "lease_keeper": {"context", "errors"},
    "metadef_model": {"model"},
    "image_fields": {"model"},
    "event_model": {"lease_model", "model"},
    "notification_model": set(),
    "events": {"context", "event_model", "interfaces", "logger"},
    "entry": {"admin", "client", "extras", "interrupts"},
    "extras": set(),
    "interfaces": {
        *("errors", "event_model", "lease_model", "metadef_model", "model", "notification_model", "store_model"),
    },
    "folders": set(),
    "forwarded": set(),
    "clouds": set(),
    "joined": set(),
    "log": {"context", "words"},
    "context": {"model"},
    "interrupts": set(),
    "logger": set(),
    "page_cache": {"errors"},
    "peers": {"errors"},
    "producers": set(),
    "response_body": set(),
    "rates": set(),
    "shield": {"context"},
    "threads": {"context", "interfaces"},
    "words": set(),
    "hashing": set(),
    "options": {"errors"},
    "config": {"endpoints", "errors", "identity_options", "notification_options", "options", "store_options"},
    "identity_options": {"options"},
    "notification_options": {"options"},
    "store_options": {"errors", "options", "store_model"},
    "endpoints": set(),
    "web": GROUND | {"operations"},
    "operations": GROUND | {"pipeline"},
    "tasks": GROUND | {"hashing", "pipeline", "remote"},
    "catalogue": GROUND | {"config", "options"},
    "pipeline": GROUND | {"config", "hashing", "options"},
    "remote": GROUND,
    "stores": GROUND | {"config", "options", "remote"},
    "identity": GROUND | {"config", "options", "remote"},
    "certificates": GROUND | {"config", "options", "remote"},
    "notifications": GROUND | {"config", "remote"},
    "output": set(),
    "client": {"clouds", "image_fields", "interrupts", "joined", "model", "output", "producers", "response_body"},
    "admin": GROUND
    | {"config", "daemon", "hashing", "options", "output", "catalogue", "identity", "operations", "tasks", "web"},
}
"""The packages and modules that each of them may import, besides itself, `logger` and the version in `imgsvc`.

Those that are not listed may import all.
"""

COMPOSERS = {"daemon", "tap"}
"""The packages that wire the others together. Only `admin`, which looks after a daemon, imports one of them."""

CALM = {
    "background",
    "bounded",
    "child",
    "clock",
    "collector",
    "descriptors",
    "launch",
    "listening",
    "ports",
    "records",
    "process",
    "reload",
    "tls",
}
"""Modules of `daemon` that know nothing of the server that they run."""

DAEMON_ARROWS = {
    **{name: {"config", "endpoints", "errors", "logger"} for name in CALM},
    "parent": {"config", "errors", "log", "logger"},
    "core": ARROWS.keys() - {"admin", "client", "web"},
    "api": ARROWS.keys() - {"admin", "client"},
    "server": ARROWS.keys() - {"admin", "client"},
    "service": {"config", "log", "web"},
    "worker": {"config", "errors", "log", "logger", "store_model"},
}
"""Which packages each module of `daemon` may import. The parent of workers must stay small."""

DAEMON_FLOORS = (
    CALM,
    {"core", "parent"},
    {"api"},
    {"server"},
    {"service"},
    {"worker"},
)
"""The modules of `daemon`. Each may import those of its own level and of those before, but `parent` only those
in CALM.
"""

LIBRARIES = {
    "klein": {"web"},
    "werkzeug": {"web"},
    "sqlalchemy": {"catalogue"},
    "alembic": {"catalogue"},
    "txaio": {"log", "logger"},
    "treq": {"client", "remote"},
    "cryptography": {"pipeline"},
    "click": {"client", "admin"},
    "bcrypt": {"identity"},
    "cattrs": {"options"},
    "oslo_policy": {"identity"},
    "oslo_config": {"identity"},
    "twisted.internet.reactor": COMPOSERS | {"admin", "client"},
    "twisted.internet.asyncioreactor": set(),
    "asyncio": set(),
}
"""Libraries that only these modules may import."""

LONGEST = 400


@frozen
class Module:
    path: Path
    tree: ast.Module
    lines: int

    @property
    def package(self) -> str:
        """The package or module directly below imgsvc; empty for imgsvc itself."""
        first = self.path.relative_to(PACKAGE).parts[0]
        return "" if first == "__init__.py" else first.removesuffix(".py")

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    def imports(self) -> Iterator[str]:
        """The full names of all imports of the module: `a.b.c` also for `from a.b import c`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    package = self.path.relative_to(ROOT).parts[: -node.level]
                    base = ".".join((*package, base)).rstrip(".")
                yield from (f"{base}.{alias.name}" for alias in node.names)


def modules() -> list[Module]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found.append(Module(path, ast.parse(text, str(path)), text.count("\n")))
    return found


class ArchitectureTests(SynchronousTestCase):
    """The code is built as the architecture page says."""

    def setUp(self) -> None:
        self.modules = modules()

    def test_all_are_read(self) -> None:
        """The modules in the rules are found, and so are their imports."""
        packages = {module.package for module in self.modules}
        self.assertTrue(packages >= {"", "config", "errors", "identity", "interfaces", "model"}, packages)
        policy = next(module for module in self.modules if module.name == "imgsvc/identity/policy.py")
        self.assertIn("imgsvc.interfaces.IPolicy", set(policy.imports()))

    def test_arrows(self) -> None:
        """A package imports only allowed packages."""
        wrong = []
        for module in self.modules:
            if module.package not in ARROWS:
                continue
            for name in module.imports():
                root, _, rest = name.partition(".")
                target = rest.partition(".")[0]
                if root == "imgsvc" and target not in ARROWS[module.package] | {
                    module.package,
                    "__version__",
                    "logger",
                    "",
                }:
                    wrong.append(f"{module.name} imports {name}")
        self.assertEqual(wrong, [])

    def test_packages_are_known(self) -> None:
        """Every package has its allowed imports, except those that wire the others."""
        packages = {module.package for module in self.modules} - {""}
        self.assertEqual(packages - ARROWS.keys() - COMPOSERS, set())

    def test_daemon(self) -> None:
        """The rules within `daemon`: the modules that serve are wired above the CALM ones, and the parent
        imports none of them.
        """
        floors = {name: number for number, names in enumerate(DAEMON_FLOORS) for name in names}
        inside = {module.path.stem: module for module in self.modules if module.package == "daemon"}
        self.assertEqual(inside.keys() - {"__init__"}, floors.keys())
        wrong = []
        for stem, module in inside.items():
            for name in module.imports():
                root, room, *rest = [*name.split("."), ""]
                if root != "imgsvc":
                    continue
                if room == "daemon":
                    below = floors[rest[0]] < floors[stem] or floors[rest[0]] == floors[stem] != floors["parent"]
                    allowed = below if stem != "parent" else rest[0] in CALM
                else:
                    allowed = room in DAEMON_ARROWS.get(stem, ()) or room == "__version__"
                if not allowed:
                    wrong.append(f"{module.name} imports {name}")
        self.assertEqual(wrong, [])

    def test_no_circles(self) -> None:
        """No modules import each other, directly or through others, not even for types or within functions."""
        modules = {".".join(module.path.relative_to(ROOT).with_suffix("").parts): module for module in self.modules}
        imported = {
            name: {
                target
                for full in module.imports()
                for target in (full, full.rpartition(".")[0])
                if target in modules and target != name
            }
            for name, module in modules.items()
        }
        while leaves := {name for name, targets in imported.items() if not targets & imported.keys()}:
            imported = {name: targets for name, targets in imported.items() if name not in leaves}
        self.assertEqual(sorted(imported), [])

    def test_libraries(self) -> None:
        """A library with one place in the code is imported only there."""
        wrong = []
        for module in self.modules:
            for name in module.imports():
                for library, packages in LIBRARIES.items():
                    if f"{name}.".startswith(f"{library}.") and module.package not in packages:
                        wrong.append(f"{module.name} imports {name}")
        self.assertEqual(wrong, [])

    def test_length(self) -> None:
        """A module has at most so many lines. A longer one does more than one job."""
        self.assertEqual([module.name for module in self.modules if module.lines > LONGEST], [])

    def test_no_print(self) -> None:
        """Only the client prints; the server logs."""
        wrong = [
            f"{module.name}:{node.lineno}"
            for module in self.modules
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            if module.package != "client"
        ]
        self.assertEqual(wrong, [])

    def test_no_bare_except(self) -> None:
        """No handler catches everything, including exits of the process."""
        wrong = [
            f"{module.name}:{node.lineno}"
            for module in self.modules
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ExceptHandler) and node.type is None
        ]
        self.assertEqual(wrong, [])

    def test_future_annotations(self) -> None:
        """Every module with definitions has `from __future__ import annotations`."""
        wrong = [
            module.name
            for module in self.modules
            if any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in module.tree.body)
            and "__future__.annotations" not in module.imports()
        ]
        self.assertEqual(wrong, [])


def anchor(heading: str) -> str:
    """The end of a link to a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


class DocumentTests(SynchronousTestCase):
    """The documents beside the code are correct."""

    def test_files_to_touch(self) -> None:
        """The files that docs/extending.md names exist, except those whose names the reader chooses."""
        named = set(
            re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.(?:py|md|toml))`", (ROOT / "docs" / "extending.md").read_text())
        )
        self.assertGreater(len(named), 10)
        self.assertEqual({name for name in named if not (ROOT / name).exists()}, set())

    def test_tree(self) -> None:
        """The tree of docs/architecture.md names every module, and no others."""
        text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
        tree = text.partition("```")[2].partition("```")[0]
        named = set(re.findall(r"\b[a-z_0-9]+\.py\b", tree))
        there = {path.name for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts} - {"__init__.py"}
        self.assertEqual((there - named, named - there), (set(), set()))

    def test_links(self) -> None:
        """Links within the documents lead to a file and a heading that exist."""
        wrong = []
        for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
            for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", path.read_text(encoding="utf-8")):
                name, _, heading = link.partition("#")
                target = path.parent / name if name else path
                found = target.exists()
                if found and heading:
                    headings = re.findall(r"(?m)^#+ (.*)$", target.read_text(encoding="utf-8"))
                    found = heading in map(anchor, headings)
                if not found:
                    wrong.append(f"{path.name}: {link}")
        self.assertEqual(wrong, [])

    def test_contents(self) -> None:
        """The contents of docs/operations.md have every section of it."""
        text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
        beginning, _, rest = text.partition("\n## ")
        sections = re.findall(r"(?m)^## (.*)$", "\n## " + rest)
        self.assertGreater(len(sections), 10)
        self.assertEqual([name for name in sections if f"](#{anchor(name)})" not in beginning], [])

    def test_generated_tables(self) -> None:
        """The tables of docs/configuration.md and docs/api.md are those of the code."""
        for script in ("configuration_table.py", "api_table.py"):
            result = subprocess.run(
                [sys.executable, ROOT / "docs" / script, "--check"],
                env={"PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertEqual((result.returncode, result.stderr), (0, ""))
