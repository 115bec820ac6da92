"""Downloads from pieces that break in every way, without a network."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import Any

from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.client.downloads import download_in_order, download_to_file
from imgsvc.client.errors import BadResponse, LocalFileError, RequestRefused, TransferInterrupted, Unreachable
from imgsvc.client.patience import RETRIES, Patience
from imgsvc.client.progress import no_progress
from imgsvc.client.view import ImageView


def run(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
    """Threads whose calls are done at once."""
    return maybeDeferred(function, *arguments)


def view_of(content: bytes) -> ImageView:
    return ImageView.from_document(
        {
            "id": "an-image",
            "status": "active",
            "size": len(content),
            "os_hash_algo": "sha512",
            "os_hash_value": hashlib.sha512(content).hexdigest(),
        }
    )


@define
class MemoryBody:
    """A body in memory that breaks after `breaks` bytes."""

    content: bytes
    whole: bool
    start: int
    total: int | None
    block: int
    breaks: int | None
    etag: str | None = None
    closed: bool = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        sendable = len(self.content) if self.breaks is None else min(self.breaks, len(self.content))
        for offset in range(0, sendable, self.block):
            yield self.content[offset : min(offset + self.block, sendable)]
        if sendable < len(self.content):
            raise TransferInterrupted("cut")

    def close(self) -> None:
        self.closed = True


@define
class MemorySource:
    """Gives ranges of `content`. breaks: after how many bytes the next bodies break; None: never."""

    content: bytes
    block: int = 7
    breaks: list[int | None] = field(factory=list)
    ranges: bool = True
    refusals: list[int] = field(factory=list)
    asked: list[tuple[int, int | None]] = field(factory=list)
    bodies: list[MemoryBody] = field(factory=list)

    async def open_range(
        self, image_id: str, start: int = 0, length: int | None = None, *, if_range: str | None = None
    ) -> MemoryBody:
        self.asked.append((start, length))
        if self.refusals:
            raise RequestRefused(self.refusals.pop(0), "not now")
        whole = not self.ranges or (start == 0 and length is None)
        content = self.content if whole else self.content[start : None if length is None else start + length]
        breaks = self.breaks.pop(0) if self.breaks else None
        body = MemoryBody(content, whole, 0 if whole else start, len(self.content), self.block, breaks)
        self.bodies.append(body)
        return body


class DownloadTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def finish(self, coroutine: Any) -> Deferred[Any]:
        """Run to the end. All pauses end at once."""
        running = Deferred.fromCoroutine(coroutine)
        while not running.called and self.clock.getDelayedCalls():
            self.clock.advance(1)
        return running

    def download(self, source: MemorySource, path: str, **options: Any) -> Deferred[Any]:
        return self.finish(
            download_to_file(
                source,
                view_of(source.content),
                path,
                patience=lambda: Patience(self.clock),
                run=run,
                progress=no_progress,
                **{"connections": 1, "piece_size": 10, "resume": False, **options},
            )
        )


class ExactnessTests(DownloadTestCase):
    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(
        size=st.integers(0, 300),
        piece_size=st.integers(1, 120),
        connections=st.integers(1, 6),
        block=st.integers(1, 90),
        breaks=st.lists(st.one_of(st.none(), st.integers(0, 60)), max_size=8),
        ranges=st.booleans(),
    )
    def test_file(self, size: int, piece_size: int, connections: int, block: int, breaks: Any, ranges: bool) -> None:
        """For any sizes and breaks, the file has the image's data, and every body is closed."""
        content = bytes(number % 251 for number in range(size))
        # Fewer breaks in a row than attempts, so that each download succeeds.
        source = MemorySource(content, block, breaks[:RETRIES], ranges)
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "image")
        downloading = self.download(source, path, connections=connections, piece_size=piece_size)
        self.assertEqual(self.successResultOf(downloading), "sha512")
        with open(path, "rb") as file:
            self.assertEqual(file.read(), content)
        self.assertEqual(os.listdir(folder), ["image"])
        self.assertEqual([body for body in source.bodies if not body.closed], [])

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(
        size=st.integers(1, 300),
        piece_size=st.integers(1, 120),
        connections=st.integers(1, 4),
        sent=st.lists(st.integers(0, 100), min_size=1, max_size=6),
        torn=st.integers(0, 5),
    )
    def test_continue(self, size: int, piece_size: int, connections: int, sent: list[int], torn: int) -> None:
        """A download that gave up continues, also if the end of its state was torn off, and gives the image."""
        content = bytes(number % 251 for number in range(size))
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "image")
        broken = MemorySource(content, 5, [*sent, *[0] * 1000])
        first = self.download(broken, path, connections=connections, piece_size=piece_size)
        first.addErrback(lambda failure: failure.trap(TransferInterrupted))
        state = path + ".part.state"
        if os.path.exists(state):
            os.truncate(state, max(0, os.path.getsize(state) - torn))
        again = self.download(MemorySource(content, 50), path, piece_size=77, resume=True)
        self.assertEqual(self.successResultOf(again), "sha512")
        with open(path, "rb") as file:
            self.assertEqual(file.read(), content)

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(
        size=st.integers(0, 300),
        block=st.integers(1, 90),
        breaks=st.lists(st.integers(0, 60), max_size=RETRIES),
        ranges=st.booleans(),
    )
    def test_in_order(self, size: int, block: int, breaks: Any, ranges: bool) -> None:
        """In order too, every byte comes once."""
        content = bytes(number % 251 for number in range(size))
        taken: list[bytes] = []

        async def write(data: bytes) -> None:
            taken.append(data)

        streaming = download_in_order(
            MemorySource(content, block, breaks, ranges),
            view_of(content),
            write,
            patience=lambda: Patience(self.clock),
            run=run,
            progress=no_progress,
        )
        self.assertEqual(self.successResultOf(self.finish(streaming)), "sha512")
        self.assertEqual(b"".join(taken), content)


