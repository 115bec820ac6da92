"""Helpers for the tests of metadata definitions."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from tests.support.server import Answer
from tests.web.rigs import ADMIN, BEHIND_PROXY, ONE_STORE, ApiTestCase, identity

ROOT = "/v2/metadefs/namespaces"
BLUE_ADMIN = identity("blue", "admin", "member", "reader")
"""An administrator whose namespaces belong to the project of MEMBER and READER."""
MISSING: dict[str, Any] = {}


def path(*names: str) -> str:
    """A path below the list of namespaces; each name becomes one segment."""
    return "/".join((ROOT, *(quote(name, safe="") for name in names)))


class MetadefTestCase(ApiTestCase):
    """Sends requests of several callers. Without headers, the caller is ADMIN."""

    tables = {"stores": ONE_STORE, "identity": BEHIND_PROXY, "api": {"limit_default": 3, "limit_max": 5}}

    def send(
        self, method: str, target: str, document: Any = None, headers: dict[str, str] = ADMIN, **more: str
    ) -> Answer:
        """Send a request, with a JSON body if there is one."""
        body = None if document is None else json.dumps(document).encode()
        return self.server.request(method, target, {**headers, **more}, body)

    def made(self, name: str, headers: dict[str, str] = ADMIN, **fields: Any) -> Any:
        """A new namespace, as the response shows it."""
        answer = self.send("POST", ROOT, {"namespace": name, **fields}, headers)
        self.assertEqual(answer.status, 201, answer.body)
        return answer.json

    def shown(self, *names: str, headers: dict[str, str] = ADMIN, query: str = "") -> Any:
        """The document at a path."""
        answer = self.send("GET", path(*names) + query, headers=headers)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json

    def assert_status(self, status: int, answer: Answer, text: str = "") -> None:
        """The response has this status, and its body says why."""
        self.assertEqual(answer.status, status, answer.body)
        self.assertIn(text, answer.body.decode())

    def assert_unchanged(self, status: int, method: str, target: str, *arguments: Any, **more: Any) -> None:
        """The request is refused with this status, and nothing has changed."""
        before = self.everything()
        self.assert_status(status, self.send(method, target, *arguments, **more))
        self.assertEqual(self.everything(), before)

    def everything(self) -> dict[str, Any]:
        """All namespaces with everything in them, as an administrator sees them."""
        names: list[str] = []
        target = f"{ROOT}?limit=5&sort_key=namespace&sort_dir=asc"
        while target:
            page = self.send("GET", target).json
            names += [each["namespace"] for each in page["namespaces"]]
            target = page.get("next", "")
        return {name: self.shown(name) for name in names}
