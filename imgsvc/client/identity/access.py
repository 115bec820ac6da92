"""Makes the Access of a client."""

from __future__ import annotations

import base64

from imgsvc.client.errors import LoginUnusable
from imgsvc.client.identity.grants import Access, FixedAccess
from imgsvc.client.identity.keystone import Keystone
from imgsvc.client.identity.login import Basic, Login, Nobody, Token
from imgsvc.client.identity.tokens import KeystoneAccess
from imgsvc.client.transport import Transport


def make_access(login: Login, transport: Transport) -> Access:
    """Make an Access for a Login. transport: reaches Keystone. Raises LoginUnusable: there is no URL."""
    match login.credentials:
        case Nobody():
            headers = {}
        case Token(token):
            headers = {"X-Auth-Token": token}
        case Basic(user, password):
            pair = f"{user}:{password}".encode()
            headers = {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}
        case _:
            if login.auth_url is None:
                raise LoginUnusable("The URL of Keystone is missing.")
            return KeystoneAccess(Keystone(transport, login), login, transport.clock)
    if login.endpoint is None:
        raise LoginUnusable("The URL of the Image API is missing. Only Keystone can tell it to a client.")
    return FixedAccess(login.endpoint, headers)
