"""The part of the catalogue's interface for leases and tasks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from twisted.internet.defer import Deferred

from imgsvc.catalogue import leases, tasks
from imgsvc.catalogue.database import Database
from imgsvc.lease_model import Lease, Task, TaskEnd
from imgsvc.model import Image, PendingDeletion, ProjectLimits

__all__ = ["Work"]


class Work:
    """Keeps leases and tasks in a Database. now: the clock for tasks; leases use the database's clock."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def renew(self, resource_id: str, lease_id: str, seconds: float) -> Deferred[None]:
        return self._database.write(lambda connection: leases.renew_lease(connection, resource_id, lease_id, seconds))

    def leases(self) -> Deferred[list[Lease]]:
        return self._database.read(leases.list_leases)

    def take_over(self, lease: Lease, seconds: float) -> Deferred[Lease | None]:
        return self._database.write(lambda connection: leases.take_over_lease(connection, lease, seconds), frees=True)

    def is_under_way(self, store_id: str, name: str, lease_id: str) -> Deferred[bool]:
        return self._database.read(lambda connection: leases.is_under_way(connection, store_id, name, lease_id))

    def add_lease_object(self, resource_id: str, lease_id: str, store_id: str, name: str) -> Deferred[None]:
        return self._database.write(
            lambda connection: leases.add_lease_object(connection, resource_id, lease_id, store_id, name)
        )

    def add_task(self, task: Task, seconds: float) -> Deferred[Lease]:
        return self._database.write(lambda connection: tasks.add_task(connection, task, seconds))

    def begin_task(
        self, image: Image, changed: Image, task: Task, seconds: float, limits: ProjectLimits | None = None
    ) -> Deferred[tuple[Image, Lease]]:
        now = self._now()
        return self._database.write(
            lambda connection: tasks.begin_task(connection, image, changed, task, seconds, now, limits)
        )

    def task(self, task_id: str) -> Deferred[Task]:
        return self._database.read(lambda connection: tasks.find_task(connection, task_id))

    def report_task(self, lease: Lease, seconds: float, progress: int) -> Deferred[bool]:
        now = self._now()
        return self._database.write(lambda connection: tasks.report_task(connection, lease, seconds, progress, now))

    def cancel_task(self, task_id: str) -> Deferred[bool]:
        now = self._now()
        return self._database.write(lambda connection: tasks.cancel_task(connection, task_id, now))

    def end_task(
        self, image: Image, changed: Image, lease: Lease, end: TaskEnd
    ) -> Deferred[tuple[Image, list[PendingDeletion]]]:
        now = self._now()
        return self._database.write(lambda connection: tasks.end_task(connection, image, changed, lease, end, now))

    def close_task(self, lease: Lease, end: TaskEnd) -> Deferred[bool]:
        now = self._now()
        return self._database.write(lambda connection: tasks.close_task(connection, lease, end, now), frees=True)

    def forget_tasks(self) -> Deferred[int]:
        return Deferred.fromCoroutine(self._forget_tasks())

    async def _forget_tasks(self) -> int:
        now = self._now()
        expired = await self._database.read(lambda connection: tasks.list_expired_tasks(connection, now))
        if expired:  # usually there are none, and nothing is written
            await self._database.write(lambda connection: tasks.forget_tasks(connection, expired), frees=True)
        return len(expired)
