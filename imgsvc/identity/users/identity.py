"""Identifies callers by the passwords and tokens of the server's own users."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers
from zope.interface import implementer

from imgsvc.errors import Forbidden, Unauthenticated
from imgsvc.identity.pages import PageGuard
from imgsvc.identity.users.accounts import Accounts, User
from imgsvc.identity.users.addresses import ClientAddresses
from imgsvc.identity.users.basic import CHALLENGE, read_credentials
from imgsvc.identity.users.checker import PasswordChecker
from imgsvc.identity.users.file import UserFile
from imgsvc.identity.users.tokens import find_token
from imgsvc.interfaces import IIdentity, RequestHead
from imgsvc.logger import make_logger
from imgsvc.model import Caller

__all__ = ["Users", "decoy"]

log = make_logger()

IMPLIED: Final = {"admin": ("admin", "member", "reader"), "member": ("member", "reader")}
"""The roles that come with a role, as in Keystone."""

NO_USER: Final = "$2b$12$" + "." * 53
"""A hash that no password is known for."""


@implementer(IIdentity)
@frozen
class Users:
    """Accepts user and password by HTTP Basic, and the tokens of users in `X-Auth-Token`.

    pages: the pages that may use the server. It is not asked about a token, which no browser sends by itself.
    keep: seconds for which a right password is kept. now: returns the time, in seconds since 1970.
    """

    file: UserFile
    checker: PasswordChecker
    pages: PageGuard
    addresses: ClientAddresses
    keep: float
    now: Callable[[], float]

    challenge = CHALLENGE

    def identify(self, head: RequestHead) -> Caller | Deferred[Caller]:
        """See IIdentity. The caller has the user's first project, unless `X-Project-Id` names another one of the user.

        Raises, or fails with: Unauthenticated, TooManyAttempts; Forbidden: a page of another origin, or a project of
        others.
        """
        headers, peer = head.headers, head.peer
        token = _one(headers, b"x-auth-token") or _one(headers, b"x-storage-token")
        if token:
            return self._of_token(token, _one(headers, b"x-project-id"))
        self.pages.check(headers, peer)
        credentials = read_credentials(headers)
        project = _one(headers, b"x-project-id")
        accounts = self.file.accounts
        name, password = credentials.name, credentials.password
        user = accounts.users.get(name)
        hashed = decoy(accounts, name) if user is None else user.password
        if user is not None and self.checker.is_kept(name, password, hashed, self.keep):
            return _caller(user, project)
        address = self.addresses.of(headers, peer)
        checked = self.checker.check(name, password, hashed, user is not None, address)

        def answer(is_right: bool) -> Caller:
            if is_right and user is not None:
                return _caller(user, project)
            log.info(
                "wrong password for {user} from {address}",
                user="an unknown user" if user is None else user.name,  # a password may stand in the place of the name
                address=address or "this machine or a proxy",
            )
            raise Unauthenticated("The user or the password is wrong.")

        return checked.addCallback(answer)

    def _of_token(self, text: str, project: str | None) -> Caller:
        found = find_token(self.file.accounts, text, self.now())
        if found is None:
            raise Unauthenticated("The token is not valid here, or has expired, or was removed.")
        user, token = found
        if token.project_id not in user.projects:
            raise Unauthenticated("The user of the token has no role in its project any more.")
        if project not in (None, token.project_id):
            raise Forbidden(f"The token is for project {token.project_id!r}, not for {project!r}.")
        return _caller(user, token.project_id)


def _caller(user: User, project: str | None) -> Caller:
    """The caller for a user and one of the user's projects. Raises Forbidden."""
    if project is None:
        project = next(iter(user.projects), None)
    elif project not in user.projects:
        raise Forbidden(f"The user {user.name!r} has no role in the project {project!r}.")
    held = user.projects.get(project, ()) if project is not None else ()
    roles = frozenset(role for each in held for role in IMPLIED.get(each, (each,)))
    return Caller(user_id=user.name, project_id=project, roles=roles)


def decoy(accounts: Accounts, name: str) -> str:
    """The hash that is checked for an unknown user, always the same for one name. It costs what those of users cost."""
    hashes = [user.password for user in accounts.users.values()] or [NO_USER]
    number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())
    return hashes[number % len(hashes)]


def _one(headers: Headers, name: bytes) -> str | None:
    """The value of a header; None: it is absent or empty. Raises Unauthenticated: it is there twice, or not UTF-8."""
    values = headers.getRawHeaders(name) or [b""]
    try:
        if len(values) == 1:
            return values[0].strip().decode("utf-8") or None
    except UnicodeDecodeError:
        pass
    raise Unauthenticated(f"The header {name.decode()} must be given once, in UTF-8.")
