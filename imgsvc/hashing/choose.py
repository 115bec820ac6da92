"""Chooses what computes the digests of a process."""

from __future__ import annotations

import os
from typing import Final

from attrs import frozen

from imgsvc.hashing.interfaces import IHasher
from imgsvc.hashing.reference import HashlibHasher

__all__ = ["SWITCH", "Choice", "choose_hasher"]

SWITCH: Final = "IMGSVC_ACCELERATED_HASHING"
"""The environment variable that switches the accelerator off, whatever the configuration says."""
OFF: Final = frozenset({"off", "0", "false"})


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
    return Choice(HashlibHasher(), _why_not(wanted))


def _why_not(wanted: bool) -> str:
    """The reason why the accelerator is not used."""
    if not wanted:
        return "images.accelerated_hashing = false"
    switch = os.environ.get(SWITCH, "")
    if switch.lower() in OFF:
        return f"{SWITCH}={switch}"
    # Here the compiled hasher is loaded, when there is one: `from imgsvc.hashing.compiled import load`.
    return "there is no accelerator"
