"""Reads JSON bodies of requests, with limits on memory, on time, and on the work in one turn of the reactor."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import UNKNOWN_LENGTH

from imgsvc.errors import BodyCut, Invalid, Overloaded, UnsupportedType
from imgsvc.interfaces import IJsonBudget, IReservation, IThreads
from imgsvc.shield import ignore, shielded
from imgsvc.web.body import RequestBody, read_all, too_large
from imgsvc.web.conditions import joined
from imgsvc.web.request import StreamingRequest
from imgsvc.web.structure import MOST_VALUES, Structure, check_structure
from imgsvc.web.turns import ReactorTurns

__all__ = ["LARGEST_JSON", "QUICK", "JsonBodies", "require_identity_encoding"]

T = TypeVar("T")
Document = dict[str, Any] | list[Any]

LARGEST_JSON: Final = 1 << 20
"""Bytes of a JSON body, at most."""

SMALL: Final = 64 << 10
"""A body of up to this many bytes never waits for memory (IJsonBudget)."""

QUICK: Final = 8 << 10
"""A body of up to this many bytes is processed in one turn: that takes less time than most requests."""

FEW: Final = 2000
"""A body of up to this many values is processed on the reactor's thread. That takes at most 7 us for each value."""

PATIENCE: Final = 30.0
"""Seconds that a large body waits for memory, at most."""

ARRIVAL: Final = 60.0
"""Seconds in which a body must arrive."""

BYTES_OF_VALUE: Final = 160
"""Bytes of memory for a value in addition to its text: the average in the worst document."""

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
"""Escapes of surrogates. A lone one cannot be encoded in UTF-8."""


def require_identity_encoding(request: StreamingRequest) -> None:
    """Raises UnsupportedType: the body has a content coding, such as compression."""
    for coding in (joined(request.requestHeaders, "content-encoding") or "").split(","):
        if coding.strip().lower() not in ("", "identity"):
            request.setHeader(b"accept-encoding", b"identity")  # RFC 9110 section 15.5.16
            raise UnsupportedType(f"The Content-Encoding of a body must be identity, not {coding.strip()}.")


@define
class JsonBodies:
    """Reads bodies.

    budget: bounds the memory of all bodies together. threads: where large bodies are processed, one at a time. clock:
    the reactor.
    """

    budget: IJsonBudget
    threads: IThreads
    clock: IReactorTime
    turns: ReactorTurns = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.turns = ReactorTurns(self.clock)

    @asynccontextmanager
    async def read(self, body: RequestBody, understand: Callable[[Document], T]) -> AsyncIterator[T]:
        """Read a body, which must hold a JSON object or array, and yield what `understand` returns for it.

        The Content-Type is ignored. The memory of the body is counted until the context ends. understand: runs in a
        thread if the body is large; must have no side effects.
        Raises Invalid: the body is not an object or array, or is nested too deep. Raises BodyTooLarge, BodyCut,
        Overloaded, and the errors of `understand`.
        """
        if body.length is not UNKNOWN_LENGTH and body.length > LARGEST_JSON:
            raise too_large(LARGEST_JSON)
        memory = _Memory(self.budget, self.clock)
        try:
            yield await self._understood(body, memory, understand)
        finally:
            memory.close()

    def read_object(
        self, body: RequestBody, understand: Callable[[dict[str, Any]], T]
    ) -> AbstractAsyncContextManager[T]:
        """As `read`, for routes that accept an object only."""

        def understand_object(document: Document) -> T:
            if not isinstance(document, dict):
                raise Invalid("The body must be a JSON object.")
            return understand(document)

        return self.read(body, understand_object)

    async def _understood(self, body: RequestBody, memory: _Memory, understand: Callable[[Document], T]) -> T:
        data = await self._arrived(body, memory)
        if not data:
            raise Invalid("The request has no body.")
        await self._turn(data)
        structure = check_structure(data)
        memory.count(_needed(data, structure))
        await self._turn(data)
        document = _parsed(data)
        await self._turn(data)
        if structure.values > FEW:
            understanding = self.threads.run(understand, document)
            memory.needed_by(understanding)
            return await shielded(understanding, lost=ignore)
        understood = understand(document)
        await self._turn(data)
        return understood

    async def _turn(self, data: bytes) -> None:
        if len(data) > QUICK:
            await self.turns.own()

    async def _arrived(self, body: RequestBody, memory: _Memory) -> bytes:
        """The whole body. A body of unknown length waits for memory as soon as it turns out to be large."""
        unknown = body.length is UNKNOWN_LENGTH
        await memory.reserve(SMALL if unknown else _most(body.length))

        def arrived(size: int) -> None:
            nonlocal unknown
            if unknown and size > SMALL:
                unknown = False
                body.pauseProducing()
                memory.reserve(_most(LARGEST_JSON)).addCallbacks(lambda _: body.resumeProducing(), body.fail)

        reading = Deferred.fromCoroutine(read_all(body, LARGEST_JSON, arrived))
        try:
            return await reading.addTimeout(ARRIVAL, self.clock)
        except TimeoutError:
            raise BodyCut(f"The body did not arrive within {ARRIVAL:.0f} seconds.") from None


