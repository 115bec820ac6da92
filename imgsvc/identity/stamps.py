"""Tells whether a file has changed since it was read."""

from __future__ import annotations

from pathlib import Path

__all__ = ["stamp_of"]


def stamp_of(path: Path | None) -> tuple[int, ...] | None:
    """A value that changes when the content or the permissions of a file change. None: there is no path, or no file."""
    try:
        status = path.stat() if path else None
    except OSError:
        return None
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode) if status else None
