"""Waits for several calls at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults


async def gather_or_cancel(calls: Sequence[Deferred[Any]]) -> list[Any]:
    """Wait for several calls. The first error cancels the others, and so does a cancelled wait.

    calls: Deferreds.

    Returns their results in the same order. Raises the first error.
    """
    try:
        return list(await gatherResults(calls, consumeErrors=True))
    except FirstError as first:
        problem: BaseException = first.subFailure.value  # type: ignore[assignment]
        raise problem from first
    finally:
        for call in calls:
            call.cancel()
