"""One line in the log for each request."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.logger import globalLogPublisher

from tests.web.rigs import BEHIND_PROXY, MEMBER, ONE_STORE, ApiTestCase


class AccessLogTests(ApiTestCase):
    """What the line says."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "identity": BEHIND_PROXY}

    def setUp(self) -> None:
        super().setUp()
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def lines(self) -> list[dict[str, Any]]:
        """The events of the access log."""
        return [event for event in self.events if event.get("log_namespace") == "imgsvc.web.access_log"]

    def test_known(self) -> None:
        """Who asked for what, what it was answered, and how many bytes were sent."""
        answer = self.server.request("GET", "/v2/images?limit=1", {**MEMBER, "X-OpenStack-Request-ID": "abc"})
        (line,) = self.lines()
        self.assertEqual(
            {key: line[key] for key in ("client", "user", "method", "uri", "code", "sent", "request_id")},
            {
                **{"client": "192.168.1.1", "user": "user of blue", "method": "GET", "uri": "/v2/images?limit=1"},
                **{"code": 200, "sent": len(answer.body), "request_id": "req-abc"},
            },
        )

    def test_unknown(self) -> None:
        """A request without identity, or outside of the API, has no user."""
        self.server.request("GET", "/v2/images")
        self.server.request("GET", "/versions")
        self.assertEqual([(line["code"], line["user"]) for line in self.lines()], [(401, None), (200, None)])


class SilentTests(AccessLogTests):
    """`access_log = false`"""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "server": {"access_log": False}}

    def test_known(self) -> None:
        """No line."""
        self.server.request("GET", "/v2/images")
        self.assertEqual(self.lines(), [])

    test_unknown = test_known
