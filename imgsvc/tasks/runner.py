"""Runs the tasks of this process, whatever their kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from weakref import WeakValueDictionary

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime

from imgsvc.errors import LeaseLost, TaskCancelled
from imgsvc.interfaces import IEvents, ITaskCatalogue, ITaskKind
from imgsvc.lease_model import Lease, Task
from imgsvc.logger import make_logger
from imgsvc.tasks.running import RunningTask

log = make_logger()

AT_ONCE: Final = 4
"""Tasks of one project that are run at a time by a process. The others keep their leases and wait: the slow servers of
one project hold up nobody else's images."""


@define(eq=False)
class TaskRunner:
    """The owner of all tasks of this process. `running` holds them by their ids, those that wait for their turn too.

    kinds: by the types of tasks. lease: seconds.
    """

    catalogue: ITaskCatalogue
    kinds: Mapping[str, ITaskKind]
    events: IEvents
    clock: IReactorTime
    lease: float
    running: dict[str, RunningTask] = field(factory=dict, init=False)
    _turns: WeakValueDictionary[str | None, DeferredSemaphore] = field(factory=WeakValueDictionary, init=False)
    _stopped: bool = field(default=False, init=False)

    def begin(self, task: Task, lease: Lease) -> None:
        """Begin, or go on with, a task under its lease. Nobody waits for it."""
        if self._stopped or task.id in self.running:
            return
        kind = self.kinds.get(task.type)
        if kind is None:
            log.error("task {task}: this process knows no tasks of type {type}", task=task.id, type=task.type)
            return
        self.running[task.id] = running = RunningTask(self, kind, task, lease)
        running.ended.addCallback(lambda _: self.running.pop(task.id))
        running.start()

    def turns(self, owner: str | None) -> DeferredSemaphore:
        """Those of a project's tasks. Whoever waits for one, or has one, keeps it."""
        return self._turns.setdefault(owner, DeferredSemaphore(AT_ONCE))

    def cancel(self, image_id: str) -> None:
        """The image is deleted: what its task does is of no use."""
        for running in list(self.running.values()):
            if running.task.image_id == image_id:
                running.stop(LeaseLost(image_id))

    async def cancel_task(self, task_id: str) -> bool:
        """End a task, whichever process is at work on it. False if it is not under way. Raises CatalogueUnavailable."""
        if not await self.catalogue.cancel_task(task_id):
            return False
        running = self.running.get(task_id)
        if running is not None:
            running.stop(TaskCancelled(task_id))
        return True

    def stop(self) -> Deferred[None]:
        """End all tasks, so that another process can go on with them at once. Fires when they have ended."""
        self._stopped = True
        tasks = list(self.running.values())
        for running in tasks:
            running.stop(CancelledError())
        return DeferredList([running.ended for running in tasks]).addCallback(lambda _: None)
