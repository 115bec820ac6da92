"""What a look at a store finds, and how it is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred, DeferredLock

from imgsvc.errors import StoreAway, StoreError
from imgsvc.shield import shielded


class Problem(StrEnum):
    """What can be wrong, in words for programs."""

    MISSING = "missing"
    SIZE = "wrong-size"
    DIGEST = "wrong-digest"
    UNREADABLE = "unreadable"
    LEFT_OVER = "left-over"
    UNFINISHED = "unfinished"


@frozen
class Finding:
    """One thing that is wrong. name: of the object, the id of its image. text: the same for people, with the facts.

    repaired: it was set right.
    """

    store_id: str
    problem: Problem
    name: str
    text: str
    repaired: bool = False


@frozen
class VerifyRules:
    """digests: read every object. repair: end what is unfinished, and set aside what is left over.

    min_age: seconds that a left-over object must have been there to be set aside.
    """

    digests: bool = False
    repair: bool = False
    min_age: float = 86400.0


@define
class Tally:
    """What was looked at so far: records, objects that were listed, bytes that were read; and what came out."""

    records: int = 0
    objects: int = 0
    read: int = 0
    findings: int = 0
    repaired: int = 0


@define(eq=False)
class Findings:
    """Counts findings, and hands each to `report`. Repairs one after the other, each to its end."""

    report: Callable[[Finding], None]
    tally: Tally = field(factory=Tally, init=False)
    _turn: DeferredLock = field(factory=DeferredLock, init=False)

    def tell(self, finding: Finding, repair: str = "", repaired: bool = False) -> None:
        """One finding. repair: what was done about it, or why nothing was."""
        self.tally.findings += 1
        self.tally.repaired += repaired
        text = f"{finding.text}; {repair}" if repair else finding.text
        self.report(evolve(finding, text=text, repaired=repaired))

    async def repair(self, finding: Finding, work: Callable[[], Awaitable[str | None]]) -> None:
        """Set something right, and tell what was found. Goes on to its end though this is cancelled.

        work: gives what it has done, or None if nothing was wrong after all; what it raises of StoreError is why the
        thing stays, but for StoreAway.
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
        """Wait for the repair that is under way."""
        await self._turn.run(lambda: None)


def reason(error: StoreError) -> str:
    """What an error says, without the name of the store, which a finding has already."""
    return str(error).removeprefix(f"Store {error.store_id}: ")
