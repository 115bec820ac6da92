"""Tasks: what kinds of them there are, and what a kind is given to work with."""

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
    """What an error in a task means."""

    RETRY = "retry"
    """The task is run again after a pause, a few times, and then it fails."""
    FAIL = "fail"
    """It fails at once."""
    LEAVE = "leave"
    """It cannot be said now: whoever takes the lease over runs the task again."""


class ITaskWork(Interface):
    """A task that is being worked on, as its kind sees it."""

    task: Task = Attribute("as it was when this process began, or went on with it")

    lease: Lease = Attribute("the task's, which calls of the catalogue name; objects in stores are begun under its id")

    def wait(begin: Callable[[], Deferred[T]], stop: Callable[[Exception], object] | None = None) -> Awaitable[T]:
        """Wait for a step of the work, which `begin()` begins. Its result.

        When the task has to stop, or stalls, `stop(why)` is called, which makes the Deferred fail; None: it is
        cancelled. Raises why. Whoever does not wait this way, waits for what comes soon in any case.
        """

    def watch(progress: Callable[[], int]) -> None:
        """From now on `progress()` is how many bytes are done. While it does not grow for too long, the work stalls."""

    def check() -> None:
        """Raises why the task has to stop, if it has."""

    def end(
        image: Image, changed: Image, why: str | None = None, result: Mapping[str, object] | None = None
    ) -> Awaitable[Sequence[PendingDeletion]]:
        """The task has ended: keep what it made of an image. why: it has failed. result: for whoever asks for the task.

        What the stores may let go of, as `ITaskCatalogue.end_task` says. Fails as that does: the task goes on then.
        """

    def close(why: str | None = None, result: Mapping[str, object] | None = None) -> Awaitable[None]:
        """As `end`, without a change of an image. Fails with LeaseLost: the task is another process's."""


class ITaskKind(Interface):
    """Knows how to do one type of task. It keeps nothing of a task: any process may go on with any of them."""

    type: str = Attribute("the type of its tasks")
    retries: int = Attribute("how often a run that fails is repeated")

    def run(work: ITaskWork) -> Awaitable[None]:
        """Do all of a task, from wherever the process before has left it, and end it by `work.end` or `work.close`.

        What it does in the catalogue names the lease of the task. Raises what has kept it from the end.
        """

    def failed(work: ITaskWork, error: ImgsvcError) -> Awaitable[None]:
        """End a task that comes to no good end: undo what it has done, and say why by `work.end`.

        Must not use `work.wait`.
        """

    def judge(error: ImgsvcError) -> Verdict:
        """What an error that `run` has raised means."""
