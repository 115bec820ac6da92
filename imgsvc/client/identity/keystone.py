"""Gets tokens from Keystone (Identity API v3, "Authentication and token management").

With passwords in it, a request is sent to the host of the URL only: redirects are not followed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from attrs import field, frozen
from twisted.web.iweb import IResponse

from imgsvc.client.answers import header, printable
from imgsvc.client.errors import BadResponse, LoginRefused, LoginUnusable, TransferInterrupted, Unreachable
from imgsvc.client.identity.login import (
    DEFAULT_DOMAIN,
    ApplicationCredential,
    Credentials,
    Domain,
    KeystoneToken,
    Login,
    Password,
    Scope,
    User,
)
from imgsvc.client.transport import Service, Transport

KEYSTONE: Final = "Keystone"
ANSWER_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of an answer that are read. The catalogue of a large cloud has some hundred thousand."""
TRY_LATER: Final = 429
TOKENS: Final = "/auth/tokens"

Document = dict[str, object]


@frozen
class KeystoneAnswer:
    """A new token. life: seconds from its issue to its expiry. catalogue: the services, as Keystone lists them."""

    token: str = field(repr=False)
    life: float
    catalogue: tuple[Mapping[str, object], ...]


class Keystone:
    """One Keystone, and what a client logs in with.

    transport: makes the requests. login: a Login with an auth_url, with or without `/v3`.
    """

    def __init__(self, transport: Transport, login: Login) -> None:
        root = re.sub(r"/v[23](\.\d+)?$", "", (login.auth_url or "").rstrip("/"))
        self.url = f"{root}/v3"
        self._service = Service(KEYSTONE, self.url)
        self._transport = transport
        self._who = describe(login.credentials)
        self._body = json.dumps(request_document(login.credentials, login.scope)).encode()

    async def new_token(self) -> KeystoneAnswer:
        """Log in. Raises LoginRefused, Unreachable, BadResponse."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        try:
            response = await self._transport.request(self._service, "POST", TOKENS, headers=headers, data=self._body)
            if response.code != 201:
                raise await self._failure(response)
            content = await self._transport.content(response, ANSWER_LIMIT)
        except BadResponse:
            raise
        except TransferInterrupted as problem:
            raise Unreachable(self.url, str(problem), KEYSTONE) from problem
        return read_answer(self.url, header(response, "x-subject-token"), content)

    async def _failure(self, response: IResponse) -> LoginRefused | Unreachable | BadResponse:
        refusal = await self._transport.refusal(response)
        if 300 <= response.code < 400:
            place = printable(header(response, "location") or "another place")
            return BadResponse(f"The server at {self.url} sends logins on to {place}: use the URL of that one.")
        if response.code == 404:
            return BadResponse(f"There is no Keystone at {self.url}: it answers 404 to POST {TOKENS}.")
        if 400 <= response.code < 500 and response.code != TRY_LATER:
            return LoginRefused(self.url, self._who, response.code, refusal.message)
        if response.code < 400:
            return BadResponse(f"What listens at {self.url} is not Keystone: it answers {response.code} to a login.")
        return Unreachable(self.url, str(refusal), KEYSTONE)


def describe(credentials: Credentials) -> str:
    """Name the one who logs in, for messages; without a secret."""
    match credentials:
        case Password(user):
            return _user_words(user)
        case ApplicationCredential(_, None, name, user):
            return f"the application credential {name!r} of {_user_words(user or User())}"
        case ApplicationCredential(_, credential_id):
            return f"the application credential {credential_id}"
    return "with the given token"


def _user_words(user: User) -> str:
    return f"the user {user.id}" if user.id is not None else f"the user {user.name!r}"


def request_document(credentials: Credentials, scope: Scope) -> Document:
    """Make the body of a login. Raises LoginUnusable: Keystone has nothing to do with these credentials."""
    match credentials:
        case Password(user, password):
            identity = _identity("password", {"user": {**_user(user), "password": password}})
        case ApplicationCredential(secret, credential_id, name, user):
            named = {"name": name, "user": _user(user or User())} if credential_id is None else {"id": credential_id}
            # The credential has a project of its own: Keystone refuses a scope.
            return {"auth": {"identity": _identity("application_credential", {**named, "secret": secret})}}
        case KeystoneToken(token):
            identity = _identity("token", {"id": token})
        case _:
            raise LoginUnusable("These credentials are not for Keystone.")
    wanted = _scope(scope)
    return {"auth": {"identity": identity, **({} if wanted is None else {"scope": wanted})}}


def _identity(method: str, values: Document) -> Document:
    return {"methods": [method], method: values}


def _user(user: User) -> Document:
    return {"id": user.id} if user.id is not None else {"name": user.name, "domain": _domain(user.domain)}


def _domain(domain: Domain) -> Document:
    if domain.id is None and domain.name is not None:
        return {"name": domain.name}
    return {"id": domain.id or DEFAULT_DOMAIN}


def _scope(scope: Scope) -> Document | None:
    if scope.trust_id is not None:
        return {"OS-TRUST:trust": {"id": scope.trust_id}}
    if scope.project_id is not None:
        return {"project": {"id": scope.project_id}}
    if scope.project_name is not None:
        return {"project": {"name": scope.project_name, "domain": _domain(scope.project_domain)}}
    if scope.domain is not None:
        return {"domain": _domain(scope.domain)}
    return {"system": {"all": True}} if scope.system else None


def read_answer(url: str, token: str | None, content: bytes) -> KeystoneAnswer:
    """Read the answer to a login. token: the header X-Subject-Token. Raises BadResponse: Keystone does not say that."""
    try:
        document = json.loads(content)["token"]
        # Keystone's own times are compared with each other, so the clock of this machine may be wrong.
        life = (_time(document["expires_at"]) - _time(document["issued_at"])).total_seconds()
        catalogue = document.get("catalog", [])
        if not token or not token.isascii() or not token.isprintable() or not isinstance(catalogue, list):
            raise ValueError("no token")
        return KeystoneAnswer(token, life, tuple(each for each in catalogue if isinstance(each, dict)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # The problem itself could have the token in its text.
        raise BadResponse(f"What listens at {url} is not Keystone: its answer to a login is no token.") from None


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
