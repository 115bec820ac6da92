"""The session of a client: what becomes of the failures of its connections."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived
from twisted.web.iweb import IAgent
from zope.interface import implementer

from imgsvc.client.errors import Broken
from imgsvc.client.session import Session


@implementer(IAgent)
class FailingAgent:
    """Every request fails the same way."""

    def __init__(self, cause: Exception) -> None:
        self._cause = cause

    def request(self, *arguments: Any, **named: Any) -> Deferred[Any]:
        return fail(ResponseNeverReceived([Failure(self._cause)]))


class ExplainTest(SynchronousTestCase):
    def request(self, cause: Exception) -> Deferred[Any]:
        session = Session(
            "http://127.0.0.1:1",
            Clock(),
            headers={},
            auth=None,
            agent=FailingAgent(cause),
            connections=1,
            stall_limit=60,
        )
        return Deferred.fromCoroutine(session.request("GET", "/v2/images"))

    def test_cancelled(self) -> None:
        """A request that was cancelled while it was sent is cancelled, whatever its connection makes of it."""
        self.failureResultOf(self.request(CancelledError()), CancelledError)

    def test_lost(self) -> None:
        """One whose connection ended is broken off."""
        self.failureResultOf(self.request(ConnectionDone()), Broken)
