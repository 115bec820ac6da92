"""The log has the id and the trace of a request in each line about it."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any, ClassVar

from twisted.logger import globalLogPublisher

from imgsvc.errors import StoreUnavailable
from imgsvc.log import LogOutput, make_observer
from tests.web.rigs import ONE_STORE, ApiTestCase

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACE = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


class LogTests(ApiTestCase):
    """The log while requests are handled."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE}

    def setUp(self) -> None:
        super().setUp()
        self.stream = StringIO()
        observer = make_observer(LogOutput("json", self.stream))
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def entries(self, namespace: str) -> list[dict[str, Any]]:
        """The log entries of a module and of those below it."""
        entries = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [entry for entry in entries if entry["namespace"].startswith(namespace)]

    def put(self, **headers: str) -> None:
        """Send an upload whose store fails."""
        image_id = self.server.image()["id"]
        self.server.store().fail("write", StoreUnavailable("local", "does not answer."))
        given = {"Content-Type": "application/octet-stream", **headers}
        answer = self.server.request("PUT", f"/v2/images/{image_id}/file", given, b"data")
        self.assertEqual(answer.status, 503)
        self.server.store().heal()

    def test_operations(self) -> None:
        """Log entries of operations have the request's id and trace."""
        self.put(**{"X-Openstack-Request-Id": "req-mine", "traceparent": TRACE})
        for namespace in ("imgsvc.operations.uploads", "imgsvc.web.access_log"):
            entry = self.entries(namespace)[-1]
            self.assertEqual((entry["request_id"], entry["trace_id"]), ("req-mine", TRACE_ID), namespace)

    def test_late(self) -> None:
        """So have entries that are written later, by a timer or the connection."""
        image_id = self.server.image()["id"]
        connection = self.begin_put(image_id, 10, b"half.", "X-Openstack-Request-Id: req-cut")
        connection.lose()
        [failed] = self.entries("imgsvc.operations.uploads")
        self.assertEqual(failed["request_id"], "req-cut")

    def test_not_valid(self) -> None:
        """An invalid trace is ignored, and the request goes on."""
        for value in ("", "00", TRACE.upper(), TRACE.replace(TRACE_ID, "0" * 32), f"ff{TRACE[2:]}", f"{TRACE}-more"):
            self.stream.truncate(0)
            self.stream.seek(0)
            self.put(traceparent=value)
            [failed] = self.entries("imgsvc.operations.uploads")
            self.assertNotIn("trace_id", failed)
