"""The audit and the webhook of the real daemon."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

from tests.daemon.rig import DaemonTestCase, twistd
from tests.support.waiting import children

AUDIT = '[audit]\noutput = "file"\n'


def records(path: Path) -> list[dict[str, Any]]:
    """The records of a file of the audit."""
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


class AuditTests(DaemonTestCase):
    """The file of the audit."""

    def test_rotation(self) -> None:
        """All workers write to one file. It is moved away, and after SIGHUP there is a new one. No record is lost."""
        daemon = self.daemon(f"server.workers = 2\n{AUDIT}")
        self.wait(lambda: len(children(daemon.pid)) == 2, "both workers")
        path = daemon.data / "audit.log"
        moved = daemon.data / "audit.log.1"
        before = {daemon.image() for _ in range(10)}
        self.wait(lambda: len(records(path)) >= 10, "the records")
        path.rename(moved)
        start = len(daemon.log())
        daemon.signal(signal.SIGHUP)
        self.wait_for_log(daemon, "reloaded", start)
        after = {daemon.image() for _ in range(10)}
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual({record["image"] for record in records(moved)}, before)
        self.assertEqual({record["image"] for record in records(path)}, after)
        self.assert_no_traceback(daemon)

    def test_cannot_be_written(self) -> None:
        """The daemon does not start if the file cannot be written, and says why."""
        self.folder.joinpath("imgsvc.toml").write_text('[audit]\noutput = "file"\nfile = "none/audit.log"\n')
        arguments = ("--listen", "tcp:0:interface=127.0.0.1", "--data", str(self.folder / "data"))
        status, output = twistd(self.folder, "--config", str(self.folder / "imgsvc.toml"), *arguments)
        self.assertEqual(status, 1)
        self.assertIn("audit.file", output)
        self.assertIn("No such file or directory", output)


class WebhookTests(DaemonTestCase):
    """A daemon whose receiver accepts connections and never answers."""

    def test_hangs(self) -> None:
        """Requests are answered, and the daemon stops."""
        with socket.create_server(("127.0.0.1", 0)) as receiver:
            url = f"http://127.0.0.1:{receiver.getsockname()[1]}/hook"
            daemon = self.daemon(
                f'[notifications]\ndrivers = ["webhook"]\n[notifications.webhook]\nurl = "{url}"\nqueue = "64 KiB"\n'
            )
            for _ in range(60):
                daemon.image()
            connection, _ = receiver.accept()
            with connection:
                self.assertIn(b"POST /hook HTTP/1.1", connection.recv(1 << 16))
                self.assertEqual(daemon.stop(), 0)
        self.assertIn("notifications for the webhook are lost", daemon.log())
        self.assertIn("60 since the start", daemon.log())
        self.assert_no_traceback(daemon)
