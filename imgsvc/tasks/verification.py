"""Compares a store with the catalogue: objects without records, records without objects, and differences.

Uploads and deletions go on meanwhile, so every problem is checked twice before it is reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from attrs import define
from twisted.internet.interfaces import IReactorTime

from imgsvc.interfaces import IBudget, IImageCatalogue, IInventory, ILeaseCatalogue, IListedStore, IStore
from imgsvc.model import UnfinishedObject
from imgsvc.pipeline.digest_scheduler import DigestScheduler
from imgsvc.tasks.doubts import Doubts
from imgsvc.tasks.findings import Finding, Findings, Problem, VerifyRules
from imgsvc.tasks.object_check import ObjectCheck
from imgsvc.tasks.record_check import RecordCheck
from imgsvc.tasks.unfinished import end_unfinished


@define(eq=False)
class Verification:
    """One verification of a started store.

    budget, digest_scheduler: for reading objects. now: returns the time, as in StoredObject.changed_at.
    """

    images: IImageCatalogue
    leases: ILeaseCatalogue
    inventory: IInventory
    store: IStore
    findings: Findings
    rules: VerifyRules
    clock: IReactorTime
    budget: IBudget
    digest_scheduler: DigestScheduler
    now: Callable[[], float] = time.time

    async def run(self) -> None:
        """Verify the whole store. Raises StoreAway, StoreUnavailable, CatalogueUnavailable: it could not be completed.

        It can be cancelled; a running repair is completed then.
        """
        uploads = Doubts(self.clock, self._look_at_uploads_again)
        try:
            await self.store.check()
            for unfinished in await self.store.unfinished():
                if not await self._is_under_way(unfinished):
                    await uploads.add(unfinished)
            await self._records().look()
            if IListedStore.providedBy(self.store):
                await self._objects(self.store).look()
            await uploads.settle()
            await self.store.check()
        finally:
            await self.findings.finish()

    def _records(self) -> RecordCheck:
        return RecordCheck(
            self.inventory,
            self.store,
            self.findings,
            self.clock,
            self.rules.digests,
            self.budget,
            self.digest_scheduler,
        )

    def _objects(self, store: IListedStore) -> ObjectCheck:
        return ObjectCheck(self.images, self.inventory, store, self.findings, self.clock, self.rules, self.now)

    async def _look_at_uploads_again(self, doubted: list[UnfinishedObject]) -> None:
        there = set(await self.store.unfinished())
        for unfinished in doubted:
            if unfinished in there:
                text = f"upload {unfinished.lease_id} has left something, and nobody is at work on it"
                finding = Finding(self.store.store_id, Problem.UNFINISHED, unfinished.name, text)
                if self.rules.repair:
                    await self.findings.repair(finding, partial(self._end, unfinished))
                else:
                    self.findings.tell(finding)

    async def _end(self, unfinished: UnfinishedObject) -> str | None:
        return "ended" if await end_unfinished(self.images, self.leases, self.store, unfinished) else None

    async def _is_under_way(self, unfinished: UnfinishedObject) -> bool:
        return await self.leases.is_under_way(self.store.store_id, unfinished.name, unfinished.lease_id)
