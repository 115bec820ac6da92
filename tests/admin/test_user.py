"""Tests of `imgsvc-admin user`."""

from __future__ import annotations

import os
import pty
import re
import stat
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.admin.command import imgsvc_admin
from imgsvc.identity.users import passwords
from imgsvc.identity.users.accounts import User
from imgsvc.identity.users.file import read_accounts
from imgsvc.identity.users.passwords import is_password

ROOT = Path(__file__).parent.parent.parent
SECRET = "correct horse"


class UserCommandTests(SynchronousTestCase):
    """Users, their passwords and tokens."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        config = self.mktemp()
        self.config = Path(config).absolute()
        self.config.write_text('[identity]\nmode = "users"\n')
        self.path = self.folder / "users.json"
        self.patch(passwords.hash_password, "__defaults__", (4,))

    def run_command(self, *arguments: str, text: str = "") -> tuple[int, str]:
        """Status and output. text: standard input."""
        options = ["--config", str(self.config), "--data", str(self.folder), "user"]
        result = CliRunner().invoke(imgsvc_admin, [*options, *arguments], input=text)
        self.assertNotIn(SECRET, result.output)
        return result.exit_code, result.output

    def add(self, name: str, *projects: str) -> None:
        """Add a user with the password SECRET."""
        options = [part for project in projects for part in ("--project", project)]
        self.assertEqual(self.run_command("add", name, *options, "--password-stdin", text=f"{SECRET}\n"), (0, ""))

    def user(self, name: str) -> User:
        """A user of the file."""
        return read_accounts(self.path).users[name]

    def test_add_and_list(self) -> None:
        """Users are listed with their projects, and without anything secret. The file is private."""
        self.add("alice", "blue=member", "ops=admin,service")
        self.add("bob", "red")
        self.assertEqual(self.run_command("list"), (0, "alice\tblue=member ops=admin,service\t0\nbob\tred=member\t0\n"))
        self.assertTrue(is_password(SECRET, self.user("alice").password))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(self.run_command("set", "bob", "--project", "blue=reader"), (0, ""))
        self.assertEqual(self.user("bob").projects, {"blue": ("reader",)})
        self.assertEqual(self.run_command("remove", "alice"), (0, ""))
        self.assertEqual(self.run_command("list"), (0, "bob\tblue=reader\t0\n"))

    def test_password(self) -> None:
        """A new password replaces the old one."""
        self.add("alice", "blue")
        self.assertEqual(self.run_command("passwd", "alice", "--password-stdin", text="another one\r\n"), (0, ""))
        self.assertTrue(is_password("another one", self.user("alice").password))

    def test_refused(self) -> None:
        """What is wrong is refused in one line, and changes nothing."""
        self.add("alice", "blue")
        before = self.path.read_bytes()
        for arguments, text, message in (
            (("add", "alice", "-p", "blue", "--password-stdin"), SECRET, "There is a user 'alice' already."),
            (("add", "a:b", "-p", "blue", "--password-stdin"), SECRET, "'a:b' cannot be the name of a user"),
            (("add", "bob", "-p", "", "--password-stdin"), SECRET, "'' cannot be the name of a project"),
            (("add", "bob", "-p", "blue", "--password-stdin"), "short", "The password is too short"),
            (("add", "bob", "-p", "blue", "--password-stdin"), "", "The password is too short"),
            (("add", "bob", "-p", "blue"), SECRET, "There is no terminal to ask for the password"),
            (("add", "bob", "--password-stdin"), SECRET, "Missing option '--project'"),
            (("add", "bob", "-p", "blue", "--password", SECRET), "", "No such option"),
            (("set", "bob", "-p", "blue"), "", "There is no user 'bob'."),
            (("passwd", "bob", "--password-stdin"), SECRET, "There is no user 'bob'."),
            (("remove", "bob"), "", "There is no user 'bob'."),
            (("token", "add", "bob"), "", "There is no user 'bob'."),
            (("token", "add", "alice", "-p", "red"), "", "has no role in the project 'red'"),
            (("token", "add", "alice", "--days", "0"), "", "is not in the range"),
            (("token", "add", "alice", "--note", "a\nb"), "", "--note must have"),
            (("token", "list", "bob"), "", "There is no user 'bob'."),
            (("token", "remove", "0"), "", "There is no token '0'."),
        ):
            status, output = self.run_command(*arguments, text=text)
            self.assertNotEqual(status, 0, arguments)
            self.assertIn(message, output)
            self.assertNotIn("Traceback", output)
        self.assertEqual(self.path.read_bytes(), before)

    def test_tokens(self) -> None:
        """A token is shown once, listed without its secret, and removed by its id."""
        self.add("alice", "blue", "red")
        status, output = self.run_command("token", "add", "alice", "--project", "red", "--days", "2", "--note", "CI")
        self.assertEqual(status, 0)
        self.assertRegex(output, r"^imgsvc_[0-9a-f]{16}_\S{43}\n$")
        self.assertNotIn(output.strip().split("_", 2)[2], self.path.read_text())
        token_id = output.split("_")[1]
        for names in ((), ("alice",)):
            status, listed = self.run_command("token", "list", *names)
            self.assertRegex(listed, rf"^{token_id}\talice\tred\t\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ\tCI\n$")
        self.assertEqual(self.run_command("token", "remove", token_id), (0, ""))
        self.assertEqual(self.run_command("token", "list"), (0, ""))

    def test_terminal(self) -> None:
        """At a terminal the password is asked for twice, and not shown."""
        main, other = pty.openpty()
        self.addCleanup(os.close, main)
        program = [sys.executable, "-c", "from imgsvc.admin.command import main; main()"]
        command = [
            *program,
            "--config",
            str(self.config),
            "--data",
            str(self.folder),
            "user",
            "add",
            "alice",
            "-p",
            "b",
        ]
        try:
            process = subprocess.Popen(
                command, env={"PYTHONPATH": str(ROOT)}, stdin=other, stdout=other, stderr=other, start_new_session=True
            )
        finally:
            os.close(other)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        text = ""
        for prompt in ("Password: ", "confirmation: "):
            while prompt not in text:
                text += os.read(main, 1000).decode()
            os.write(main, f"{SECRET}\n".encode())
        self.assertEqual(process.wait(60), 0)
        self.assertNotIn(SECRET, text)
        self.assertTrue(is_password(SECRET, self.user("alice").password))

    def test_without_mode(self) -> None:
        """If the configuration has another mode, a note says that the user has no effect."""
        self.config.write_text("")
        status, output = self.run_command("add", "alice", "-p", "blue", "--password-stdin", text=f"{SECRET}\n")
        self.assertEqual(status, 0)
        self.assertTrue(re.match(r"Saved\. Users have an effect only with identity\.mode = 'users'", output), output)
