"""Pools of threads."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from imgsvc.interfaces import IThreads
from imgsvc.threads import ReactorThreads


class ReactorThreadsTests(TestCase):
    """The end of a pool."""

    async def test_stopped(self) -> None:
        """After its end a pool makes no calls and fails at once, so that nobody waits forever."""
        calls: list[int] = []
        for used in (True, False):
            threads = ReactorThreads(reactor, "test", 1)
            verifyObject(IThreads, threads)
            if used:
                await threads.run(calls.append, 1)
            threads.stop()
            self.failureResultOf(threads.run(calls.append, 2), CancelledError)
            threads.stop()
        self.assertEqual(calls, [1])
