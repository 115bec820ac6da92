"""Slows down those who guess passwords."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Final

from attrs import define, field, frozen

from imgsvc.errors import TooManyAttempts

__all__ = ["Attempt", "Attempts"]

MOST_KEPT: Final = 4096
"""Users and addresses whose wrong passwords are counted at one time, each."""


@frozen
class Rate:
    """How many attempts are allowed: `burst` at once, and then one every `interval` seconds."""

    burst: int
    interval: float


OF_USER: Final = Rate(burst=10, interval=10.0)
OF_ADDRESS: Final = Rate(burst=30, interval=5.0)
"""An address may be that of many people."""


@define
class Allowance:
    """The attempts that each key has left, by the generic cell rate algorithm (ITU-T I.371): one time for each key.

    An attempt moves the time of its key forward by an interval. It is refused if that time is more than a burst ahead.
    A key whose time has passed has its whole burst, and is forgotten.
    """

    rate: Rate
    seconds: Callable[[], float]
    most: int = MOST_KEPT
    _times: dict[str, float] = field(factory=dict)

    def pause(self, key: str) -> float:
        """The seconds until the key may make an attempt; 0: it may now."""
        ahead = self._times.get(key, 0.0) - self.seconds()
        return max(0.0, ahead - (self.rate.burst - 1) * self.rate.interval)

    def take(self, key: str) -> None:
        """Count an attempt."""
        now = self.seconds()
        if key not in self._times and len(self._times) >= self.most:
            self._make_room(now)
        self._times[key] = max(self._times.get(key, 0.0), now) + self.rate.interval

    def give_back(self, key: str) -> None:
        """Count one attempt less."""
        if key in self._times:
            self._times[key] -= self.rate.interval
            if self._times[key] <= self.seconds():
                del self._times[key]

    def _make_room(self, now: float) -> None:
        """Forget the keys that have their whole burst. If there are none, forget the one that has most of it left."""
        for key in [key for key, time in self._times.items() if time <= now]:
            del self._times[key]
        if len(self._times) >= self.most:
            del self._times[min(self._times, key=self._times.__getitem__)]


@frozen
class Attempt:
    """One attempt, with the keys under which it was counted."""

    user: str
    address: str | None
    user_key: str


class Attempts:
    """Counts wrong passwords for each user and each address.

    An attempt is counted when it begins, so that many at the same time do not slip through. A right password gives it
    back. A user who came with the right password from an address is counted apart there: whoever guesses elsewhere
    does not lock this user out.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        """seconds: returns the monotonic time."""
        self._users = Allowance(OF_USER, seconds)
        self._addresses = Allowance(OF_ADDRESS, seconds)
        self._known: dict[tuple[str, str], None] = {}  # ordered by the time of the last success

    def begin(self, user: str, address: str | None) -> Attempt:
        """Count an attempt. user: any name. address: of the client; None: do not count addresses.

        Raises TooManyAttempts.
        """
        attempt = Attempt(user, address, self._key(user, address))
        pause = self._users.pause(attempt.user_key)
        if address is not None:
            pause = max(pause, self._addresses.pause(address))
        if pause:
            raise TooManyAttempts(ceil(pause))
        self._users.take(attempt.user_key)
        if address is not None:
            self._addresses.take(address)
        return attempt

    def give_back(self, attempt: Attempt) -> None:
        """Do not count this attempt: no password was wrong."""
        self._users.give_back(attempt.user_key)
        if attempt.address is not None:
            self._addresses.give_back(attempt.address)

    def succeeded(self, attempt: Attempt) -> None:
        """The password was right."""
        self.give_back(attempt)
        if attempt.address is not None:
            pair = (attempt.user, attempt.address)
            self._known.pop(pair, None)
            self._known[pair] = None
            if len(self._known) > MOST_KEPT:
                del self._known[next(iter(self._known))]

    def _key(self, user: str, address: str | None) -> str:
        """The key of a user. No user name has a colon."""
        return f"{user}:{address}" if address is not None and (user, address) in self._known else user
