"""Digests of streams: what computes them, and the choice of it.

It needs nothing but the standard library, attrs and zope.interface, so that the client can use it.
"""

from imgsvc.hashing.interfaces import IHasher, IRunningHash, Piece

__all__ = ["IHasher", "IRunningHash", "Piece"]
