"""One task that runs in this process: its lease, its turn, its attempts and its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from imgsvc.context import bound, working_for
from imgsvc.errors import ImgsvcError, LeaseLost, NoSuchImage, TaskCancelled, TaskStalled
from imgsvc.event_model import TaskEnded, TaskProgressed, event_of_change
from imgsvc.interfaces import IEvents, ITaskCatalogue, ITaskKind, ITaskWork, Verdict
from imgsvc.lease_keeper import LeaseKeeper, not_moving, waiting
from imgsvc.lease_model import Lease, Task, TaskEnd, TaskStatus
from imgsvc.logger import make_logger
from imgsvc.model import Caller, Image, PendingDeletion, RequestContext

log = make_logger()

T = TypeVar("T")

PAUSE: Final = 1.0
"""Seconds before the first retry. The pause doubles before each further retry."""


class Runner(Protocol):
    """What a task needs from its owner. lease: seconds."""

    catalogue: ITaskCatalogue
    events: IEvents
    clock: IReactorTime
    lease: float

    def turns(self, owner: str | None) -> DeferredSemaphore:
        """Return the turns of a project's tasks."""


@implementer(ITaskWork)
class RunningTask:
    """See ITaskWork. It can be stopped at any time; `ended` fires once, at the end."""

    def __init__(self, runner: Runner, kind: ITaskKind, task: Task, lease: Lease) -> None:
        self.task = task
        self.ended: Deferred[None] = Deferred()
        self._runner = runner
        self._kind = kind
        self.lease = lease
        self._stopped: Exception | None = None
        self._steps: set[Callable[[Exception], None]] = set()
        """The functions that stop the steps that are under way."""
        self._at_work = False
        self._has_ended = False
        """Whether the task has ended in the catalogue. Errors after that cause no retry."""
        self._progress: Callable[[], int] = not_moving
        with working_for(_request_of(task)):
            self._keeper = LeaseKeeper(
                runner.clock, runner.lease, self._renew, self.stop, self._stalled, f"task {task.id}"
            )
        self._keeper.watch(waiting)

    def start(self) -> None:
        """Start the task. `ended` fires when it has ended."""
        with working_for(_request_of(self.task)):
            Deferred.fromCoroutine(self._run()).addErrback(bound(self._broken)).addBoth(self._over)

    def stop(self, why: Exception) -> None:
        """Stop the task, for a reason.

        why: CancelledError leaves the task to other processes; LeaseLost gives it up; TaskCancelled makes it fail.
        """
        if self._stopped is None:
            self._stopped = why
            self._break_off(why)

    # --- for the kind

    def check(self) -> None:
        """See ITaskWork."""
        if self._stopped is not None:
            raise self._stopped

    def watch(self, progress: Callable[[], int]) -> None:
        """See ITaskWork."""
        self._progress = progress
        self._keeper.watch(progress)

    async def wait(self, begin: Callable[[], Deferred[T]], stop: Callable[[Exception], object] | None = None) -> T:
        """See ITaskWork."""
        self.check()
        step = begin()
        reasons: list[Exception] = []

        def break_step(why: Exception) -> None:
            reasons.append(why)
            if stop is None:
                step.cancel()
            else:
                stop(why)

        self._steps.add(break_step)
        try:
            return await step
        except CancelledError:
            if not reasons:
                raise
            raise reasons[0] from None
        finally:
            self._steps.discard(break_step)

    async def end(
        self, image: Image, changed: Image, why: str | None = None, result: Mapping[str, object] | None = None
    ) -> Sequence[PendingDeletion]:
        """See ITaskWork."""
        end = _end(why, result)
        now, pending = await self._runner.catalogue.end_task(image, changed, self.lease, end)
        self._ended_in_catalogue()
        self._runner.events.publish(event_of_change(image, now))
        self._runner.events.publish(TaskEnded(self.task, end))
        return pending

    async def close(self, why: str | None = None, result: Mapping[str, object] | None = None) -> None:
        """See ITaskWork."""
        end = _end(why, result)
        if not await self._runner.catalogue.close_task(self.lease, end):
            raise LeaseLost(self.lease.resource_id)
        self._ended_in_catalogue()
        self._runner.events.publish(TaskEnded(self.task, end))

    def _ended_in_catalogue(self) -> None:
        self._has_ended = True
        self._keeper.stop()  # there is no lease any more

    # --- the work

    async def _run(self) -> None:
        catalogue, lease, turns = self._runner.catalogue, self.lease, self._runner.turns(self.task.owner)
        try:
            await self.wait(turns.acquire)
            try:
                await self._repeatedly()
            finally:
                turns.release()
        except TaskCancelled as error:
            log.info("task {task}: cancelled", task=self.task.id)
            await self._kind.failed(self, error)
        except CancelledError:
            await catalogue.renew(lease.resource_id, lease.lease_id, 0)  # so that the next process need not wait
            log.info("task {task}: left to the next process", task=self.task.id)
        except (LeaseLost, NoSuchImage) as error:
            with suppress(LeaseLost):  # another process has the task
                await self.close(str(error))
            log.info("task {task}: ended, because its image or its lease is gone", task=self.task.id)

    async def _repeatedly(self) -> None:
        """Run attempts until one succeeds, the kind's verdict on an error ends them, or no retry is left."""
        left, pause = self._kind.retries, PAUSE
        while True:
            try:
                await self._attempt()
                return
            except (LeaseLost, NoSuchImage):
                raise
            except ImgsvcError as error:
                if self._has_ended:
                    raise
                self.check()  # the reason to stop may have caused the error
                verdict = self._kind.judge(error)
                if verdict is Verdict.LEAVE:
                    raise
                log.warn("task {task}: {error}", task=self.task.id, error=str(error))
                if verdict is Verdict.FAIL or left == 0:
                    await self._kind.failed(self, error)
                    return
            left -= 1
            await self.wait(partial(deferLater, self._runner.clock, pause))
            pause *= 2

    async def _attempt(self) -> None:
        self._at_work = True
        try:
            await self._renew()
            self.check()
            self.watch(not_moving)
            await self._kind.run(self)
        finally:
            self._at_work = False
            self._keeper.watch(waiting)

    # --- around it

    def _renew(self) -> Deferred[None]:
        catalogue, lease = self._runner.catalogue, self.lease
        if not self._at_work:
            return catalogue.renew(lease.resource_id, lease.lease_id, self._runner.lease)
        progress = self._progress()
        reported = catalogue.report_task(lease, self._runner.lease, progress)
        return reported.addCallback(self._reported, progress)

    def _reported(self, cancelled: bool, progress: int) -> None:
        self._runner.events.publish(TaskProgressed(self.task, progress))
        if cancelled:
            self.stop(TaskCancelled(self.task.id))

    def _stalled(self) -> None:
        self._break_off(TaskStalled(self.task.id))

    def _break_off(self, why: Exception) -> None:
        """Stop the steps that are under way."""
        for break_step in list(self._steps):
            break_step(why)

    def _broken(self, failure: Failure) -> None:
        if failure.check(ImgsvcError):
            log.error("task {task}: left to the reaper: {error}", task=self.task.id, error=failure.getErrorMessage())
        else:
            log.failure("task {task} broken", failure=failure, task=self.task.id)

    def _over(self, _: object) -> None:
        self._keeper.stop()
        self.ended.callback(None)


def _end(why: str | None, result: Mapping[str, object] | None = None) -> TaskEnd:
    return TaskEnd(TaskStatus.SUCCESS if why is None else TaskStatus.FAILURE, why or "", result)


def _request_of(task: Task) -> RequestContext | None:
    """Return the request that created the task, as far as the task's record has it."""
    if task.request_id is None:
        return None
    return RequestContext(task.request_id, Caller(user_id=task.user_id, project_id=task.owner))
