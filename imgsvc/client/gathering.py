"""Several things at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults


async def gather_or_cancel(calls: Sequence[Deferred[Any]]) -> list[Any]:
    """The results of all calls, in their order. The first that fails ends the others, and its error is raised.

    Who waits for this and is cancelled cancels all of them.
    """
    try:
        return list(await gatherResults(calls, consumeErrors=True))
    except FirstError as first:
        problem: BaseException = first.subFailure.value  # type: ignore[assignment]
        raise problem from first
    finally:
        for call in calls:
            call.cancel()
