"""The interfaces of kinds of tasks, and of the work that a kind does for one task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import TypeVar

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from imgsvc.errors import ImgsvcError
from imgsvc.lease_model import Lease, Task
from imgsvc.model import Image, PendingDeletion

__all__ = ["ITaskKind", "ITaskWork", "Verdict"]

T = TypeVar("T")


class Verdict(Enum):
    """The consequence of an error in a task."""

    RETRY = "retry"
    """The task is run again after a pause, a few times, and then it fails."""
    FAIL = "fail"
    """The task fails at once."""
    LEAVE = "leave"
    """The outcome is not known. The process that takes the lease over runs the task again."""


class ITaskWork(Interface):
    """A running task, as its kind sees it."""

    task: Task = Attribute("The task, as it was when this process began it or took it over.")

    lease: Lease = Attribute(
        "The lease of the task. Calls of the catalogue name it; objects in stores are begun under its id."
    )

    def wait(begin: Callable[[], Deferred[T]], stop: Callable[[Exception], object] | None = None) -> Awaitable[T]:
        """Call `begin()`, which starts a step of the work, and wait for it. Returns its result.

        stop: called with the reason when the task has to stop or stalls; it must make the step's Deferred fail. None:
        the Deferred is cancelled.
        Raises that reason. A kind may await without this method only what ends soon in any case.
        """

    def watch(progress: Callable[[], int]) -> None:
        """Set the function that returns how many bytes are done.

        The task stalls when the number does not grow for too long.
        """

    def check() -> None:
        """Raise the reason for which the task has to stop, if there is one."""

    def end(
        image: Image, changed: Image, why: str | None = None, result: Mapping[str, object] | None = None
    ) -> Awaitable[Sequence[PendingDeletion]]:
        """End the task and write its change of the image to the catalogue.

        image, changed: as in `ITaskCatalogue.end_task`. why: the reason of the failure; None: success. result: for
        whoever asks for the task.
        Returns the pending deletions that the stores may delete now. Fails as `ITaskCatalogue.end_task`; the task goes
        on then.
        """

    def close(why: str | None = None, result: Mapping[str, object] | None = None) -> Awaitable[None]:
        """Do as `end`, without a change of an image. Fails with LeaseLost if another process has the task."""


class ITaskKind(Interface):
    """Does the work of one type of task. It keeps no state of a task, so that any process can go on with any task."""

    type: str = Attribute("The type of its tasks.")
    retries: int = Attribute("How often a failed run is repeated.")

    def run(work: ITaskWork) -> Awaitable[None]:
        """Do the whole task, or what the process before has left of it, and end it with `work.end` or `work.close`.

        Its changes in the catalogue name the lease of the task. Raises the error that has prevented the end.
        """

    def failed(work: ITaskWork, error: ImgsvcError) -> Awaitable[None]:
        """End a task that has failed or was cancelled: undo its work, and give the reason to `work.end`.

        Must not use `work.wait`.
        """

    def judge(error: ImgsvcError) -> Verdict:
        """Return the consequence of an error that `run` has raised."""
