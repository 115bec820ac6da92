"""Decides who is an administrator, by the policy's rule `context_is_admin`."""

from __future__ import annotations

from attrs import define, evolve
from twisted.internet.defer import Deferred
from zope.interface import implementer

from imgsvc.identity.policy import Policy
from imgsvc.interfaces import IIdentity, RequestHead
from imgsvc.model import Caller


@implementer(IIdentity)
@define
class Administrators:
    """Identifies callers by another IIdentity, and sets `is_admin` of each caller by the policy."""

    identity: IIdentity
    policy: Policy

    @property
    def challenge(self) -> str | None:
        """The challenge of the other identity."""
        return self.identity.challenge

    def identify(self, head: RequestHead) -> Caller | Deferred[Caller]:
        """See IIdentity."""
        caller = self.identity.identify(head)
        return caller.addCallback(self._judged) if isinstance(caller, Deferred) else self._judged(caller)

    def _judged(self, caller: Caller) -> Caller:
        is_admin = self.policy.permits("context_is_admin", caller)
        return caller if is_admin == caller.is_admin else evolve(caller, is_admin=is_admin)
