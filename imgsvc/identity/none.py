"""No identity: whoever reaches the server is its administrator."""

from __future__ import annotations

from twisted.internet.interfaces import IAddress
from twisted.web.http_headers import Headers
from zope.interface import implementer

from imgsvc.interfaces import IIdentity
from imgsvc.model import Caller


@implementer(IIdentity)
class LocalAdministrator:
    """Every caller has every role and no project, so that images have no owner, as in Glance without Keystone."""

    challenge = None

    def __init__(self) -> None:
        self._caller = Caller(user_id="local", project_id=None, roles=frozenset({"admin", "member", "reader"}))

    def identify(self, headers: Headers, peer: IAddress) -> Caller:
        """The same Caller for everybody."""
        return self._caller
