"""Answers that are kept for a while."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

__all__ = ["Kept"]

K = TypeVar("K")
V = TypeVar("V")


@frozen
class _Entry(Generic[V]):
    value: V
    until: float
    weight: int


class Kept(Generic[K, V]):
    """Values by their keys. When there are too many, those go first that were not asked for the longest."""

    def __init__(self, clock: IReactorTime, seconds: float, most: int, heaviest: int) -> None:
        """seconds: how long a value is kept; 0: not at all. most: how many values are kept. heaviest: how many bytes
        these may have together.
        """
        self._clock = clock
        self._seconds = seconds
        self._most = most
        self._heaviest = heaviest
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value of a key; None if none is kept."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.until <= self._clock.seconds():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.value

    def keep(self, key: K, value: V, weight: int) -> None:
        """Keep a value in place of an earlier one. weight: in bytes."""
        if key in self._entries:
            self._drop(key)
        if self._seconds <= 0 or weight > self._heaviest:
            return
        self._entries[key] = _Entry(value, self._clock.seconds() + self._seconds, weight)
        self._weight += weight
        while len(self._entries) > self._most or self._weight > self._heaviest:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: K) -> None:
        self._weight -= self._entries.pop(key).weight
