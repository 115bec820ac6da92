"""How often Python looks for cycles of objects that nobody refers to any more."""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (10_000, 5, 100)
"""New objects before the youngest are looked at; how many such looks before one at the middle ones; and so on for all.

By default (700, 10, 10) a JSON document of many small lists is looked at many times while it is read. A look at 50,000
objects takes 15 ms, which is as long as a turn of the reactor may be.
"""


def tune() -> None:
    """Leave what was made by the start of the process out of all later looks, and look more rarely.

    To be called when the start is over. The garbage of the start, some 7,000 objects of 115,000, stays too: to look for
    it would hold up the first requests for 0.1 s.
    """
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
