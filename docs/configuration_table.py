"""Writes the tables of docs/configuration.md from the classes of imgsvc/config.py, and those of the kinds of stores.

python docs/configuration_table.py           rewrite the file
python docs/configuration_table.py --check   exit with 1 if it is not current
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from tables import update

from imgsvc.config import Config, Seconds, Size, Store, Stores
from imgsvc.options import allowed
from imgsvc.stores.file_options import FileOptions
from imgsvc.stores.http import HttpOptions
from imgsvc.stores.memory import MemoryOptions

PAGE = Path(__file__).with_name("configuration.md")


def tables() -> str:
    """The tables of all sections, as Markdown."""
    sections = [_table(f"[{name}]", cls) for name, cls in _sections(Config, "")]
    return "\n".join(sections + [_table(name, cls) for name, cls in _kinds()])


def _sections(cls: type[Any], path: str) -> Iterator[tuple[str, type[Any]]]:
    for attribute in attrs.fields(attrs.resolve_types(cls)):
        if attrs.has(attribute.type):
            name = path + attribute.name
            yield name, attribute.type
            yield from _sections(attribute.type, f"{name}.")
    if cls is Stores:
        yield f"{path}NAME", Store


def _kinds() -> Iterator[tuple[str, type[Any]]]:
    """What else may be in the table of a store, by its kind."""
    for kind, options in (("file", FileOptions), ("http", HttpOptions), ("memory", MemoryOptions)):
        yield f'[stores.NAME] with kind = "{kind}"', options


def _table(name: str, cls: type[Any]) -> str:
    rows = [f"## {name}\n", "| option | default | what it is | what is allowed | changes |", "|---|---|---|---|---|"]
    for attribute in attrs.fields(attrs.resolve_types(cls)):
        if "help" in attribute.metadata:
            cells = (
                f"`{attribute.name}`",
                _default(attribute),
                attribute.metadata["help"],
                allowed(cls, attribute.name),
                "in place" if attribute.metadata["reload"] else "at start",
            )
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _default(attribute: attrs.Attribute[Any]) -> str:
    if attribute.default is attrs.NOTHING:
        return "must be given"
    return f"`{_toml(attribute.default, attribute.type)}`"


def _toml(value: Any, type: Any) -> str:
    if type == Size:
        for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
            if value and value % 1024**power == 0:
                return f'"{value // 1024**power} {unit}"'
        return str(value)
    if type == Seconds:
        return f'"{value:g} s"'
    return json.dumps(value)


if __name__ == "__main__":
    sys.exit(update(PAGE, tables(), __file__, sys.argv[1:]))
