"""The real daemon while the clock of its machine is set."""

from __future__ import annotations

import os
from pathlib import Path

from tests.daemon.rig import DaemonTestCase, Transfer

LIBRARY = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
"""Lets a process see another time (Debian: libfaketime)."""
HOURS = 3


class ClockTest(DaemonTestCase):
    """Running work goes on, whatever the clock says."""

    def test_set_forward(self) -> None:
        """No client is cut, and no upload counts as that of a dead process."""
        clock = self.folder / "clock"
        clock.write_text("+0")
        daemon = self.daemon(
            '[server]\nreaper_interval = "1 s"\nidle_timeout = "10 min"\nupload_lease = "10 min"\n',
            environment={
                "LD_PRELOAD": str(LIBRARY[0]),
                "FAKETIME_TIMESTAMP_FILE": str(clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
            },
        )
        data = os.urandom(3 << 20)
        image = daemon.image()
        upload = Transfer(daemon, image, len(data)).send(data[: 2 << 20])
        self.wait_for_status(daemon, image, "saving")
        before = daemon.show(image)["updated_at"]
        clock.write_text(f"+{HOURS}h")
        after = daemon.show(daemon.image())["created_at"]
        self.assertGreater(after, before, "the daemon sees the new time")
        for number in range(2):  # a round of the reaper removes objects without an upload: wait for two rounds
            leftover = daemon.data / "images" / f".leftover-{number}.000001-a.part"
            leftover.touch()
            self.wait(lambda path=leftover: not path.exists(), "a round of the reaper")
        self.assertEqual(upload.send(data[2 << 20 :]).status(), 204)
        self.assertEqual(daemon.show(image)["size"], len(data))
        self.assert_no_traceback(daemon)
