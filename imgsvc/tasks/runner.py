"""Runs the tasks of this process, of all kinds."""

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
"""Concurrent tasks of one project in a process. Other tasks of the project keep their leases and wait, so that slow
servers of one project do not delay the tasks of others."""


@define(eq=False)
class TaskRunner:
    """Owns all tasks of this process. `running` has them by id, including those that wait for their turn.

    kinds: by type of task. lease: seconds.
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
        """Start a task, or go on with it, under its lease. Does nothing if it runs already under that lease."""
        if self._stopped:
            return
        before = self.running.get(task.id)
        if before is not None:
            if before.lease.lease_id != lease.lease_id:  # this process has taken over from itself
                before.ended.addCallback(lambda _: self.begin(task, lease))
                before.stop(LeaseLost(lease.resource_id))
            return
        kind = self.kinds.get(task.type)
        if kind is None:
            log.error("task {task}: this version of imgsvc has no tasks of type {type}", task=task.id, type=task.type)
            return
        self.running[task.id] = running = RunningTask(self, kind, task, lease)
        running.ended.addCallback(lambda _: self.running.pop(task.id))
        running.start()

    def turns(self, owner: str | None) -> DeferredSemaphore:
        """Return the turns of a project's tasks. The runner keeps them only while tasks wait for a turn or have one."""
        return self._turns.setdefault(owner, DeferredSemaphore(AT_ONCE))

    def cancel(self, image_id: str) -> None:
        """Stop the task of a deleted image."""
        for running in list(self.running.values()):
            if running.task.image_id == image_id:
                running.stop(LeaseLost(image_id))

    async def cancel_task(self, task_id: str) -> bool:
        """Ask the process that runs a task, whichever it is, to end it. Returns False if the task does not run.

        Raises CatalogueUnavailable.
        """
        if not await self.catalogue.cancel_task(task_id):
            return False
        running = self.running.get(task_id)
        if running is not None:
            running.stop(TaskCancelled(task_id))
        return True

    def stop(self) -> Deferred[None]:
        """Stop all tasks, so that other processes can go on with them at once. Fires when they have stopped."""
        self._stopped = True
        tasks = list(self.running.values())
        for running in tasks:
            running.stop(CancelledError())
        return DeferredList([running.ended for running in tasks]).addCallback(lambda _: None)
