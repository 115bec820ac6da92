"""Daemons that die, stop or lose the database's lock while they hash images on other servers."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from tests.daemon.rig import LONG_LEASE, DaemonTestCase, expire_leases
from tests.support.daemon import Daemon
from tests.support.website import RealSite

DATA = os.urandom(4 << 20)


class HashingTests(DaemonTestCase):
    """kill -9, SIGTERM and SIGSTOP during a hashing task."""

    def setUp(self) -> None:
        super().setUp()
        self.site = RealSite()
        self.addCleanup(self.site.stop)
        self.site.objects["/disk"] = DATA
        self.site.hold_at = 1 << 20
        self.toml = (
            f'{LONG_LEASE}[stores]\ndefault = "local"\n[stores.local]\nkind = "file"\n[stores.web]\n{self.site.store}'
        )

    def register(self, daemon: Daemon, value: str | None) -> str:
        """The id of an image whose data is being read. value: the SHA-256 that it must have."""
        image = daemon.image()
        data = {} if value is None else {"os_hash_algo": "sha256", "os_hash_value": value}
        body = json.dumps({"url": self.site.url("/disk"), "validation_data": data})
        reads = len(self.site.gets)
        self.assertEqual(daemon.request("POST", f"/v2/images/{image}/locations", body=body.encode())[0], 202)
        self.wait(lambda: len(self.site.gets) > reads, "a read of the site")
        return image

    def assert_hashed(self, daemon: Daemon, image_id: str, algorithm: str) -> None:
        def hashed() -> Any:
            shown = daemon.show(image_id)
            return shown["status"] == "active" and shown["checksum"] is not None and shown

        shown = self.wait(hashed, f"{image_id} hashed")
        self.assertEqual(
            (shown["checksum"], shown["os_hash_value"], shown["size"]),
            (hashlib.md5(DATA).hexdigest(), hashlib.new(algorithm, DATA).hexdigest(), len(DATA)),
        )
        self.assertNotIn("os_glance_import_task", shown)
        self.assertEqual(daemon.get(image_id), DATA)

    def begun(self, daemon: Daemon) -> tuple[str, str, str]:
        """Images with the right digest, a wrong one, and none, all being read."""
        right, wrong = (self.register(daemon, hashlib.sha256(data).hexdigest()) for data in (DATA, b"other"))
        plain = self.register(daemon, None)
        self.assertEqual(
            [daemon.show(image)["status"] for image in (right, wrong, plain)], ["importing", "importing", "active"]
        )
        return right, wrong, plain

    def assert_ended(self, daemon: Daemon, right: str, wrong: str, plain: str) -> None:
        self.assert_hashed(daemon, right, "sha256")
        self.assert_hashed(daemon, plain, "sha512")
        self.wait_for_status(daemon, wrong, "queued")
        shown = daemon.show(wrong)
        self.assertEqual({shown[name] for name in ("size", "checksum", "os_hash_algo", "os_hash_value")}, {None})
        self.assertEqual(daemon.put(wrong, b"mine"), 204)

    def test_killed(self) -> None:
        """The next daemon goes on. No image stays importing, and each is judged by all of its data."""
        daemon = self.daemon(self.toml)
        images = self.begun(daemon)
        daemon.kill()
        expire_leases(daemon)
        self.site.release()
        self.assert_ended(daemon.start(), *images)

    def test_stopped(self) -> None:
        """A daemon stops at once, with status 0, and leaves its tasks to the next one."""
        daemon = self.daemon(self.toml)
        images = self.begun(daemon)
        self.assertEqual(daemon.stop(), 0)
        self.assertNotIn("Unhandled", daemon.log())
        self.site.release()
        self.assert_ended(daemon.start(), *images)

    def test_another_process(self) -> None:
        """A daemon beside a dead one takes its tasks over."""
        first = self.daemon(self.toml)
        images = self.begun(first)
        second = self.daemon(self.toml, "second", data=first.data)
        first.kill()
        expire_leases(first)
        self.site.release()
        self.assert_ended(second, *images)
