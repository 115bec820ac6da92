"""Digests by the compiled kernels, which hash several streams for little more than the price of one."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

from attrs import evolve
from zope.interface import implementer

from imgsvc.hashing.addresses import address_of
from imgsvc.hashing.interfaces import IHasher, IRunningHash, Piece
from imgsvc.hashing.library import ALGORITHMS, Instructions, Library, Stream, load_library
from imgsvc.hashing.reference import HashlibHasher, RunningHash
from imgsvc.hashing.self_test import check_hasher

__all__ = ["CompiledHash", "CompiledHasher", "load"]

MAGIC: Final = b"imgsvc hash 1\n"
"""The beginning of an exported state. A change of `Stream` changes it."""
_SIZES: Final = {"md5": 16, "sha256": 32, "sha512": 64}
_SHA512: Final = ALGORITHMS["sha512"]


@implementer(IRunningHash)
class CompiledHash:
    """The digests of one stream. others: those that the kernels do not compute."""

    def __init__(self, library: Library, state: Stream, others: RunningHash) -> None:
        self._library = library
        self.state = state
        self.others = others
        compiled = {name for name, number in ALGORITHMS.items() if state.algorithms & number}
        self.algorithms = frozenset(compiled | others.algorithms)

    def digest(self, algorithm: str) -> bytes:
        """See IRunningHash."""
        if algorithm in self.others.algorithms:
            return self.others.digest(algorithm)
        if algorithm not in self.algorithms:
            raise KeyError(algorithm)
        digest = ctypes.create_string_buffer(_SIZES[algorithm])
        self._library.digest(self.state, ALGORITHMS[algorithm], self._library.instructions, digest)
        return digest.raw

    def copy(self) -> CompiledHash:
        """See IRunningHash."""
        return CompiledHash(self._library, Stream.from_buffer_copy(self.state), self.others.copy())

    def export(self) -> bytes | None:
        """See IRunningHash. None if hashlib computes one of the digests."""
        return None if self.others.algorithms else MAGIC + bytes(self.state)


@implementer(IHasher)
class CompiledHasher:
    """Hashes up to `lanes` streams in one call, and one stream with all its algorithms in one loop."""

    lanes = 8
    common_from = 3

    def __init__(self, library: Library) -> None:
        self._library = library
        self._reference = HashlibHasher()
        self.name = "avx512" if library.instructions & Instructions.AVX512 else "avx2"
        self._known = dict(ALGORITHMS)
        if not library.instructions & Instructions.SHA:
            del self._known["sha256"]

    def new(self, algorithms: Collection[str]) -> CompiledHash:
        """See IHasher."""
        state = Stream()
        self._library.begin(state, sum(number for name, number in self._known.items() if name in algorithms))
        return CompiledHash(self._library, state, self._reference.new([n for n in algorithms if n not in self._known]))

    def restore(self, exported: bytes) -> CompiledHash:
        """See IHasher. Also raises ValueError if this processor cannot compute one of the digests."""
        if not exported.startswith(MAGIC) or len(exported) != len(MAGIC) + ctypes.sizeof(Stream):
            raise ValueError("these bytes are not the state of a hash, or of another version of imgsvc")
        state = Stream.from_buffer_copy(exported, len(MAGIC))
        if not state.algorithms or state.algorithms & ~sum(self._known.values()):
            raise ValueError("the state is of an algorithm that cannot be computed here")
        return CompiledHash(self._library, state, self._reference.new(()))

    def calls(self, work: Sequence[tuple[IRunningHash, Sequence[Piece]]], threads: int) -> list[Callable[[], None]]:
        """See IHasher.

        One stream with SHA-512 takes two calls if two threads are idle: MD5 and SHA-512 in one loop take longer than
        each of them, but less than both. SHA-256 by SHA-NI takes no time beside MD5.
        """
        hashes = [(_compiled(running), pieces) for running, pieces in work]
        calls = self._reference.calls([(each.others, pieces) for each, pieces in hashes], threads)
        computed = 0
        for each, _ in hashes:
            computed |= each.state.algorithms
        if len(work) == 1 and threads > 1 and computed & _SHA512 and computed & ~_SHA512:
            parts = [_SHA512, computed & ~_SHA512]
        else:
            parts = [computed] if computed else []
        for each, _ in hashes:
            each.state.calls = len(parts)
        return calls + [partial(self._update, part, hashes) for part in parts]

    def _update(self, algorithms: int, work: Sequence[tuple[CompiledHash, Sequence[Piece]]]) -> None:
        streams = [ctypes.pointer(each.state) for each, _ in work]
        counts = [len(pieces) for _, pieces in work]
        pieces = [piece for _, each in work for piece in each]
        with ExitStack() as held:
            # An address or bytes: ctypes takes the address of bytes itself, which is much faster.
            data: list[Any] = [
                each if isinstance(each, bytes) else held.enter_context(address_of(each)) for each in pieces
            ]
            self._library.update(
                self._library.instructions,
                algorithms,
                len(work),
                (ctypes.POINTER(Stream) * len(streams))(*streams),
                (ctypes.c_size_t * len(counts))(*counts),
                (ctypes.c_char_p * len(pieces))(*data),
                (ctypes.c_size_t * len(pieces))(*map(len, pieces)),
            )


def _compiled(running: IRunningHash) -> CompiledHash:
    if not isinstance(running, CompiledHash):
        raise TypeError(f"{running!r} is the hash of another hasher")
    return running


def load(avx512: bool = True) -> CompiledHasher:
    """Load the kernels, and check them against hashlib.

    avx512: whether AVX-512 may be used. Raises HasherUnavailable: they do not work here.
    """
    library = load_library()
    if not avx512:
        library = evolve(library, instructions=library.instructions & ~Instructions.AVX512)
    hasher = CompiledHasher(library)
    check_hasher(hasher)
    return hasher
