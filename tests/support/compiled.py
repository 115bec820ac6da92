"""What the tests make once for a process, because it is the same for each of the hundreds of servers that they make.

Made anew each time, it would be four fifths of the work of making a server. When this module is imported, Werkzeug and
fastjsonschema begin to keep what they compile.
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
    """A function that does as `make`, once for all arguments of which `key` says the same."""
    results: dict[Any, Any] = {}

    def kept(*arguments: Any, **options: Any) -> Any:
        name = key(*arguments, **options)
        if name not in results:
            results[name] = make(*arguments, **options)
        return results[name]

    return kept


def _rule_key(rule: Any, append_unknown: bool = True) -> tuple[Any, ...]:
    """What the functions depend on that make a URL of a rule. We have no defaults of parts, no hosts, no subdomains."""
    assert not (rule.defaults or rule.host or rule.subdomain)
    return rule.rule, rule.merge_slashes, append_unknown


def _schema_key(schema: Any, **options: Any) -> str:
    """The order counts: a value is refused for the first thing that is wrong with it."""
    return json.dumps([schema, options])


RULE: Any = Rule
RULE._compile_builder = _kept(RULE._compile_builder, _rule_key)
fastjsonschema.compile = _kept(fastjsonschema.compile, _schema_key)


@cache
def _tables() -> bytes:
    """A database file with the newest tables and no rows: not even that of the catalogue's identity."""
    folder = Path(tempfile.mkdtemp(prefix="imgsvc-"))
    try:
        Schema(config.Database(), folder).upgrade()
        return (folder / DATABASE).read_bytes()
    finally:
        shutil.rmtree(folder)


def give_tables(folder: Path) -> None:
    """Put a database with the newest tables in a data folder that has none."""
    file = folder / DATABASE
    if folder.is_dir() and not file.exists():
        file.write_bytes(_tables())


_descriptions: dict[str, Description] = {}


def description_of(key: str, document: Callable[[], Any]) -> Description:
    """What servers of the same `key`, which is their configuration, tell of their API. document: makes it."""
    if key not in _descriptions:
        _descriptions[key] = Description(document())
    return _descriptions[key]
