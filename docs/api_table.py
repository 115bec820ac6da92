"""Writes the table of docs/api.md from the description of the API, which its routes give.

python docs/api_table.py           rewrite the file
python docs/api_table.py --check   exit with 1 if it is not current
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tables import update
from twisted.internet.task import Clock

from imgsvc.config import Config
from imgsvc.daemon.api import make_api
from imgsvc.daemon.core import Core
from imgsvc.folders import Folders
from imgsvc.threads import ReactorThreads
from imgsvc.web.openapi.document import HEAD
from imgsvc.web.openapi.notation import EVERYWHERE, IDENTIFIED
from imgsvc.web.openapi.routes import DescriptionRoutes

PAGE = Path(__file__).with_name("api.md")
SCHEMAS = "/v2/schemas/"
OF_ALL = {**EVERYWHERE, **IDENTIFIED}
"""What is told once for all routes, unless something else is meant by it; 400 is never told of one."""


def tables() -> str:
    """One table for each part of the API, as Markdown."""
    document = _description().document
    return "\n".join(_table(tag, document["paths"]) for tag in document["tags"])


def _description() -> DescriptionRoutes:
    """That of a server with the default configuration, which is made and never started."""
    config, folder, clock = Config(), Path(), Clock()
    core = Core(config, folder, clock, lambda name, size: ReactorThreads(clock, name, size), Folders())
    groups = make_api(config, core, folder, clock).groups
    return next(group for group in groups if isinstance(group, DescriptionRoutes))


def _table(tag: Any, paths: dict[str, Any]) -> str:
    rows = [f"## {tag['name'].capitalize()}\n", "| route | | success | failure |", "|---|---|---|---|"]
    for path, item in paths.items():
        for method, operation in item.items():
            if method == "parameters" or path.startswith(SCHEMAS) or operation["operationId"].endswith(HEAD):
                continue
            if tag["name"] in operation["tags"]:
                rows.append(_row(f"{method.upper()} {path}", operation["summary"], operation))
    names = [path.removeprefix(SCHEMAS) for path in paths if path.startswith(SCHEMAS)]
    if tag["name"] == "service":
        of_any = paths[f"{SCHEMAS}{names[0]}"]["get"]
        rows.append(_row(f"GET {SCHEMAS}{{name}}", f"The JSON schema of {', '.join(names)}", of_any))
    return "\n".join(rows) + "\n"


def _row(route: str, summary: str, operation: Any) -> str:
    answers = operation["responses"].items()
    success = " ".join(status for status, _ in answers if status < "400")
    failure = " ".join(
        status for status, answer in answers if status > "400" and answer["description"] != OF_ALL.get(int(status))
    )
    return f"| `{route}` | {summary} | {success} | {failure} |"


if __name__ == "__main__":
    sys.exit(update(PAGE, tables(), __file__, sys.argv[1:]))
