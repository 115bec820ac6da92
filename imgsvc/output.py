"""Ends the output of a command that cannot be written any more, as on a full disk."""

from __future__ import annotations

import os
import sys
from typing import TextIO

__all__ = ["abandon", "abandon_output"]


def abandon_output(error: OSError) -> None:
    """Say in one line on standard error why standard output cannot be written, and write nothing more to it.

    error: of the attempt to write. A closed pipe is not reported, because its reader wants no more.
    """
    if not isinstance(error, BrokenPipeError) and sys.stderr is not None:
        try:
            sys.stderr.write(f"standard output: {error.strerror or error}\n")
            sys.stderr.flush()
        except OSError:
            abandon(sys.stderr)
    abandon(sys.stdout)


def abandon(stream: TextIO) -> None:
    """Throw away what is still buffered, and all later output.

    Otherwise Python writes the rest when it ends, fails again, and changes the exit status.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
