"""The problems that a verification finds, their report and their repair."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred, DeferredLock

from imgsvc.errors import StoreAway, StoreError
from imgsvc.shield import shielded


class Problem(StrEnum):
    """The kinds of problems, as words for programs."""

    MISSING = "missing"
    SIZE = "wrong-size"
    DIGEST = "wrong-digest"
    UNREADABLE = "unreadable"
    LEFT_OVER = "left-over"
    UNFINISHED = "unfinished"


@frozen
class Finding:
    """One problem.

    name: of the object, which is the id of its image. text: the facts, for people. repaired: whether it was repaired.
    """

    store_id: str
    problem: Problem
    name: str
    text: str
    repaired: bool = False


@frozen
class VerifyRules:
    """The rules of a verification.

    digests: whether to read every object. repair: whether to end unfinished uploads and set left-over objects aside.
    min_age: seconds for which a left-over object must have existed before it is set aside.
    """

    digests: bool = False
    repair: bool = False
    min_age: float = 86400.0


@define
class Tally:
    """What was checked so far (records, listed objects, read bytes), and the number of findings and repairs."""

    records: int = 0
    objects: int = 0
    read: int = 0
    findings: int = 0
    repaired: int = 0


@define(eq=False)
class Findings:
    """Counts findings and passes them to `report`. Repairs run one after the other, and each runs to its end."""

    report: Callable[[Finding], None]
    tally: Tally = field(factory=Tally, init=False)
    _turn: DeferredLock = field(factory=DeferredLock, init=False)

    def tell(self, finding: Finding, repair: str = "", repaired: bool = False) -> None:
        """Report a finding. repair: what was repaired, or why nothing was."""
        self.tally.findings += 1
        self.tally.repaired += repaired
        text = f"{finding.text}; {repair}" if repair else finding.text
        self.report(evolve(finding, text=text, repaired=repaired))

    async def repair(self, finding: Finding, work: Callable[[], Awaitable[str | None]]) -> None:
        """Repair a problem and report it. Runs to its end even if this is cancelled.

        work: does the repair, and returns what it did, in words; None: there was no problem after all. A StoreError
        that it raises is reported as the reason why the problem stays; StoreAway is raised.
        """

        async def repair() -> None:
            try:
                done = await work()
            except StoreAway:
                raise
            except StoreError as error:
                self.tell(finding, f"it stays: {reason(error)}")
                return
            if done is not None:
                self.tell(finding, done, repaired=True)

        await shielded(self._turn.run(lambda: Deferred.fromCoroutine(repair())))

    async def finish(self) -> None:
        """Wait until the running repair has ended."""
        await self._turn.run(lambda: None)


def reason(error: StoreError) -> str:
    """Return the message of an error without the name of the store, which is in the finding already."""
    return str(error).removeprefix(f"Store {error.store_id}: ")