@define
class _Memory:
    """The memory that is counted for one body."""

    _budget: IJsonBudget
    _clock: IReactorTime
    _reservation: IReservation | None = None
    _waiting: Deferred[None] | None = None
    _work: Deferred[Any] | None = None

    def reserve(self, size: int) -> Deferred[None]:
        """Count `size` bytes instead of the former number. The Deferred fires when there is room, or fails with
        Overloaded.
        """
        granted = self._budget.reserve(size)
        if not granted.called:
            granted.addTimeout(PATIENCE, self._clock, _gave_up)
        self._waiting = granted.addCallback(self._take)
        return self._waiting

    def count(self, size: int) -> None:
        """Count `size` bytes from now on."""
        if self._reservation is not None:
            self._reservation.resize(size)

    def needed_by(self, work: Deferred[T]) -> None:
        """Keep the memory counted until `work` has ended, even if the client has gone before."""
        self._work = work

    def close(self) -> None:
        """Give the memory back, as soon as no work needs it."""
        if self._waiting is not None:
            self._waiting.cancel()
        if self._work is not None and not self._work.called:
            self._work.addBoth(self._give_back)
        else:
            self._give_back()

    def _give_back(self, result: T | None = None) -> T | None:
        if self._reservation is not None:
            self._reservation.close()
        return result

    def _take(self, reservation: IReservation) -> None:
        if self._reservation is not None:
            self._reservation.close()
        self._reservation = reservation


def _gave_up(result: object, seconds: float) -> None:
    raise Overloaded(f"The server has had no memory for a body of this size for {seconds:.0f} seconds.")


def _most(length: int) -> int:
    """The bytes that a body of this length may need, when only its length is known."""
    return length if length <= SMALL else _bytes_needed(length, 4 * length, MOST_VALUES)


def _needed(data: bytes, structure: Structure) -> int:
    """The bytes needed to parse a body. If its text is not all ASCII, each character may take four bytes."""
    plain = data.isascii() and b"\\u" not in data
    return _bytes_needed(len(data), len(data) if plain else 4 * len(data), structure.values)


def _bytes_needed(length: int, text: int, values: int) -> int:
    """The bytes of the body, its text, and its values, which hold the text once more."""
    return length + 2 * text + BYTES_OF_VALUE * values


def _parsed(data: bytes) -> Document:
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
        if _SURROGATE.search(data):
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except ValueError as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeError) else str(error)
        raise Invalid(f"The body is not JSON: {reason}.") from error
    if not isinstance(document, dict | list):
        raise Invalid("The body must be a JSON object or array.")
    return document


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
