"""Blocks of configuration in docs/operations.md, which tests and benchmarks use as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

OPERATIONS = Path(__file__).parent.parent.parent / "docs" / "operations.md"


def block(section: str, language: str) -> str:
    """The text of the only block in this language in a section. Raises ValueError: there are none or several."""
    text = OPERATIONS.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return str(found)
