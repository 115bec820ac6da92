"""`imgsvc-admin store verify` beside a running daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tests.daemon.rig import LONG_LEASE, DaemonTestCase, Transfer, files
from tests.support.daemon import Daemon

DATA = os.urandom(1 << 16)


class VerifyTests(DaemonTestCase):
    """The findings about a folder that a daemon uses."""

    def setUp(self) -> None:
        super().setUp()
        self.running = self.daemon(LONG_LEASE)
        self.images = self.running.data / "images"

    def active(self) -> str:
        """The id of an image with data."""
        image_id = self.running.image()
        self.assertEqual(self.running.put(image_id, DATA), 204)
        return image_id

    def begin(self, *options: str) -> subprocess.Popen[str]:
        """The running command."""
        daemon: Daemon = self.running
        running = subprocess.Popen(
            [
                *(sys.executable, "-c", "from imgsvc.admin.command import main; main()"),
                *("--config", str(daemon.config), "--data", str(daemon.data)),
                *("store", "verify", "--json", *options),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        return running

    def verify(self, *options: str, meanwhile: Callable[[subprocess.Popen[str]], object] = lambda running: None) -> Any:
        """The problem of each name, and the exit status."""
        running = self.begin(*options)
        meanwhile(running)
        output, _ = running.communicate(timeout=120)
        lines = [json.loads(line) for line in output.splitlines()]
        self.assertIn("summary", lines[-1])
        return {line["name"]: line["problem"] for line in lines[:-1]}, running.returncode

    def test_damage(self) -> None:
        """Damage to the folder is found, and nothing else. The daemon gives the undamaged data."""
        well, missing, short, flipped = (self.active() for _ in range(4))
        (self.images / missing).unlink()
        os.truncate(self.images / short, 1000)
        with open(self.images / flipped, "r+b") as file:
            file.write(bytes([DATA[0] ^ 1]))
        (self.images / "left").write_bytes(DATA)
        expected = {missing: "missing", short: "wrong-size", "left": "left-over"}
        self.assertEqual(self.verify(), (expected, 1))
        expected[flipped] = "wrong-digest"
        self.assertEqual(self.verify("--digests", "--repair", "--older-than", "0"), (expected, 1))
        del expected["left"]
        self.assertEqual(self.verify("--digests"), (expected, 1))
        self.assertEqual(self.running.get(well), DATA)
        for image_id in (missing, short, flipped):
            self.assertEqual(self.running.show(image_id)["status"], "active")
            self.assertEqual(self.running.request("DELETE", f"/v2/images/{image_id}")[0], 204)
        self.assertEqual(self.verify("--digests"), ({}, 0))

    def test_under_way(self) -> None:
        """Uploads and deletions that begin, run or end meanwhile are not reported, nor harmed by a repair."""
        going, kept = self.active(), self.active()
        slow, coming = self.running.image(), self.running.image()
        upload = Transfer(self.running, slow, len(DATA)).send(DATA[:100])
        self.part(slow, self.images)
        (self.images / "left").write_bytes(DATA)  # so that the verification takes a while

        def work(running: subprocess.Popen[str]) -> None:
            self.assertEqual(self.running.put(coming, DATA), 204)
            self.assertEqual(self.running.request("DELETE", f"/v2/images/{going}")[0], 204)
            while running.poll() is None:
                passing = self.active()
                self.assertEqual(self.running.request("DELETE", f"/v2/images/{passing}")[0], 204)

        self.assertEqual(self.verify("--digests", "--repair", meanwhile=work), ({"left": "left-over"}, 1))
        self.assertEqual(upload.send(DATA[100:]).status(), 204)
        for image_id in (kept, slow, coming):
            self.assertEqual(self.running.get(image_id), DATA)
        self.assert_no_traceback(self.running)

    def test_upload_of_a_dead_daemon(self) -> None:
        """An upload is not a finding while it is claimed, even if its daemon has died."""
        saving = self.running.image()
        upload = Transfer(self.running, saving, len(DATA)).send(DATA[:100])
        part = self.part(saving, self.images)
        self.running.kill()
        self.assertEqual(upload.status(), 0)
        self.assertEqual(self.verify("--repair"), ({}, 0))
        self.assertEqual(files(self.images), {part.name})
