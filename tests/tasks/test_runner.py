"""Rules for tasks of every kind, on a real catalogue, with a test's clock."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from imgsvc.context import current_request
from imgsvc.errors import CatalogueUnavailable, Conflict, Invalid, StoreUnavailable, TaskCancelled, TaskStalled
from imgsvc.event_model import Event, ImageUpdated, TaskEnded, TaskProgressed
from imgsvc.events import Events
from imgsvc.interfaces import ITaskKind, ITaskWork, Verdict
from imgsvc.lease_model import Lease, Task, TaskStatus
from imgsvc.model import RequestContext, Status
from imgsvc.tasks.runner import AT_ONCE, TaskRunner
from tests.catalogue.rigs import NOON, CatalogueTestCase, new_image
from tests.support.server import fired

LEASE = 60.0
DOWN = StoreUnavailable("local", "x")


@implementer(ITaskKind)
class Kind:
    """A kind of task whose runs wait for the test. `runs` has those that wait."""

    type = "kind"
    retries = 2

    def __init__(self, catalogue: Any) -> None:
        self.catalogue = catalogue
        self.begun: list[str] = []
        self.requests: list[RequestContext | None] = []
        self.runs: list[Deferred[None]] = []
        self.works: list[ITaskWork] = []
        self.failures: list[Exception] = []
        self.done = 0

    async def run(self, work: ITaskWork) -> None:
        """See ITaskKind."""
        self.begun.append(work.task.id)
        self.requests.append(current_request())
        self.works.append(work)
        step: Deferred[None] = Deferred()
        self.runs.append(step)
        work.watch(lambda: self.done)
        try:
            await work.wait(lambda: step)
        finally:
            self.runs.remove(step)
        await self._end(work, None)

    async def failed(self, work: ITaskWork, error: Exception) -> None:
        """See ITaskKind."""
        self.failures.append(error)
        await self._end(work, str(error))

    async def _end(self, work: ITaskWork, why: str | None) -> None:
        image = await self.catalogue.image(work.task.image_id)
        await work.end(image, evolve(image, name=why or "done"), why)

    def judge(self, error: Exception) -> Verdict:
        """See ITaskKind."""
        match error:
            case StoreUnavailable() | TaskStalled():
                return Verdict.RETRY
            case Invalid():
                return Verdict.FAIL
        return Verdict.LEAVE


class RunnerTestCase(CatalogueTestCase):
    """`self.runner` runs tasks of `self.kind`."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.kind = Kind(self.catalogue)
        self.events_clock = Clock()
        self.events = Events(self.events_clock)
        self.published: list[Event] = []
        self.events.subscribe(Event, self.published.append)
        self.runner = self.made()

    def made(self) -> TaskRunner:
        """A runner, as in another process."""
        return TaskRunner(self.catalogue, {"kind": self.kind}, self.events, self.clock, LEASE)

    def added(self, type_: str = "kind", owner: str | None = "red") -> tuple[Task, Lease]:
        """A task on a new image, and its lease."""
        image = new_image()
        fired(self.catalogue.add(image))
        task = Task(str(uuid4()), type_, NOON, NOON, owner=owner, image_id=image.id)
        return task, fired(self.catalogue.add_task(task, LEASE))

    def begun(self, owner: str | None = "red") -> Task:
        """A task that the runner has begun."""
        task, lease = self.added(owner=owner)
        self.runner.begin(task, lease)
        return task

    def shown(self, task: Task) -> Task:
        """The task in the catalogue."""
        shown: Task = fired(self.catalogue.task(task.id))
        return shown

    def leases(self) -> list[Lease]:
        leases: list[Lease] = fired(self.catalogue.leases())
        return leases

    def pass_time(self, seconds: float) -> None:
        """Let time pass in steps of a second."""
        self.clock.pump([1] * round(seconds))

    def finish(self) -> None:
        """Finish the run that began first."""
        self.kind.runs[0].callback(None)

    def fail(self, error: Exception) -> None:
        """Let the run that began first fail."""
        self.kind.runs[0].errback(error)

    def assert_ended(self, task: Task, why: str | None = None) -> None:
        """The task has ended with success, or because of `why`. Its image says so, and nothing is left of it."""
        shown = self.shown(task)
        status = TaskStatus.SUCCESS if why is None else TaskStatus.FAILURE
        self.assertEqual((shown.status, shown.message), (status, why or ""))
        self.assertEqual(fired(self.catalogue.image(task.image_id)).name, why or "done")
        self.assert_idle()
        self.assertEqual(self.leases(), [])

    def assert_idle(self) -> None:
        """Nothing is running, and there is no timer."""
        self.assertEqual((self.runner.running, self.kind.runs, self.clock.getDelayedCalls()), ({}, [], []))


