"""Objects that are equal for all of the hundreds of servers that tests make, and are therefore made once for a
process.

Otherwise they would take four fifths of the work of making a server. The import of this module makes Werkzeug and
fastjsonschema keep what they compile.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import fastjsonschema
from werkzeug.routing import Rule

from imgsvc import config
from imgsvc.catalogue import Schema
from tests.support.description import Description

DATABASE: Final = "imgsvc.sqlite"


def _kept(make: Callable[..., Any], key: Callable[..., Any]) -> Callable[..., Any]:
    """A function that calls `make` once for all arguments with the same `key`."""
    results: dict[Any, Any] = {}

    def kept(*arguments: Any, **options: Any) -> Any:
        name = key(*arguments, **options)
        if name not in results:
            results[name] = make(*arguments, **options)
        return results[name]

    return kept


def _rule_key(rule: Any, append_unknown: bool = True) -> tuple[Any, ...]:
    """All that the functions depend on that make a URL of a rule. We have no defaults of parts, no hosts, no
    subdomains.
    """
    assert not (rule.defaults or rule.host or rule.subdomain)
    return rule.rule, rule.merge_slashes, append_unknown


def _schema_key(schema: Any, **options: Any) -> str:
    """The order counts, because a value is refused for the first fault."""
    return json.dumps([schema, options])


RULE: Any = Rule
RULE._compile_builder = _kept(RULE._compile_builder, _rule_key)
fastjsonschema.compile = _kept(fastjsonschema.compile, _schema_key)


@cache
def _tables() -> bytes:
    """A database file with the newest tables and no rows, also without the catalogue's identity."""
    folder = Path(tempfile.mkdtemp(prefix="imgsvc-"))
    try:
        Schema(config.Database(), folder).upgrade()
        return (folder / DATABASE).read_bytes()
    finally:
        shutil.rmtree(folder)


def give_tables(folder: Path) -> None:
    """Put a database with the newest tables into a data folder without one."""
    file = folder / DATABASE
    if folder.is_dir() and not file.exists():
        file.write_bytes(_tables())


_descriptions: dict[str, Description] = {}


def description_of(key: str, document: Callable[[], Any]) -> Description:
    """The description of the API of servers with the same `key`, which is their configuration. document: makes it."""
    if key not in _descriptions:
        _descriptions[key] = Description(document())
    return _descriptions[key]
