"""Counts what had to be dropped, and logs it without a line for each."""

from __future__ import annotations

from attrs import define, field

from imgsvc.logger import make_logger

log = make_logger()


@define
class Drops:
    """what: of what is dropped, in the plural, for the log. total: since the start."""

    what: str
    total: int = field(default=0, init=False)
    _untold: int = field(default=0, init=False)

    def add(self, count: int, why: str) -> None:
        """Count some more. Only the first ones are logged at once, until `tell`."""
        if count and not self._untold:
            log.error("{what} are lost: {why}", what=self.what, why=why)
        self._untold += count
        self.total += count

    def tell(self) -> None:
        """Log how many were lost since the last call. To be called when there is room again."""
        if self._untold:
            log.warn(
                "{count} {what} were lost; {total} since the start",
                what=self.what,
                count=self._untold,
                total=self.total,
            )
            self._untold = 0
