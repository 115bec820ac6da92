"""Finds where the bytes of an object are in memory."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["address_of"]

_SIMPLE: Final = 0
"""PyBUF_SIMPLE: contiguous bytes, which may be read only."""


class _Buffer(ctypes.Structure):
    """Py_buffer, as the documentation of Python's C interface gives it."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )
    buf: int | None


_get = ctypes.pythonapi.PyObject_GetBuffer
_get.argtypes = [ctypes.py_object, ctypes.POINTER(_Buffer), ctypes.c_int]
_release = ctypes.pythonapi.PyBuffer_Release
_release.argtypes = [ctypes.POINTER(_Buffer)]


@contextmanager
def address_of(piece: bytearray | memoryview) -> Iterator[int | None]:
    """The address of the bytes. They stay where they are, and a bytearray keeps its size, until the block ends.

    Raises BufferError: the bytes are not contiguous.
    """
    buffer = _Buffer()
    _get(piece, buffer, _SIMPLE)
    try:
        yield buffer.buf
    finally:
        _release(buffer)
