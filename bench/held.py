"""Clients in one child process that run during a block."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Self

from bench.processes import ROOT, Failed, environment, more_descriptors, python


class Held:
    """A child process that runs `python -m MODULE` during the block. The module calls `begin`, `held` and `end`.

    document: the input of the module. `result`: what the module has passed to `end`, after the block.
    """

    def __init__(self, module: str, document: dict[str, Any]) -> None:
        self._module = module
        self._document = document
        self.result: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(
            python("-m", self._module),
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(json.dumps(self._document) + "\n")
        self._child.stdin.flush()
        if self._child.stdout.readline() != "held\n":
            self._child.kill()
            self._child.wait()
            raise Failed(f"{self._module}: the clients cannot connect")
        return self

    def __exit__(self, *_: object) -> None:
        said, _nothing = self._child.communicate()
        if self._child.returncode:
            raise Failed(f"{self._module} has failed")
        self.result = json.loads(said)


def begin() -> dict[str, Any]:
    """In the child: read the input document."""
    more_descriptors()
    document: dict[str, Any] = json.loads(sys.stdin.readline())
    return document


def held() -> None:
    """In the child: report that all clients have begun. They go on until standard input ends."""
    print("held", flush=True)


def end(result: dict[str, float]) -> None:
    """In the child: report the result."""
    print(json.dumps(result))
