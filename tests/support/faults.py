"""A store that fails or hangs when a test says so, around another store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IConsumer
from zope.interface import implementer

from imgsvc.interfaces import IStore, IStoreReader, IStoreWriter
from imgsvc.model import Caller, Location, Span
from imgsvc.shield import shielded

Call = Callable[[], Deferred[Any]]


@implementer(IStore)
class FaultyStore:
    """Passes every call to `inner`, except those that are to fail or to hang.

    Calls have the names of the methods of IStore, and `write`, `commit`, `finalize_writer`, `abort` of its writers.
    `calls` has the names of all calls so far.
    """

    def __init__(self, inner: IStore) -> None:
        self.inner = inner
        self.calls: list[str] = []
        self.cut_after: int | None = None
        """The bytes that a reader gives before it fails."""
        self._errors: dict[str, tuple[Exception, bool]] = {}
        self._hanging: set[str] = set()
        self._hung: list[tuple[Call, Deferred[Any]]] = []

    def fail(self, call: str, error: Exception, *, done: bool = False) -> None:
        """From now on `call` fails with this error. done: after it was done, as if its response was lost."""
        self._errors[call] = error, done

    def hang(self, call: str) -> None:
        """From now on `call` hangs."""
        self._hanging.add(call)

    def heal(self) -> None:
        """From now on nothing fails, and calls that hang are made."""
        self._errors.clear()
        self._hanging.clear()
        self.cut_after = None
        hung, self._hung = self._hung, []
        for call, answer in hung:
            call().chainDeferred(answer)

    @property
    def hung(self) -> int:
        """The number of calls that hang."""
        return len(self._hung)

    def do(self, name: str, call: Call) -> Deferred[Any]:
        """Make a call, or let it fail or hang."""
        self.calls.append(name)
        if name in self._hanging:
            answer: Deferred[Any] = Deferred()
            self._hung.append((call, answer))
            return shielded(answer)  # a hanging call cannot be cancelled
        error, done = self._errors.get(name, (None, False))
        if error is None:
            return call()
        return call().addCallback(lambda _: fail(error)) if done else fail(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def locate(self, url: str, image_id: str) -> Location | None:
        """See IStore."""
        return self.inner.locate(url, image_id)  # type: ignore[no-any-return]

    def writer(
        self, name: str, lease_id: str, expected_size: int | None, caller: Caller | None = None
    ) -> Deferred[IStoreWriter]:
        """See IStore."""
        made: Call = lambda: self.inner.writer(name, lease_id, expected_size, caller)  # noqa: E731
        return self.do("writer", made).addCallback(lambda writer: FaultyWriter(self, writer))

    def check(self) -> Deferred[None]:
        """See IStore."""
        return self.do("check", lambda: self.inner.check())

    def reader(
        self, location: Location, span: Span, size: int | None = None, caller: Caller | None = None
    ) -> Deferred[IStoreReader]:
        """See IStore."""
        opened = self.do("reader", lambda: self.inner.reader(location, span, size, caller))
        if self.cut_after is None:
            return opened
        return opened.addCallback(BrokenReader, self.cut_after, self._errors["read"][0])

    def size(self, location: Location) -> Deferred[int]:
        """See IStore."""
        return self.do("size", lambda: self.inner.size(location))

    def delete(self, location: Location) -> Deferred[None]:
        """See IStore."""
        return self.do("delete", lambda: self.inner.delete(location))

    def unfinished(self) -> Deferred[Any]:
        """See IStore."""
        return self.do("unfinished", lambda: self.inner.unfinished())

    def discard(self, name: str, lease_id: str) -> Deferred[None]:
        """See IStore."""
        return self.do("discard", lambda: self.inner.discard(name, lease_id))

    def finalize(self, name: str, lease_id: str) -> Deferred[None]:
        """See IStore."""
        return self.do("finalize", lambda: self.inner.finalize(name, lease_id))

    def usage(self) -> Deferred[Any]:
        """See IStore."""
        return self.do("usage", lambda: self.inner.usage())


@implementer(IStoreWriter)
@define(eq=False)
class FaultyWriter:
    """A writer of a FaultyStore."""

    store: FaultyStore
    inner: IStoreWriter

    def write(self, pieces: Any) -> Deferred[None]:
        """See IStoreWriter."""
        return self.store.do("write", lambda: self.inner.write(pieces))

    def commit(self) -> Deferred[Location]:
        """See IStoreWriter."""
        return self.store.do("commit", lambda: self.inner.commit())

    def finalize(self) -> Deferred[None]:
        """See IStoreWriter."""
        return self.store.do("finalize_writer", lambda: self.inner.finalize())

    def abort(self) -> Deferred[None]:
        """See IStoreWriter."""
        return self.store.do("abort", lambda: self.inner.abort())


@implementer(IStoreReader)
class BrokenReader:
    """Gives the first bytes of an object as zeros, and then fails."""

    def __init__(self, inner: IStoreReader, stop: int, error: Exception) -> None:
        self.length = inner.length
        self._inner = inner
        self._stop = stop
        self._error = error

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """See IStoreReader."""
        consumer.registerProducer(self, True)
        if self._stop:
            consumer.write(bytes(self._stop))
        consumer.unregisterProducer()
        return fail(self._error)

    def pauseProducing(self) -> None:
        """See IPushProducer."""

    def resumeProducing(self) -> None:
        """See IPushProducer."""

    def stopProducing(self) -> None:
        """See IStoreReader."""
        self._inner.stopProducing()
