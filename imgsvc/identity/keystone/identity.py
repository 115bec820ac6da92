"""Identifies callers by the tokens that they have from Keystone."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final

from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers
from zope.interface import implementer

from imgsvc.errors import Unauthenticated
from imgsvc.identity.keystone.access_rules import allows
from imgsvc.identity.keystone.checks import TokenChecks
from imgsvc.identity.keystone.facts import TokenFacts
from imgsvc.interfaces import IIdentity, RequestHead
from imgsvc.model import Caller

__all__ = ["Keystone"]

_TOKEN: Final = re.compile(r"[!-~]{1,4096}")
"""What a token may look like. Those of Keystone have some hundred characters, and a few thousand with signatures."""
NO_ROLES: Final[frozenset[str]] = frozenset()


@implementer(IIdentity)
class Keystone:
    """Checks `X-Auth-Token`, and `X-Service-Token` of a service that passes the request on.

    A token is checked when its request begins. What the request has begun goes on when the token expires.
    """

    def __init__(
        self,
        checks: TokenChecks,
        challenge: str,
        service_roles: Collection[str],
        service_roles_required: bool,
        now: Callable[[], float],
    ) -> None:
        """challenge: for 401. service_roles: roles of services, one of which makes a service token count.
        service_roles_required: whether a service token without such a role is refused. now: the time in seconds since
        1970.
        """
        self.challenge: str | None = challenge
        self._checks = checks
        self._service_roles = frozenset(role.lower() for role in service_roles)
        self._service_roles_required = service_roles_required
        self._now = now

    def identify(self, head: RequestHead) -> Caller | Deferred[Caller]:
        """See IIdentity. The caller comes at once if the answers of Keystone are kept."""
        token = _token(head.headers, "X-Auth-Token", "X-Storage-Token")
        if token is None:
            raise Unauthenticated("The request has no token of Keystone (X-Auth-Token).")
        service_token = _token(head.headers, "X-Service-Token")
        if service_token is None:
            kept = self._checks.kept(token, False)
            if kept is not None:
                return self._caller(head, token, kept.facts)
        return Deferred.fromCoroutine(self._identify(head, token, service_token))

    async def _identify(self, head: RequestHead, token: str, service_token: str | None) -> Caller:
        service_roles = NO_ROLES if service_token is None else await self._roles_of_service(service_token)
        finding = await self._checks.find(token, not service_roles.isdisjoint(self._service_roles))
        return self._caller(head, token, finding.facts, service_roles)

    async def _roles_of_service(self, token: str) -> frozenset[str]:
        """The roles of a service token. Raises Unauthenticated."""
        facts = (await self._checks.find(token, False)).facts
        if facts is None or facts.expires_at <= self._now():
            raise Unauthenticated("The service token (X-Service-Token) is not valid, or has expired.")
        if self._service_roles_required and facts.roles.isdisjoint(self._service_roles):
            wanted = ", ".join(sorted(self._service_roles))
            raise Unauthenticated(f"The service token (X-Service-Token) has none of the roles of services: {wanted}.")
        return facts.roles

    def _caller(
        self, head: RequestHead, token: str, facts: TokenFacts | None, service_roles: frozenset[str] = NO_ROLES
    ) -> Caller:
        """The caller of a request whose token was checked. Raises Unauthenticated."""
        is_service = bool(service_roles) and not service_roles.isdisjoint(self._service_roles)
        if facts is None or (facts.expires_at <= self._now() and not is_service):
            raise Unauthenticated("The token is not valid, or has expired.")
        if not facts.is_scoped:
            raise Unauthenticated("The token has no scope: a token for a project is needed.")
        if facts.is_bound:
            raise Unauthenticated("The token is bound to a client certificate, which is not checked here.")
        # A service calls on the user's behalf: the rules are about the call that the user has made there.
        if facts.access_rules is not None and not is_service and not allows(facts.access_rules, head.method, head.path):
            raise Unauthenticated("The access rules of the application credential do not allow this request.")
        # Every policy has project scope: tokens for a domain or the system have no roles here.
        roles = facts.roles if facts.project_id is not None else NO_ROLES
        return Caller(facts.user_id, facts.project_id, roles, service_roles, token)


def _token(headers: Headers, *names: str) -> str | None:
    """The token in the first of these headers that is present; None if it is empty, or if none is present.

    Raises Unauthenticated: it does not look like a token, or the header was given twice.
    """
    for name in names:
        values = headers.getRawHeaders(name.encode("ascii")) or []
        if values:
            text = values[0].decode("latin-1").strip()
            if len(values) > 1 or (text and not _TOKEN.fullmatch(text)):
                raise Unauthenticated(f"The header {name} has no token of Keystone.")
            return text or None
    return None