class PatienceTests(DownloadTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.source = MemorySource(b"0123456789" * 10)
        self.path = self.mktemp()

    def test_gives_up(self) -> None:
        """A download gives up after so many attempts in a row without a byte, and keeps what it has."""
        self.source.breaks = [None, *[0] * 100]
        self.failureResultOf(self.download(self.source, self.path), TransferInterrupted)
        self.assertEqual(len(self.source.asked), 1 + 1 + RETRIES)
        self.assertTrue(os.path.exists(self.path + ".part"))

    def test_pauses_grow(self) -> None:
        """Each pause is twice as long as the one before."""
        self.source.breaks = [0] * 3
        running = Deferred.fromCoroutine(
            download_to_file(
                self.source,
                view_of(self.source.content),
                self.path,
                patience=lambda: Patience(self.clock),
                run=run,
                connections=1,
                piece_size=1000,
                resume=False,
                progress=no_progress,
            )
        )
        for pause in (0.5, 1, 2):
            [call] = self.clock.getDelayedCalls()
            self.assertAlmostEqual(call.getTime() - self.clock.seconds(), pause)
            self.clock.advance(pause)
        self.successResultOf(running)

    def test_progress_renews_patience(self) -> None:
        """A piece that makes any progress is not given up."""
        self.source.breaks = [1] * 50
        self.successResultOf(self.download(self.source, self.path, piece_size=100))

    def test_final_refusal(self) -> None:
        """A refusal that no retry can change is reported at once, and leaves nothing."""
        self.source.refusals = [403]
        self.assertEqual(self.failureResultOf(self.download(self.source, self.path), RequestRefused).value.status, 403)
        self.assertEqual(len(self.source.asked), 1)
        self.assertFalse(os.path.exists(self.path + ".part"))

    def test_passing_refusal(self) -> None:
        """A store that is down for a moment is asked again."""
        self.source.refusals = [503, 502]
        self.successResultOf(self.download(self.source, self.path))

    def test_restart(self) -> None:
        """A server that restarts is waited for, but not one that was never there."""

        class Restarting(MemorySource):
            async def open_range(self, *arguments: Any, **options: Any) -> MemoryBody:
                if away and away.pop(0):
                    raise Unreachable("http://127.0.0.1:9292", "Connection refused")
                return await super().open_range(*arguments, **options)

        away = [False, True, True]
        source = Restarting(self.source.content, breaks=[20])
        self.successResultOf(self.download(source, self.path, piece_size=100))
        away = [True]
        self.failureResultOf(self.download(source, self.path), Unreachable)

    def test_no_file(self) -> None:
        """An existing path that is not a file is not replaced, and nothing is fetched for it."""
        os.mkfifo(self.path)
        for path in (self.path, "."):
            self.failureResultOf(self.download(self.source, path), LocalFileError)
            self.assertFalse(os.path.exists(path + ".part"))
        self.assertEqual(self.source.asked, [])

    def test_wrong_range(self) -> None:
        """A response with another range than requested is refused."""

        class Shifted(MemorySource):
            async def open_range(self, image_id: str, start: int = 0, *arguments: Any, **options: Any) -> MemoryBody:
                return await super().open_range(image_id, start + 1, *arguments, **options)

        self.failureResultOf(self.download(Shifted(self.source.content), self.path), BadResponse)
