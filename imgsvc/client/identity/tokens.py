"""Keeps a token of Keystone, and gets a new one in time."""

from __future__ import annotations

from typing import Final

from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from imgsvc.client.errors import BadResponse, Unreachable
from imgsvc.client.identity.catalogue import find_endpoint
from imgsvc.client.identity.grants import Grant
from imgsvc.client.identity.keystone import KEYSTONE, Keystone
from imgsvc.client.identity.login import Login
from imgsvc.joined import Joined

MARGIN: Final = 120.0
"""Seconds. A token is renewed when less than this, or a fifth of its life, is left. It is longer than LOGIN_LIMIT, so
that a renewal which is not answered leaves a token that is still good.
"""
LOGIN_LIMIT: Final = 60.0
"""Seconds that a login may take, however slowly Keystone sends its answer."""
PAUSE: Final = 5.0
"""Seconds between two renewals of a token that is still good, if the first one failed."""


@frozen
class _Kept:
    """A grant. renewal, end: seconds of the clock."""

    grant: Grant
    renewal: float
    end: float


class KeystoneAccess:
    """An Access whose headers have a token of Keystone.

    keystone: gives the tokens. login: the Login; its endpoint, or that of the catalogue, is the one of the grants.
    clock: for the lives of tokens.

    One login at a time is under way. All who need a token wait for it; it ends when nobody waits any more.
    """

    def __init__(self, keystone: Keystone, login: Login, clock: IReactorTime) -> None:
        self.endpoint: str | None = login.endpoint
        self._keystone = keystone
        self._login = login
        self._clock = clock
        self._kept: _Kept | None = None
        self._logins: Joined[None, Grant] = Joined()

    async def grant(self) -> Grant:
        """See Access. While Keystone is away, a token that is still good is used on."""
        kept = self._kept
        if kept is not None and self._clock.seconds() < kept.renewal:
            return kept.grant
        try:
            return await self._logins.wait(None, self._begin)
        except (Unreachable, BadResponse):
            kept = self._kept
            if kept is None or self._clock.seconds() >= kept.end:
                raise
            self._kept = evolve(kept, renewal=min(self._clock.seconds() + PAUSE, kept.end))
            return kept.grant

    def refused(self, grant: Grant) -> bool:
        """See Access."""
        if self._kept is not None and self._kept.grant is grant:
            self._kept = None
        return True

    def _begin(self) -> Deferred[Grant]:
        return Deferred.fromCoroutine(self._log_in()).addTimeout(LOGIN_LIMIT, self._clock, self._late)

    async def _log_in(self) -> Grant:
        begin = self._clock.seconds()
        answer = await self._keystone.new_token()
        # The endpoint stays the same as long as the client lives, also if the catalogue changes: images and their
        # transfers belong to one server.
        if self.endpoint is None:
            self.endpoint = find_endpoint(answer.catalogue, self._login, self._keystone.url)
        grant = Grant(self.endpoint, {"X-Auth-Token": answer.token})
        margin = min(MARGIN, answer.life / 5)
        self._kept = _Kept(grant, begin + answer.life - margin, begin + answer.life)
        return grant

    def _late(self, result: object, seconds: float) -> Grant:
        raise Unreachable(self._keystone.url, f"a login was not answered within {seconds:.0f} seconds.", KEYSTONE)
