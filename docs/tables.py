"""Keeps a part of a page of this folder equal to what the code says."""

from __future__ import annotations

import sys
from pathlib import Path

BEGIN, END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"


def update(page: Path, tables: str, script: str, arguments: list[str]) -> int:
    """Put the tables into the page or, with `--check`, say whether they are there: the exit status."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    current = f"{before}{BEGIN}\n{tables}\n{END}{after}"
    if arguments == ["--check"]:
        if current != text:
            print(f"{page} is not current: run `python docs/{Path(script).name}`", file=sys.stderr)
        return int(current != text)
    page.write_text(current, encoding="utf-8")
    return 0
