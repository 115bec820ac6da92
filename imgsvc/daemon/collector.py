"""Settings of Python's garbage collector, which looks for cycles of unused objects."""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (10_000, 5, 100)
"""The thresholds of the three generations, for `gc.set_threshold`.

With Python's default (700, 10, 10), the collector runs many times while a JSON document of many small lists is read. A
run over 50,000 objects takes 15 ms, and a turn of the reactor may take no longer than 20 ms.
"""


def tune() -> None:
    """Exclude all objects that exist now from later collections, and collect more rarely.

    To be called when the start is over. About 7,000 of the 115,000 objects are garbage of the start. They stay in
    memory, since a collection would delay the first requests by 0.1 s.
    """
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
