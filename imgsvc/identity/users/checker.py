"""Checks passwords in threads, and remembers those that were right for a while."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Final

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from imgsvc.errors import TooManyAttempts
from imgsvc.identity.users.attempts import Attempt, Attempts
from imgsvc.identity.users.passwords import is_password
from imgsvc.interfaces import IThreads

__all__ = ["PasswordChecker"]

MOST_KEPT: Final = 1024
"""Right passwords that are kept at one time."""

MOST_WAITING: Final = 64
"""Passwords that may be checked, or wait for a thread, at one time."""

MOST_OF_ADDRESS: Final = 8
"""How many of these may come from one address, so that all others need not wait long."""

PAUSE: Final = 5
"""Seconds after which a client shall come again if too many wait."""


@frozen
class Check:
    """A check that runs or waits for a thread. answers: fire with its result."""

    attempt: Attempt
    answers: list[Deferred[bool]] = field(factory=list)


class PasswordChecker:
    """Compares passwords with bcrypt hashes.

    A right password is kept for a time as a keyed hash of name, password and bcrypt hash. The key is random and stays
    in this process. A changed password has another bcrypt hash, so what was kept of the old one is never found.
    Requests that come with the same password at the same time wait for one check.
    """

    def __init__(self, threads: IThreads, seconds: Callable[[], float]) -> None:
        """threads: check the passwords. seconds: returns the monotonic time."""
        self._threads = threads
        self._seconds = seconds
        self._key = secrets.token_bytes(32)
        self._kept: dict[bytes, float] = {}  # ordered by the time of the check
        self._attempts = Attempts(seconds)
        self._waiting: dict[bytes, Check] = {}

    def is_kept(self, name: str, password: str, hashed: str, time: float) -> bool:
        """Whether this password was right within the last `time` seconds."""
        checked_at = self._kept.get(self._mark(name, password, hashed))
        return checked_at is not None and self._seconds() < checked_at + time

    def check(self, name: str, password: str, hashed: str, is_real: bool, address: str | None) -> Deferred[bool]:
        """Compare a password with a bcrypt hash. Returns whether it is right. May be cancelled.

        is_real: whether the hash is that of the user; else the answer is False, and takes as long. address: of the
        client, as Attempts counts it.

        Raises TooManyAttempts.
        """
        mark = self._mark(name, password, hashed)
        answer: Deferred[bool] = Deferred()
        check = self._waiting.get(mark)
        if check is not None:
            check.answers.append(answer)
            return answer
        self._require_place(address)
        self._waiting[mark] = Check(self._attempts.begin(name, address), [answer])
        checked = self._threads.run(is_password, password, hashed)
        checked.addCallback(lambda is_equal: is_equal and is_real)
        checked.addBoth(self._checked, mark)
        return answer

    def _require_place(self, address: str | None) -> None:
        """Raise TooManyAttempts if one more check of this address may not wait."""
        of_address = sum(check.attempt.address == address for check in self._waiting.values())
        if len(self._waiting) >= MOST_WAITING or (address is not None and of_address >= MOST_OF_ADDRESS):
            raise TooManyAttempts(PAUSE)

    def _checked(self, result: bool | Failure, mark: bytes) -> None:
        check = self._waiting.pop(mark)
        if isinstance(result, Failure):
            self._attempts.give_back(check.attempt)
        elif result:
            self._attempts.succeeded(check.attempt)
            self._keep(mark)
        for answer in check.answers:
            if not answer.called:  # else the client has gone
                answer.callback(result)

    def _keep(self, mark: bytes) -> None:
        self._kept.pop(mark, None)
        self._kept[mark] = self._seconds()
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]

    def _mark(self, name: str, password: str, hashed: str) -> bytes:
        text = "\0".join((name, hashed, password))
        return hashlib.blake2b(text.encode(), key=self._key, digest_size=32).digest()
