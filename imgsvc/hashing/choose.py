"""Chooses what computes the digests of a process."""

from __future__ import annotations

import os
from functools import cache
from typing import Final

from attrs import frozen

from imgsvc.hashing.compiled import load
from imgsvc.hashing.interfaces import HasherUnavailable, IHasher
from imgsvc.hashing.reference import HashlibHasher

__all__ = ["SWITCH", "Choice", "choose_hasher"]

SWITCH: Final = "IMGSVC_ACCELERATED_HASHING"
"""The environment variable that restricts the accelerator, whatever the configuration says."""
OFF: Final = frozenset({"off", "0", "false"})
NO_AVX512: Final = "avx2"
"""The value with which the accelerator uses no AVX-512."""


@frozen
class Choice:
    """What computes the digests. why: the reason why that is not the accelerator; empty if it is."""

    hasher: IHasher
    why: str = ""

    def __str__(self) -> str:
        return f"{self.hasher.name} ({self.why})" if self.why else self.hasher.name


def choose_hasher(wanted: bool) -> Choice:
    """Choose the fastest hasher that works here.

    wanted: whether the accelerator may be used. If not, or if SWITCH says `off`, `0` or `false`, hashlib is.
    """
    switch = os.environ.get(SWITCH, "")
    if not wanted:
        return Choice(HashlibHasher(), "images.accelerated_hashing = false")
    if switch.lower() in OFF:
        return Choice(HashlibHasher(), f"{SWITCH}={switch}")
    try:
        return Choice(_load(switch.lower() != NO_AVX512))
    except HasherUnavailable as error:
        return Choice(HashlibHasher(), str(error))


@cache
def _load(avx512: bool) -> IHasher:
    return load(avx512)
