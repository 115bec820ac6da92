"""The real daemon with users of its own."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys

from imgsvc.identity.users.accounts import User
from tests.client.scenarios import ROOT, environment
from tests.daemon.rig import TWISTD, DaemonTestCase, twistd
from tests.support.daemon import Daemon
from tests.support.users import PASSWORD, a_user, basic, with_token, write_users

TOML = '[identity]\nmode = "users"\n'
SECRET = "not in any log"


class UsersTests(DaemonTestCase):
    """Who may use it, and what it writes down of this."""

    def setUp(self) -> None:
        super().setUp()
        self.alice, made = with_token(a_user("alice", blue="member"), "blue")
        self.token = made.text
        self.users = self.folder / "data" / "users.json"

    def start(self, *users: User, toml: str = TOML) -> Daemon:
        """A daemon with these users."""
        write_users(self.users, *users)
        return self.daemon(toml, data=self.users.parent)

    def status(self, daemon: Daemon, headers: dict[str, str]) -> int:
        """The status of a list of images."""
        return daemon.request("GET", "/v2/images", headers)[0]

    def command(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the `imgsvc` command."""
        return subprocess.run(
            [sys.executable, "-m", "imgsvc.client", *arguments],
            cwd=self.folder,
            env={**environment(), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def test_life(self) -> None:
        """Users and tokens come and go while the daemon runs, and the secrets are in no log."""
        daemon = self.start(self.alice)
        image = json.dumps({"disk_format": "raw", "container_format": "bare"})
        status, _, body = daemon.request("POST", "/v2/images", basic("alice"), image)
        self.assertEqual((status, json.loads(body)["owner"]), (201, "blue"))
        self.assertEqual(self.status(daemon, {"X-Auth-Token": self.token}), 200)
        self.assertEqual(self.status(daemon, basic("alice", SECRET)), 401)
        self.assertEqual(self.status(daemon, basic(SECRET, SECRET)), 401)
        write_users(self.users, a_user("bob", "another one", red="reader"))
        self.wait(lambda: self.status(daemon, {"X-Auth-Token": self.token}) == 401, "the end of the token")
        self.assertEqual(self.status(daemon, basic("alice")), 401)
        self.assertEqual(self.status(daemon, basic("bob", "another one")), 200)
        self.assertEqual(daemon.stop(), 0)
        text = daemon.log()
        self.assertIn("wrong password for alice from", text)
        encoded = basic("alice", SECRET)["Authorization"].partition(" ")[2]
        for secret in (PASSWORD, SECRET, encoded, self.token, self.alice.password, "Traceback"):
            self.assertNotIn(secret, text)

    def test_hangup(self) -> None:
        """The mode changes at SIGHUP, and with a file that others may read nothing changes."""
        daemon = self.start(self.alice, toml="")
        daemon.config.write_text(TOML)
        self.users.chmod(0o644)
        daemon.signal(signal.SIGHUP)
        self.wait(lambda: "its permissions are 0644: must be 0600" in daemon.log(), "the refusal")
        self.assertEqual(self.status(daemon, {}), 200)
        self.users.chmod(0o600)
        daemon.signal(signal.SIGHUP)
        self.wait(lambda: self.status(daemon, {}) == 401, "mode users")
        self.assertEqual(self.status(daemon, basic("alice")), 200)

    def test_imgsvc_command(self) -> None:
        """The `imgsvc` command uploads and downloads by password and by token."""
        daemon = self.start(self.alice)
        source = self.folder / "source"
        source.write_bytes(os.urandom(100_000))
        password = {"IMGSVC_ENDPOINT": daemon.endpoint, "IMGSVC_USER": "alice", "IMGSVC_PASSWORD": PASSWORD}
        token = {"IMGSVC_ENDPOINT": daemon.endpoint, "IMGSVC_TOKEN": self.token}
        done = self.command("upload", "source", "--name", "disk", "--disk-format", "raw", **password)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.command("download", "disk", "-o", "copy", **token)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.folder / "copy").read_bytes(), source.read_bytes())
        login = {"OS_AUTH_TYPE": "http_basic", "OS_USERNAME": "alice", "OS_PASSWORD": PASSWORD}
        done = self.command("list", OS_ENDPOINT=f"{daemon.endpoint}/v2", **login)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("disk", done.stdout)
        done = self.command("list", **{**password, "IMGSVC_PASSWORD": "wrong"})
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("401", done.stderr)

    def test_workers(self) -> None:
        """Each worker knows the users."""
        daemon = self.start(self.alice, toml=f"server.workers = 2\n{TOML}")
        for _ in range(10):
            self.assertEqual(self.status(daemon, basic("alice")), 200)
            self.assertEqual(self.status(daemon, {}), 401)


class FirstUserTests(DaemonTestCase):
    """`--first-user`."""

    def command(self, *arguments: str) -> list[str]:
        """The command line of a first start."""
        listen = ("--listen", "tcp:0:interface=127.0.0.1", "--data", str(self.folder / "data"))
        return [*TWISTD, "-n", "imgsvc", *listen, *arguments]

    def test_advice(self) -> None:
        """Without it a start for other machines is refused, and one line says how to make the first user."""
        status, text = twistd(self.folder, "--listen", "tcp:0")
        self.assertEqual((status, text.count("\n")), (1, 1))
        self.assertIn("add --first-user NAME: it asks for a password", text)
        status, text = twistd(self.folder, "--first-user", "a:b", "--data", "data", "--listen", "tcp:0")
        self.assertEqual((status, text.count("\n")), (1, 1))
        status, text = twistd(self.folder, "--first-user", "alice", "--data", "data", "--listen", "tcp:0")
        self.assertEqual(
            (status, text), (1, "imgsvc: The password is too short: it must have at least 8 characters.\n")
        )
        self.assertFalse((self.folder / "data").exists())

    def test_password_on_stdin(self) -> None:
        """The daemon makes the user and serves; the next start needs no password."""
        for given in (f"{PASSWORD}\n".encode(), b""):
            log = self.folder / "log"
            with log.open("wb") as output:
                process = subprocess.Popen(
                    self.command("--first-user", "alice"),
                    cwd=self.folder,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            assert process.stdin is not None
            process.stdin.write(given)
            process.stdin.close()
            self.wait(lambda: " on http://" in log.read_text(), "the start")  # noqa: B023
            text = log.read_text()
            self.assertEqual("made the administrator 'alice'" in text, bool(given))
            self.assertIn("identity users", text)
            self.assertNotIn(PASSWORD, text)
            process.terminate()
            self.assertEqual(process.wait(60), 0)

    def test_terminal(self) -> None:
        """At a terminal the password is asked for twice, and not shown."""
        main, other = pty.openpty()
        self.addCleanup(os.close, main)
        try:
            process = subprocess.Popen(
                self.command("--first-user", "alice"),
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=other,
                stdout=other,
                stderr=other,
                start_new_session=True,
            )
        finally:
            os.close(other)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertIn("Password: ", self.read_until(main, "Password: "))
        os.write(main, f"{PASSWORD}\n".encode())
        text = self.read_until(main, "confirmation: ")
        os.write(main, b"another one\n")
        text += self.read_until(main, "not the same.")
        self.assertNotIn(PASSWORD, text)
        self.assertEqual(process.wait(60), 1)

    def read_until(self, descriptor: int, end: str) -> str:
        """What the terminal shows, up to a text."""
        text = ""
        while end not in text:
            text += os.read(descriptor, 1000).decode()
        return text
