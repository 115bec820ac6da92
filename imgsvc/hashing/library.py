"""Loads the compiled kernels, a shared object that the build of the package makes of `kernels.c`."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from enum import IntFlag
from pathlib import Path
from typing import Final

from attrs import frozen

from imgsvc.hashing.interfaces import HasherUnavailable

__all__ = ["ALGORITHMS", "Instructions", "Library", "Stream", "load_library"]

FILE: Final = Path(__file__).with_name("kernels.so")
INTERFACE: Final = 1
"""The number of the interface of `kernels.c` that this module knows."""
ALGORITHMS: Final = {"md5": 1, "sha256": 2, "sha512": 4}
"""The kernels' numbers of algorithms, by hashlib's names."""


class Instructions(IntFlag):
    """Instructions of processors that the kernels use."""

    AVX2 = 1
    AVX512 = 2
    SHA = 4
    """SHA-NI: SHA-256 in hardware."""


class Stream(ctypes.Structure):
    """The state of a stream, `struct stream` in kernels.c."""

    _fields_ = (
        ("length", ctypes.c_uint64),
        ("sha512", ctypes.c_uint64 * 8),
        ("sha256", ctypes.c_uint32 * 8),
        ("md5", ctypes.c_uint32 * 4),
        ("algorithms", ctypes.c_uint32),
        ("calls", ctypes.c_uint32),
        ("rest", ctypes.c_uint8 * 128),
    )
    length: int
    algorithms: int
    calls: int


@frozen
class Library:
    """The functions of kernels.c, and the instructions of this processor. Calls release the interpreter lock."""

    instructions: Instructions
    begin: Callable[..., None]
    update: Callable[..., None]
    digest: Callable[..., None]


def load_library(file: Path = FILE) -> Library:
    """Load the kernels.

    file: the shared object. Raises HasherUnavailable: there is none, it is not one of this version, or the processor
    lacks instructions that all kernels need.
    """
    if not file.exists():
        raise HasherUnavailable("no C compiler was there when imgsvc was built, or the processor is not x86-64")
    try:
        library = ctypes.CDLL(str(file))
        library.hash_stream_size.restype = ctypes.c_size_t
        found = library.hash_interface(), library.hash_stream_size()
    except (OSError, AttributeError) as error:
        raise HasherUnavailable(f"{file} cannot be loaded: {error}") from error
    if found != (INTERFACE, ctypes.sizeof(Stream)):
        raise HasherUnavailable(f"{file} is of another version: install imgsvc again")
    instructions = Instructions(library.hash_processor())
    if not instructions & Instructions.AVX2:
        raise HasherUnavailable("the processor has no AVX2")
    stream, word, size = ctypes.POINTER(Stream), ctypes.c_uint32, ctypes.c_size_t
    streams, sizes, addresses = ctypes.POINTER(stream), ctypes.POINTER(size), ctypes.POINTER(ctypes.c_char_p)
    for name, arguments in {
        "hash_begin": [stream, word],
        "hash_update": [word, word, size, streams, sizes, addresses, sizes],
        "hash_digest": [stream, word, word, ctypes.c_char_p],
    }.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, None
    return Library(instructions, library.hash_begin, library.hash_update, library.hash_digest)