class RunTests(RunnerTestCase):
    """From the beginning to the end."""

    def test_success(self) -> None:
        """A task is processing while its kind works, and then a success."""
        task = self.begun()
        verifyObject(ITaskKind, self.kind)
        verifyObject(ITaskWork, self.kind.works[0])
        self.assertIs(self.shown(task).status, TaskStatus.PROCESSING)
        self.finish()
        self.assert_ended(task)

    def test_progress(self) -> None:
        """Progress is written at each renewal of the lease."""
        task = self.begun()
        [before] = self.leases()
        self.kind.done = 1 << 40
        self.pass_time(LEASE / 3)
        self.assertEqual(self.shown(task).progress, 1 << 40)
        self.assertGreater(self.leases()[0].expires_at, before.expires_at)
        self.finish()
        self.assert_ended(task)

    def test_events(self) -> None:
        """Progress, the change of the image and the end are published."""
        task = self.begun()
        self.kind.done = 5
        self.pass_time(LEASE / 3 + 1)
        self.finish()
        self.events_clock.advance(0)
        kinds = [type(event) for event in self.published]
        self.assertEqual(kinds[-2:], [ImageUpdated, TaskEnded])
        progress = [event for event in self.published if isinstance(event, TaskProgressed)]
        self.assertEqual((progress[-1].task, progress[-1].progress), (task, 5))
        ended = self.published[-1]
        assert isinstance(ended, TaskEnded)
        self.assertEqual((ended.task, ended.end.status), (task, TaskStatus.SUCCESS))

    def test_request(self) -> None:
        """A task has the context of the request that created it, in any process."""
        task, lease = self.added()
        self.runner.begin(evolve(task, request_id="req-asked", user_id="asker"), lease)
        [request] = self.kind.requests
        assert request is not None
        self.assertEqual((request.request_id, request.caller.user_id), ("req-asked", "asker"))
        self.begun()
        self.assertIsNone(self.kind.requests[-1])

    def test_begun_twice(self) -> None:
        """A running task is not begun again."""
        task, lease = self.added()
        self.runner.begin(task, lease)
        self.runner.begin(task, lease)
        self.assertEqual(self.kind.begun, [task.id])
        self.finish()
        self.assert_ended(task)

    def test_about_no_image(self) -> None:
        """A task may have no image, and a result. It knows its lease."""
        leases: list[Lease] = []

        async def run(work: ITaskWork) -> None:
            leases.append(work.lease)
            await work.close(result={"answer": 42})

        self.kind.run = run  # type: ignore[method-assign]
        task = Task(str(uuid4()), "kind", NOON, NOON)
        lease = fired(self.catalogue.add_task(task, LEASE))
        self.runner.begin(task, lease)
        self.assert_idle()
        self.assertEqual((leases, self.leases()), ([lease], []))
        self.assertEqual((self.shown(task).status, self.shown(task).result), (TaskStatus.SUCCESS, {"answer": 42}))

    def test_unknown(self) -> None:
        """A task of an unknown type is left to processes that know it."""
        task, lease = self.added("other")
        self.runner.begin(task, lease)
        self.assert_idle()
        self.assertIs(self.shown(task).status, TaskStatus.PENDING)
        self.assertEqual(self.leases()[0].lease_id, lease.lease_id)

    def test_in_turn(self) -> None:
        """Only so many tasks of a project run at a time. Waiting ones keep their leases, and hold up no others."""
        tasks = [self.begun() for _ in range(AT_ONCE + 2)]
        other = self.begun("blue")
        self.assertEqual(self.kind.begun, [task.id for task in (*tasks[:AT_ONCE], other)])
        self.kind.done += 1
        before = {lease.task_id: lease.expires_at for lease in self.leases()}
        self.pass_time(LEASE / 3)
        after = {lease.task_id: lease.expires_at for lease in self.leases()}
        self.assertTrue(all(after[task_id] > before[task_id] for task_id in before))
        self.assertIs(self.shown(tasks[-1]).status, TaskStatus.PENDING)
        while self.kind.runs:
            self.finish()
        for task in (*tasks, other):
            self.assert_ended(task)


