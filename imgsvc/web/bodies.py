"""Bodies of requests: how they may be encoded; JSON, read within bounds of memory and time, in turns of the reactor."""

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
from imgsvc.interfaces import IAnswerBudget, IReservation, IThreads
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
"""Bytes of a JSON body."""

SMALL: Final = 64 << 10
"""Bytes of a body up to which it never waits for memory (IAnswerBudget)."""

QUICK: Final = 8 << 10
"""Bytes of a body up to which it is read at once: that takes less time than most requests do."""

FEW: Final = 2000
"""Values of a body up to which what it says is understood in a turn of the reactor: that takes 7 us a value at most."""

PATIENCE: Final = 30.0
"""Seconds for which a large body waits for memory."""

ARRIVAL: Final = 60.0
"""Seconds that a body may take to arrive."""

BYTES_OF_VALUE: Final = 160
"""What a value takes in memory beside its text, on the average of the worst document."""

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
"""Escapes can write what UTF-8 cannot."""


def require_identity_encoding(request: StreamingRequest) -> None:
    """Raise UnsupportedType for a body that the client has compressed or the like: it is taken as it comes."""
    for coding in (joined(request.requestHeaders, "content-encoding") or "").split(","):
        if coding.strip().lower() not in ("", "identity"):
            request.setHeader(b"accept-encoding", b"identity")  # RFC 9110 section 15.5.16
            raise UnsupportedType(f"A body has no Content-Encoding but identity here, not {coding.strip()}.")


@define
class JsonBodies:
    """Reads bodies.

    budget: what they may hold together. threads: where those that hold much are understood, one at a time. clock: the
    reactor's time.
    """

    budget: IAnswerBudget
    threads: IThreads
    clock: IReactorTime
    turns: ReactorTurns = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.turns = ReactorTurns(self.clock)

    @asynccontextmanager
    async def read(self, body: RequestBody, understand: Callable[[Document], T]) -> AsyncIterator[T]:
        """What `understand` makes of the object or array that a body holds, whatever its Content-Type says.

        understand: is called in a thread if the body holds much; without side effects. The memory of the body is
        counted until the context ends.
        Raises Invalid for what is no object or array, or too deep, BodyTooLarge, BodyCut, Overloaded, and whatever
        `understand` raises.
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
        """As `read`, for routes that take an object only."""

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
        """The whole body. One of unknown length waits for memory when it turns out to be large."""
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
    """What is counted for one body."""

    _budget: IAnswerBudget
    _clock: IReactorTime
    _reservation: IReservation | None = None
    _waiting: Deferred[None] | None = None
    _work: Deferred[Any] | None = None

    def reserve(self, size: int) -> Deferred[None]:
        """Count `size` bytes, in place of those that are counted. Fires when there is room; fails with Overloaded."""
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
        """Work that goes on to its end, and holds the memory until then, whoever is gone."""
        self._work = work

    def close(self) -> None:
        """Count none, as soon as no work needs the memory."""
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
    """What a body of that many bytes may need before more is known of it."""
    return length if length <= SMALL else _bytes_needed(length, 4 * length, MOST_VALUES)


def _needed(data: bytes, structure: Structure) -> int:
    """What it takes to parse it. Text takes up to four bytes a character, as soon as one of them is not ASCII."""
    plain = data.isascii() and b"\\u" not in data
    return _bytes_needed(len(data), len(data) if plain else 4 * len(data), structure.values)


def _bytes_needed(length: int, text: int, values: int) -> int:
    """The body, its text, and the values, which hold as much text again."""
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
