"""No identity: everybody who can reach the server is an administrator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from zope.interface import implementer

from imgsvc.identity.pages import PageGuard
from imgsvc.interfaces import IIdentity, RequestHead
from imgsvc.model import Caller

LOCAL_ADMINISTRATOR: Final = Caller(user_id="local", project_id=None, roles=frozenset({"admin", "member", "reader"}))


@implementer(IIdentity)
class LocalAdministrator:
    """Gives every caller all roles and no project. Images have no owner then, as in Glance without Keystone.

    Web pages are the exception, because a browser sends their requests to this machine too.
    """

    challenge = None

    def __init__(self, origins: Iterable[str] = (), names: Iterable[str] = ()) -> None:
        """origins: the origins whose pages may use the server. names: its host names. See PageGuard."""
        self._pages = PageGuard(origins, names)

    def identify(self, head: RequestHead) -> Caller:
        """The same Caller for everybody. Raises Forbidden: the host name or the origin is not allowed."""
        self._pages.check(head.headers, head.peer)
        return LOCAL_ADMINISTRATOR
