"""A small Identity API v3 over loopback: it gives tokens to clients that log in, and fails as it is told.

It runs in threads of its own, so it is independent of the reactor under test.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import define, field

REFUSED = {"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made needs a login."}}


@define
class Reply:
    """An answer that a test chooses.

    cut: the connection ends in its place. silent: nothing comes until the end. half: nothing comes after half of the
    body.
    """

    status: int = 201
    body: bytes = b""
    headers: dict[str, str] = field(factory=dict)
    cut: bool = False
    silent: bool = False
    half: bool = False


class IdentityService(ThreadingHTTPServer):
    """Serves at `url` between start and stop.

    users: passwords by user name. credentials: secrets by the id of an application credential. asked: the bodies of
    all logins so far, and `paths` where they were sent to. replies: what the next logins are answered with. life:
    seconds of a token. catalogue: the services of each token. good: the tokens that are good now. given: all tokens so
    far.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.users = {"alice": "alice's secret"}
        self.credentials = {"c0ffee": "a long secret"}
        self.asked: list[Any] = []
        self.paths: list[str] = []
        self.replies: list[Reply] = []
        self.life = 3600.0
        self.catalogue: list[Any] = []
        self.good: set[str] = set()
        self.given: list[str] = []
        self.stopping = threading.Event()
        self.silent = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def stop(self) -> None:
        """End it. May be called several times."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that go away, because tests do that."""

    def offer(self, url: str, interface: str = "public", region: str = "RegionOne", kind: str = "image") -> None:
        """Add an endpoint to the catalogue."""
        endpoint = {"id": uuid.uuid4().hex, "interface": interface, "region": region, "region_id": region, "url": url}
        self.catalogue.append({"type": kind, "name": "glance", "endpoints": [endpoint]})

    def accepts(self, headers: Mapping[str, str]) -> bool:
        """Whether a request with these headers, which have lower-case names, has a good token."""
        return headers.get("x-auth-token") in self.good

    def is_right(self, identity: Any) -> bool:
        """Whether the secret of a login is the right one."""
        match identity:
            case {"methods": ["password"], "password": {"user": {"name": name, "password": secret}}}:
                return self.users.get(name) == secret
            case {"methods": ["application_credential"], "application_credential": {"id": name, "secret": secret}}:
                return self.credentials.get(name) == secret
            case {"methods": ["token"], "token": {"id": token}}:
                return token in self.good
        return False

    def document(self) -> dict[str, Any]:
        """The body of the answer to a good login."""
        now = datetime.now(UTC)
        times = {"issued_at": now, "expires_at": now + timedelta(seconds=self.life)}
        shown = {name: moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for name, moment in times.items()}
        return {"token": {**shown, "methods": ["password"], "catalog": self.catalogue}}


class _Handler(BaseHTTPRequestHandler):
    server: IdentityService
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        self.server.paths.append(self.path)
        if self.server.replies:
            return self._reply(self.server.replies.pop(0))
        if self.path != "/v3/auth/tokens":
            return self._reply(Reply(404, b"{}"))
        if not self.server.is_right(asked["auth"]["identity"]):
            return self._reply(Reply(401, json.dumps(REFUSED).encode()))
        token = uuid.uuid4().hex
        self.server.good.add(token)
        self.server.given.append(token)
        self._reply(Reply(201, json.dumps(self.server.document()).encode(), {"X-Subject-Token": token}))

    def _reply(self, reply: Reply) -> None:
        if reply.silent:
            self.server.silent.set()
            self.server.stopping.wait()
        if reply.cut or reply.silent:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if reply.half:
            self.wfile.write(reply.body[: len(reply.body) // 2])
            self.server.silent.set()
            self.server.stopping.wait()
            self.close_connection = True
            return
        self.wfile.write(reply.body)