class FailureTests(RunnerTestCase):
    """Runs that fail."""

    def test_repeated(self) -> None:
        """A run is repeated after growing pauses until it succeeds."""
        task = self.begun()
        for pause in (1, 2):
            self.fail(DOWN)
            self.clock.advance(pause - 0.1)
            self.assertEqual(self.kind.runs, [])
            self.clock.advance(0.1)
        self.finish()
        self.assertEqual(len(self.kind.begun), 3)
        self.assert_ended(task)

    def test_given_up(self) -> None:
        """After so many attempts the task fails."""
        task = self.begun()
        for _ in range(3):
            self.fail(DOWN)
            self.pass_time(4)
        self.assert_ended(task, str(DOWN))
        self.assertEqual(len(self.kind.begun), 3)

    def test_at_once(self) -> None:
        """An error with the verdict FAIL is not retried."""
        task = self.begun()
        self.fail(Invalid("no"))
        self.assert_ended(task, "no")

    def test_left(self) -> None:
        """An error with the verdict LEAVE leaves the task to the process that takes the lease over."""
        for error in (CatalogueUnavailable("x"), Conflict("y")):
            task = self.begun()
            self.fail(error)
            self.assert_idle()
            self.assertIs(self.shown(task).status, TaskStatus.PROCESSING)
        self.assertEqual(len(self.leases()), 2)
        self.assertEqual(self.kind.failures, [])

    def test_fault(self) -> None:
        """An unexpected error leaves the task too."""
        task = self.begun()
        self.fail(ZeroDivisionError("in a kind"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assert_idle()
        self.assertIs(self.shown(task).status, TaskStatus.PROCESSING)
        self.assertEqual(len(self.leases()), 1)

    def test_stalled(self) -> None:
        """A run without progress for three leases is stopped and repeated. One with progress is not."""
        task = self.begun()
        for _ in range(12):
            self.kind.done += 1
            self.pass_time(LEASE)
        self.assertEqual(len(self.kind.begun), 1)
        self.pass_time(3 * LEASE + 2)
        self.assertEqual(len(self.kind.begun), 2)
        self.finish()
        self.assert_ended(task)

    def test_stalled_again_and_again(self) -> None:
        """After several stalled runs the task fails."""
        task = self.begun()
        self.pass_time(3 * (3 * LEASE + LEASE))
        self.assert_ended(task, str(TaskStalled(task.id)))


class StopTests(RunnerTestCase):
    """Tasks that are stopped."""

    def test_stop(self) -> None:
        """A process that stops gives the leases up, also of waiting tasks, and another continues them."""
        tasks = [self.begun() for _ in range(AT_ONCE + 1)]
        fired(self.runner.stop())
        self.assert_idle()
        self.assertEqual([lease.expires_at for lease in self.leases()], [0] * len(tasks))
        late = self.begun()
        self.assert_idle()
        self.kind.begun.clear()
        other = self.made()
        for lease in self.leases():
            if lease.expires_at == 0:
                taken = fired(self.catalogue.take_over(lease, LEASE))
                other.begin(fired(self.catalogue.task(taken.task_id)), taken)
        while self.kind.runs:
            self.finish()
        self.assertEqual(set(self.kind.begun), {task.id for task in tasks})
        for task in tasks:
            self.assertIs(self.shown(task).status, TaskStatus.SUCCESS)
        self.assertIs(self.shown(late).status, TaskStatus.PENDING)

    def test_stop_in_a_pause(self) -> None:
        """The same holds between two attempts."""
        task = self.begun()
        self.fail(DOWN)
        fired(self.runner.stop())
        self.assert_idle()
        self.assertIs(self.shown(task).status, TaskStatus.PROCESSING)
        self.assertEqual(self.leases()[0].expires_at, 0)

    def test_stop_in_two_steps(self) -> None:
        """If a kind waits for several steps at a time, all of them are stopped."""
        steps: list[Deferred[None]] = [Deferred(), Deferred()]

        async def run(work: ITaskWork) -> None:
            waits = [Deferred.fromCoroutine(work.wait(lambda step=step: step)) for step in steps]
            await DeferredList(waits, consumeErrors=True)
            work.check()

        self.kind.run = run  # type: ignore[method-assign]
        self.begun()
        fired(self.runner.stop())
        self.assert_idle()
        for step in steps:
            self.assertTrue(step.called)

    def test_cancelled(self) -> None:
        """The kind undoes its work, and the task fails."""
        task = self.begun()
        self.assertTrue(fired(Deferred.fromCoroutine(self.runner.cancel_task(task.id))))
        self.assert_ended(task, str(TaskCancelled(task.id)))
        self.assertEqual([str(error) for error in self.kind.failures], [str(TaskCancelled(task.id))])
        self.assertFalse(fired(Deferred.fromCoroutine(self.runner.cancel_task(task.id))))

    def test_cancelled_elsewhere(self) -> None:
        """A cancellation by any process is noticed at the next renewal of the lease."""
        task = self.begun()
        self.assertTrue(fired(Deferred.fromCoroutine(self.made().cancel_task(task.id))))
        self.assertIs(self.shown(task).status, TaskStatus.PROCESSING)
        self.pass_time(LEASE / 3)
        self.assert_ended(task, str(TaskCancelled(task.id)))

    def test_cancelled_while_nobody_is_at_work(self) -> None:
        """A process that takes over a cancelled task ends it, and runs nothing."""
        task, lease = self.added()
        self.assertTrue(fired(Deferred.fromCoroutine(self.made().cancel_task(task.id))))
        self.runner.begin(task, lease)
        self.assert_ended(task, str(TaskCancelled(task.id)))
        self.assertEqual(self.kind.begun, [])

    def test_cancelled_while_it_waits(self) -> None:
        """A cancelled task that waits for its turn ends at once, and takes no turn."""
        tasks = [self.begun() for _ in range(AT_ONCE + 2)]
        self.assertTrue(fired(Deferred.fromCoroutine(self.runner.cancel_task(tasks[-2].id))))
        self.assertIs(self.shown(tasks[-2]).status, TaskStatus.FAILURE)
        self.assertEqual(len(self.leases()), AT_ONCE + 1)
        while self.kind.runs:
            self.finish()
        self.assert_idle()
        self.assertNotIn(tasks[-2].id, self.kind.begun)
        self.assert_ended(tasks[-1])

    def test_taken_over_from_itself(self) -> None:
        """A process that was stopped for long may take over its own lease. The task goes on with the new one."""
        task = self.begun()
        [lease] = self.leases()
        fired(self.catalogue.renew(lease.resource_id, lease.lease_id, 0))
        taken = fired(self.catalogue.take_over(self.leases()[0], LEASE))
        self.runner.begin(fired(self.catalogue.task(task.id)), taken)
        self.assertEqual((self.kind.begun, len(self.kind.runs)), ([task.id] * 2, 1))
        self.assertEqual(self.kind.works[-1].lease.lease_id, taken.lease_id)
        self.finish()
        self.assert_ended(task)

    def test_lost(self) -> None:
        """A task whose lease was lost ends at its next renewal, without a change."""
        task = self.begun()
        [lease] = self.leases()
        fired(self.catalogue.renew(lease.resource_id, lease.lease_id, 0))
        [lease] = self.leases()
        taken = fired(self.catalogue.take_over(lease, LEASE))
        self.pass_time(LEASE / 3)
        self.assert_idle()
        self.assertEqual([each.lease_id for each in self.leases()], [taken.lease_id])
        self.assertEqual((self.shown(task).status, self.shown(task).message), (TaskStatus.PROCESSING, ""))
        self.assertEqual(self.kind.failures, [])
        self.events_clock.advance(0)
        self.assertEqual([event for event in self.published if isinstance(event, TaskEnded)], [])

    def test_lost_at_the_end(self) -> None:
        """The result of a run whose lease was lost is not written."""
        task = self.begun()
        [lease] = self.leases()
        fired(self.catalogue.renew(lease.resource_id, lease.lease_id, 0))
        fired(self.catalogue.take_over(self.leases()[0], LEASE))
        self.finish()
        self.assert_idle()
        self.assertIsNone(fired(self.catalogue.image(task.image_id)).name)
        self.assertIs(self.shown(task).status, TaskStatus.PROCESSING)

    def test_image_deleted(self) -> None:
        """The task of a deleted image ends at once in the process that deleted it, and elsewhere at its next
        renewal.
        """
        for told in (True, False):
            task = self.begun()
            fired(self.catalogue.delete(task.image_id))
            if told:
                self.runner.cancel(task.image_id or "")
            else:
                self.pass_time(LEASE / 3)
            self.assert_idle()
            self.assertEqual((self.shown(task).status, self.leases()), (TaskStatus.FAILURE, []))
        self.assertEqual(Status.QUEUED, fired(self.catalogue.image(self.added()[0].image_id)).status)
