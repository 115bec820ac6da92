"""Helpers for the tests of inspection: verdicts, and images that are created once."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from attrs import evolve

from imgsvc.errors import FormatMismatch
from imgsvc.pipeline.inspection import UNIT, Inspection, InspectionRules
from tests.support.real_images import Format, convert, create_luks

VMDK_TYPES = ("streamOptimized", "monolithicSparse")
RULES = InspectionRules(vmdk_types=VMDK_TYPES)
SIZE = 3 << 20


def inspect(data: bytes, disk_format: str, pieces: int = UNIT, bare: bool = True, **rules: Any) -> int | None:
    """The virtual size of data that comes in pieces of one size."""
    inspection = Inspection("an-image", disk_format, evolve(RULES, **rules), bare=bare)
    for start in range(0, len(data), pieces):
        inspection.feed(data[start : start + pieces])
    return inspection.finish()


def verdict(data: bytes, disk_format: str, pieces: int = UNIT, bare: bool = True, **rules: Any) -> int | str | None:
    """Like `inspect`, but returns the reason of a refusal."""
    try:
        return inspect(data, disk_format, pieces, bare, **rules)
    except FormatMismatch as refusal:
        return str(refusal)


@cache
def folder() -> Path:
    """The folder for the images of this module, created once."""
    made = tempfile.TemporaryDirectory(prefix="imgsvc-images-")
    _folders.append(made)
    return Path(made.name)


_folders: list[tempfile.TemporaryDirectory[str]] = []


def clean_up() -> None:
    """Remove the folder."""
    while _folders:
        _folders.pop().cleanup()
    folder.cache_clear()
    image.cache_clear()


@cache
def image(format: Format) -> Path:
    """A disk of 3 MiB that is partly filled, in this format."""
    raw = folder() / "disk.raw"
    if not raw.exists():
        raw.write_bytes((bytes(range(256)) * 2048).ljust(SIZE, b"\0"))
    return convert(raw, format, folder() / f"{format}.img")


@cache
def luks_volume() -> bytes:
    """An encrypted volume of 2 MiB."""
    return create_luks(folder() / "luks.img", "2M").read_bytes()
