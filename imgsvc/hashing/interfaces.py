"""The interfaces of what computes digests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from zope.interface import Attribute, Interface

Piece = bytes | bytearray | memoryview
"""Consecutive bytes of a stream. A memoryview is contiguous, and its items are bytes."""


class HasherUnavailable(Exception):
    """A hasher does not work here. str(): the reason, without a full stop."""


class IRunningHash(Interface):
    """The digests of one stream so far. Only the calls of its hasher add bytes."""

    algorithms: frozenset[str] = Attribute("The names of the digests in hashlib.")

    def digest(algorithm: str) -> bytes:
        """The raw digest of all bytes so far. More bytes can be added afterwards.

        algorithm: one of `algorithms`.
        """

    def copy() -> IRunningHash:
        """A hash of the same bytes that goes on by itself."""

    def export() -> bytes | None:
        """The state, for `IHasher.restore` in another process. None: the state cannot be exported."""


class IHasher(Interface):
    """Computes the digests of streams."""

    name: str = Attribute('A short name for the operator, as "hashlib".')
    lanes: int = Attribute("Streams that one call can hash together. 1: to hash streams together saves nothing.")
    common_from: int = Attribute("Streams from which on one call for all costs less than a call for each.")

    def new(algorithms: Collection[str]) -> IRunningHash:
        """Begin the digests of a stream.

        algorithms: hashlib's names. Raises ValueError: hashlib does not know one of them.
        """

    def restore(exported: bytes) -> IRunningHash:
        """The hash that goes on where `IRunningHash.export` was called.

        Raises ValueError: these bytes are not an exported state.
        """

    def calls(work: Sequence[tuple[IRunningHash, Sequence[Piece]]], threads: int) -> list[Callable[[], None]]:
        """Return the calls that add pieces to hashes of this hasher. Call each once.

        A call blocks. It may run in any thread, at the same time as the others of the list. It keeps no piece when it
        returns or raises. If one of the calls raises, the hashes are of no use any more.

        work: each hash at most once, with its next pieces. threads: how many threads are idle.
        """
