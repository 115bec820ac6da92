"""Checks tokens with as few requests to Keystone as possible."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine
from hashlib import blake2b
from typing import Any, Final

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredSemaphore, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from imgsvc.context import current_request, seconds_left, working_for
from imgsvc.errors import ServiceUnavailable
from imgsvc.identity.keystone.back_off import BackOff
from imgsvc.identity.keystone.client import Finding
from imgsvc.identity.keystone.facts import KEYSTONE
from imgsvc.identity.keystone.kept import Kept
from imgsvc.joined import Joined

__all__ = ["TokenChecks"]

AT_ONCE: Final = 16
"""Checks that run at the same time. Further ones wait for their turn."""
MOST: Final = 10_000
"""Answers that are kept, of valid tokens and of others each."""
HEAVIEST: Final = 16 << 20
"""Bytes that the kept answers of valid tokens had together."""
REFUSED_TIME: Final = 5.0
"""Seconds for which it is remembered that a token is not valid."""

_Key = tuple[bytes, bool]


class TokenChecks:
    """Keeps answers, joins checks of one token that run at the same time, and pauses when Keystone is away.

    Tokens are kept as keyed hashes only. That one has expired is for the caller to notice.
    """

    def __init__(
        self,
        check: Callable[[str, bool], Coroutine[Deferred[Any], Any, Finding]],
        clock: IReactorTime,
        cache_time: float,
    ) -> None:
        """check: asks Keystone, see KeystoneClient.check. cache_time: seconds for which answers are kept."""
        self._check = check
        self._clock = clock
        self._valid: Kept[_Key, Finding] = Kept(clock, cache_time, MOST, HEAVIEST)
        self._refused: Kept[_Key, Finding] = Kept(clock, min(cache_time, REFUSED_TIME), MOST, MOST)
        self._running: Joined[_Key, Finding] = Joined()
        self._turns = DeferredSemaphore(AT_ONCE)
        self._back_off = BackOff(clock)
        self._secret = secrets.token_bytes(32)

    def kept(self, token: str, allow_expired: bool) -> Finding | None:
        """The answer that is kept for a token; None if there is none."""
        key = self._key(token, allow_expired)
        return self._valid.get(key) or self._refused.get(key)

    def find(self, token: str, allow_expired: bool) -> Deferred[Finding]:
        """What Keystone says of a token, see KeystoneClient.check.

        Fails with ServiceUnavailable, with `retry_after`: Keystone does not answer within the time that it, or the
        current request, has; or it did not lately.
        """
        kept = self.kept(token, allow_expired)
        if kept is not None:
            return succeed(kept)
        left = seconds_left(self._clock)
        if left is not None and left <= 0:
            return fail(_late())
        key = self._key(token, allow_expired)
        found = self._running.wait(key, lambda: self._begin(key, token))
        if left is not None:
            found.addTimeout(left, self._clock, _raise_late)
        return found

    def _key(self, token: str, allow_expired: bool) -> _Key:
        return blake2b(token.encode(), key=self._secret, digest_size=32).digest(), allow_expired

    def _begin(self, key: _Key, token: str) -> Deferred[Finding]:
        """Begin a check. It has no deadline: others may wait for it longer than the current request does."""
        request = current_request()
        with working_for(request and evolve(request, deadline=None)):
            return Deferred.fromCoroutine(self._run(key, token))

    async def _run(self, key: _Key, token: str) -> Finding:
        self._require_answers()
        await self._turns.acquire()
        try:
            self._require_answers()
            finding = await self._tried(token, key[1])
        finally:
            self._turns.release()
        if finding.facts is None:
            self._refused.keep(key, finding, 1)
        else:
            self._valid.keep(key, finding, finding.size)
        return finding

    def _require_answers(self) -> None:
        """Raise ServiceUnavailable in a pause."""
        left = self._back_off.seconds_left()
        if left:
            raise ServiceUnavailable(KEYSTONE, "Keystone did not answer a moment ago.", retry_after=left)

    async def _tried(self, token: str, allow_expired: bool) -> Finding:
        self._back_off.trying()
        try:
            finding = await self._check(token, allow_expired)
        except ServiceUnavailable as error:
            if error.is_down:
                self._back_off.failed()
            else:
                self._back_off.succeeded()
            left = max(1, self._back_off.seconds_left())
            raise ServiceUnavailable(KEYSTONE, str(error), error.is_down, left) from error
        except BaseException:
            self._back_off.given_up()
            raise
        self._back_off.succeeded()
        return finding


def _raise_late(result: Finding | Failure, seconds: float) -> Finding:
    raise _late()


def _late() -> ServiceUnavailable:
    return ServiceUnavailable(KEYSTONE, "Keystone does not answer in time.", retry_after=1)
