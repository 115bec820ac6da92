"""Tests of what `imgsvc-admin check` says of Keystone. It runs in a process of its own, and Keystone in this one."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from tests.support.json_website import document
from tests.support.keystone import PASSWORD, FakeKeystone

ADMIN = "from imgsvc.entry import admin; admin()"
TOML = """
[identity]
mode = "keystone"
[identity.keystone]
auth_url = "{url}"
username = "imgsvc"
password = "{password}"
timeout = 5
"""


class CheckKeystoneTests(TestCase):
    """The command logs in, and checks its own token."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.keystone = FakeKeystone(time.time)
        self.url = self.keystone.auth_url
        self.addCleanup(self.keystone.close)

    async def check(self, password: str = PASSWORD) -> tuple[int, str]:
        """The exit status, and the line about Keystone."""
        config = self.folder / "imgsvc.toml"
        config.write_text(TOML.format(url=self.url, password=password), encoding="utf-8")
        output, errors, status = await getProcessOutputAndValue(
            sys.executable,
            ["-c", ADMIN, "--config", str(config), "--data", str(self.folder / "data"), "check"],
            env={"PYTHONPATH": ":".join(sys.path), "HOME": str(self.folder)},
        )
        self.assertNotIn(password.encode(), output + errors)
        lines = output.decode().splitlines()
        [line] = [line for line in lines if line.startswith("keystone: ")]
        return status, line

    async def test_good(self) -> None:
        """It works."""
        self.keystone.tokens = self.keystone.own  # Keystone knows its own tokens, too
        self.assertEqual(
            await self.check(), (0, f"keystone: ok: {self.url} accepts the account, and lets it check tokens")
        )
        self.assertEqual((len(self.keystone.logins), len(self.keystone.checks)), (1, 1))

    async def test_refused(self) -> None:
        """The password is wrong."""
        self.assertEqual(
            await self.check("another"),
            (1, "keystone: NOT OK: Keystone does not accept the credentials of this server."),
        )

    async def test_away(self) -> None:
        """Nobody listens there, or it answers nonsense."""
        self.keystone.fault = document([], 201)
        status, line = await self.check()
        self.assertEqual((status, line.startswith("keystone: NOT OK: ")), (1, True), line)
        await self.keystone.close()
        status, line = await self.check()
        self.assertEqual((status, "cannot be reached" in line), (1, True), line)
