"""The types of the interfaces catch wrong uses."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

ROOT: Final = Path(__file__).parents[2]
WRONG_USES: Final = Path(__file__).with_name("wrong_uses.py")
MOST_SECONDS: Final = 300
"""Seconds for one run of mypy. Without its cache it takes about 20 s on a quiet core, with the cache 1 s."""

_ERROR: Final = re.compile(r"(?P<file>[^:]+):(?P<line>\d+): error: .*\[(?P<code>[a-z-]+)\]")
_MARK: Final = re.compile(r"  # wrong: (?P<codes>[a-z-]+(?:, [a-z-]+)*)$")


class WrongUseTests(SynchronousTestCase):
    """`wrong_uses.py` has wrong uses of every interface."""

    def test_found(self) -> None:
        """mypy finds the marked errors, and no others.

        Needs mypy and mypy-zope, which are in the extra `test`. Runs mypy once, in a process of its own that is ended
        after MOST_SECONDS, with the settings and the cache folder (`.mypy_cache`) of the whole repository.
        """
        result = subprocess.run(
            [
                *(sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", "--no-error-summary"),
                *("--no-pretty", "--cache-dir", ROOT / ".mypy_cache", WRONG_USES.relative_to(ROOT)),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=False,
        )
        found: dict[int, set[str]] = defaultdict(set)
        for error in filter(None, map(_ERROR.match, result.stdout.splitlines())):
            if error["file"] == str(WRONG_USES.relative_to(ROOT)):
                found[int(error["line"])].add(error["code"])
        marked = marked_lines()
        differing = {
            line: f"marked {marked.get(line)}, found {found.get(line)}"
            for line in found.keys() | marked.keys()
            if marked.get(line) != found.get(line)
        }
        self.assertEqual(differing, {}, result.stderr)

    def test_every_interface(self) -> None:
        """Every interface has a function whose first parameter is of that interface, with a wrong use."""
        marked = marked_lines().keys()
        covered = set()
        for function in ast.parse(WRONG_USES.read_text()).body:
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.args.args:
                annotation = function.args.args[0].annotation
                if any(function.lineno <= line <= (function.end_lineno or 0) for line in marked):
                    covered.add(annotation.id if isinstance(annotation, ast.Name) else "")
        names = {interface.name for interface in interfaces()}
        self.assertGreater(len(names), 30)
        self.assertEqual(names - covered, set())


class SignatureTests(SynchronousTestCase):
    """The signatures of interfaces and of handlers."""

    def test_any(self) -> None:
        """No signature has `Any`."""
        functions = [each for interface in interfaces() for each in functions_in(interface)]
        functions += [
            function
            for path in (ROOT / "imgsvc" / "web").rglob("*.py")
            for function in functions_in(ast.parse(path.read_text()))
            if any(argument.arg == "context" for argument in function.args.args)
        ]
        self.assertGreater(len(functions), 120)
        vague = [
            f"{function.name}, line {function.lineno}"
            for function in functions
            for part in (function.args, function.returns or function)
            if any(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(part))
        ]
        self.assertEqual(vague, [])


def marked_lines() -> dict[int, set[str]]:
    """The codes of mypy's errors for each marked line."""
    marks = ((number, _MARK.search(line)) for number, line in enumerate(WRONG_USES.read_text().splitlines(), 1))
    return {number: set(mark["codes"].split(", ")) for number, mark in marks if mark}


def interfaces() -> Iterator[ast.ClassDef]:
    """All interfaces that imgsvc defines."""
    for path in (ROOT / "imgsvc").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and re.match(r"I[A-Z]", node.name):
                yield node


def functions_in(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions of a module, also methods."""
    return (each for each in ast.walk(node) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
