"""Run as a script, this makes many calls of one command line in one process.

The first argument is `glance` or `openstack`. Standard input has a JSON list of lists of arguments. Standard output
gets a JSON list with the status, the output and the errors of each call.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any


def glance(arguments: list[str]) -> int:
    """Call the command `glance`."""
    from glanceclient.shell import OpenStackImagesShell

    OpenStackImagesShell().main(arguments)
    return 0


def openstack(arguments: list[str]) -> int:
    """Call the command `openstack`."""
    from openstackclient.shell import main

    return int(main(arguments))


def call(command: Callable[[list[str]], int], arguments: list[str]) -> tuple[int, str, str]:
    """The status, the output and the errors of one call."""
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        try:
            status = command(arguments)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except Exception as error:
            status = 1
            sys.stderr.write(f"{type(error).__name__}: {error}")
    return status, output.getvalue(), errors.getvalue()


if __name__ == "__main__":
    commands: dict[str, Callable[[list[str]], int]] = {"glance": glance, "openstack": openstack}
    calls: list[Any] = json.load(sys.stdin)
    json.dump([call(commands[sys.argv[1]], arguments) for arguments in calls], sys.stdout)
