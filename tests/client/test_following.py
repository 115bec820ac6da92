"""The digest of a file that is still being written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.client.errors import LocalFileError
from imgsvc.client.files import ThreadedFile
from imgsvc.client.following import BLOCK, FollowingDigest


class Threads:
    """Threads that run calls when the test says so, or at once."""

    def __init__(self) -> None:
        self.at_once = True
        self.waiting: list[Callable[[], None]] = []

    def run(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        if self.at_once:
            return maybeDeferred(function, *arguments)
        done: Deferred[Any] = Deferred()
        self.waiting.append(lambda: done.called or maybeDeferred(function, *arguments).chainDeferred(done))
        return done


class FollowingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.content = os.urandom(2 * BLOCK + 12345)
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(self.content)
        self.threads = Threads()
        self.fd = os.open(path, os.O_RDWR)
        file = ThreadedFile(path, self.fd, self.threads.run)
        self.addCleanup(file.close)
        self.moved: list[int] = []
        self.following = FollowingDigest(file, "sha256", self.moved.append)

    def finish(self) -> Deferred[str]:
        return Deferred.fromCoroutine(self.following.finish())

    def test_follows(self) -> None:
        """Whole blocks are digested as soon as they are written, the rest at the end, and no byte is read twice."""
        self.following.reach(BLOCK - 1)
        self.assertEqual(self.moved, [])
        self.following.reach(BLOCK + 5)
        self.assertEqual(self.moved, [BLOCK, BLOCK + 5])
        self.following.reach(len(self.content))
        self.assertEqual(self.moved, [BLOCK, BLOCK + 5, 2 * BLOCK + 5, len(self.content)])
        self.assertEqual(self.successResultOf(self.finish()), hashlib.sha256(self.content).hexdigest())
        self.assertEqual(len(self.moved), 4)

    def test_later(self) -> None:
        """Data that arrives while a block is read is read after it, one block at a time."""
        self.threads.at_once = False
        self.following.reach(BLOCK)
        self.following.reach(len(self.content))
        finished = self.finish()
        for _ in range(3):
            self.assertNoResult(finished)
            [read] = self.threads.waiting
            self.threads.waiting.clear()
            read()
        self.assertEqual(self.successResultOf(finished), hashlib.sha256(self.content).hexdigest())
        self.assertEqual(self.moved[-1], len(self.content))

    def test_shrunk(self) -> None:
        """A file that lacks written bytes is reported at the end."""
        os.truncate(self.fd, BLOCK)
        self.following.reach(len(self.content))
        self.failureResultOf(self.finish(), LocalFileError)

    def test_stop(self) -> None:
        """After `stop` nothing is read, and whoever waits gets an error."""
        self.threads.at_once = False
        self.following.reach(len(self.content))
        finished = self.finish()
        self.following.stop()
        self.failureResultOf(finished, CancelledError)
        self.following.reach(len(self.content))
        self.assertEqual(len(self.threads.waiting), 1)

    def test_empty(self) -> None:
        """An empty file has a digest too."""
        self.assertEqual(self.successResultOf(self.finish()), hashlib.sha256().hexdigest())
