"""What a server sees of Keystone's API, on a real port, without Keystone. A test chooses how it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from attrs import define, field
from twisted.web.server import NOT_DONE_YET, Request

from tests.support.json_website import Asked, Behaviour, JsonWebsite

PASSWORD = "own-pässword"
OPTIONS = {"username": "imgsvc", "password": PASSWORD, "project_name": "service"}


@define
class FakeToken:
    """A token that Keystone has given. scope: members of its description that say what it is for."""

    expires_at: float
    user: str = "user"
    project: str | None = "project"
    roles: tuple[str, ...] = ("member", "reader")
    more: dict[str, Any] = field(factory=dict)

    def document(self) -> dict[str, Any]:
        """The description, as Keystone gives it."""
        domain = {"id": "default", "name": "Default"}
        moment = datetime.fromtimestamp(self.expires_at, UTC)
        token = {
            "methods": ["password"],
            "user": {"domain": domain, "id": self.user, "name": self.user, "password_expires_at": None},
            "audit_ids": ["DaGbGVZGQ2yVLBh2ECFaLA"],
            "expires_at": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "issued_at": "2026-11-24T07:30:03.000000Z",
        }
        if self.project is not None:
            token["project"] = {"domain": domain, "id": self.project, "name": self.project}
            token["is_domain"] = False
        if self.roles:
            token["roles"] = [{"id": f"id of {role}", "name": role} for role in self.roles]
        return {"token": {**token, **self.more}}


class FakeKeystone(JsonWebsite):
    """Gives tokens to the account of the server, and says what it knows of tokens.

    now: the time in seconds since 1970. tokens: those of others, by their text. own: those that it has given to the
    server. prefixes: paths above `/v3`. life: seconds for which these are valid. window: seconds after its end for
    which a token is known, if expired ones are asked for. fault: answers in the place of the API; None: it works.
    catalogue: of its tokens.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(self._api)
        self.now = now
        self.tokens: dict[str, FakeToken] = {}
        self.own: dict[str, FakeToken] = {}
        self.life = 3600.0
        self.window = 172_800.0
        self.fault: Behaviour | None = None
        self.accounts: list[Any] = []
        self.password = PASSWORD
        self.catalogue: list[Any] = []
        self.prefixes = [""]
        self._given = 0

    @property
    def auth_url(self) -> str:
        """The value of the option."""
        return f"{self.url}/v3"

    @property
    def checks(self) -> list[Asked]:
        """The requests about tokens so far."""
        return [asked for asked in self.asked if asked.method == "GET"]

    @property
    def logins(self) -> list[Asked]:
        """The requests for tokens so far."""
        return [asked for asked in self.asked if asked.method == "POST"]

    def change_keys(self) -> None:
        """Begin again with other keys: nobody knows the tokens of before."""
        self.tokens.clear()
        self.own.clear()

    def _api(self, request: Request) -> bytes | int:
        if self.fault is not None:
            return self.fault(request)
        if request.path.decode() not in {f"{prefix}/v3/auth/tokens" for prefix in self.prefixes}:
            return _answer(request, 405, {"error": {"code": 405}})
        return self._login(request) if request.method == b"POST" else self.check(request)

    def _login(self, request: Request) -> bytes:
        content: Any = request.content
        content.seek(0)
        auth = json.loads(content.read())["auth"]
        self.accounts.append(auth)
        identity = auth["identity"]
        [method] = identity["methods"]
        secret = identity[method]["user"]["password"] if method == "password" else identity[method]["secret"]
        if secret != self.password:
            return _answer(request, 401, {"error": {"code": 401, "title": "Unauthorized"}})
        self._given += 1
        text = f"own-token-{self._given}"
        self.own[text] = token = FakeToken(self.now() + self.life, "imgsvc", "service", ("service",))
        if b"nocatalog" not in request.args:
            token.more["catalog"] = self.catalogue
        request.setHeader("X-Subject-Token", text)
        return _answer(request, 201, token.document())

    def check(self, request: Request) -> bytes:
        """The answer of the API to a question about a token."""
        own = self.own.get(request.getHeader("x-auth-token") or "")
        if own is None or own.expires_at <= self.now():
            return _answer(request, 401, {"error": {"code": 401, "title": "Unauthorized"}})
        found = self.tokens.get(request.getHeader("x-subject-token") or "")
        allowed = self.window if request.args.get(b"allow_expired") == [b"1"] else 0.0
        if found is None or found.expires_at + allowed <= self.now():
            return _answer(request, 404, {"error": {"code": 404, "title": "Not Found"}})
        if "application_credential" in found.more and not request.getHeader("openstack-identity-access-rules"):
            return _answer(request, 404, {"error": {"code": 404, "title": "Not Found"}})
        return _answer(request, 200, found.document())


def _answer(request: Request, status: int, document: Any) -> bytes:
    request.setResponseCode(status)
    request.setHeader("Content-Type", "application/json")
    return json.dumps(document).encode()


def byte_by_byte(clock: Any, seconds: float) -> Behaviour:
    """Answers so slowly that one byte comes in this time. clock: of the server."""

    def answer(request: Request) -> int:
        calls: list[Any] = []

        def send() -> None:
            request.write(b" ")
            calls[:] = [clock.callLater(seconds, send)]

        request.notifyFinish().addBoth(lambda _: calls[0].cancel())
        send()
        return NOT_DONE_YET

    return answer
