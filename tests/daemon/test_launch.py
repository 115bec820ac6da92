"""Whoever starts the daemon learns the outcome from its files, its exit status and a line on the terminal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess

from imgsvc import __version__
from tests.daemon.rig import TWISTD, DaemonTestCase, twistd
from tests.support.daemon import SERVING, Daemon
from tests.support.waiting import PATIENCE, is_running

LOCAL = ("--listen", "tcp:0:interface=127.0.0.1")


class PidFileTests(DaemonTestCase):
    """The file with the process id, which twistd itself would always write."""

    def start(self, *before: str) -> subprocess.Popen[bytes]:
        """A daemon in the foreground that serves, or whose start has failed."""
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*TWISTD, "-n", *before, "imgsvc", *LOCAL],
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.wait(lambda: process.poll() is not None or SERVING.search(self.log()), "served")
        return process

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def test_foreground(self) -> None:
        """In the foreground there is no such file, and an existing one with the id of a running process is
        ignored: in a container every daemon is process 1, and a killed one has left its file.
        """
        (self.folder / "twistd.pid").write_text(str(os.getpid()))
        process = self.start()
        self.assertIsNone(process.poll(), self.log())
        self.assertEqual((self.folder / "twistd.pid").read_text(), str(os.getpid()))

    def test_asked_for(self) -> None:
        """With --pidfile the file is checked and written, also if it has twistd's default name."""
        process = self.start("--pidfile", "twistd.pid")
        self.assertEqual((self.folder / "twistd.pid").read_text(), str(process.pid))
        second = subprocess.run(
            [*TWISTD, "-n", "--pidfile=twistd.pid", "imgsvc", *LOCAL], cwd=self.folder, capture_output=True, check=False
        )
        self.assertEqual(second.returncode, 1)
        self.assertIn(b"Another twistd server is running", second.stderr)

    def test_background(self) -> None:
        """In the background the file is written, and a second daemon is refused."""
        self.assertEqual(twistd(self.folder, *LOCAL, before=()), (0, ""))
        pid = int((self.folder / "twistd.pid").read_text())
        self.addCleanup(kill, pid)
        status, text = twistd(self.folder, *LOCAL, before=())
        self.assertEqual(status, 1)
        self.assertIn("Another twistd server is running", text)


class BackgroundTests(DaemonTestCase):
    """twistd imgsvc, without -n."""

    background = ("--pidfile=pid", "--logfile=log")

    def test_serves(self) -> None:
        """The command ends when the daemon serves."""
        for workers in (1, 2):
            (self.folder / "imgsvc.toml").write_text(f"[server]\nworkers = {workers}\n")
            self.assertEqual(twistd(self.folder, "-c", "imgsvc.toml", *LOCAL, before=self.background), (0, ""))
            pid = int((self.folder / "pid").read_text())
            self.addCleanup(kill, pid)
            serving = SERVING.search((self.folder / "log").read_text())
            assert serving is not None
            daemon = Daemon(self.folder)
            daemon.port = int(serving["port"])
            self.assertEqual(daemon.request("GET", "/healthcheck")[0], 200)
            os.kill(pid, signal.SIGTERM)
            self.wait(lambda: not is_running(pid), "the end")  # noqa: B023
            (self.folder / "log").unlink()

    def refused(self, toml: str, reason: str, *arguments: str) -> None:
        """A failed start is reported on the terminal, and leaves only its log."""
        (self.folder / "imgsvc.toml").write_text(toml)
        status, text = twistd(self.folder, "-c", "imgsvc.toml", *(arguments or LOCAL), before=self.background)
        self.assertEqual(status, 1, text)
        self.assertRegex(text, f"^imgsvc: cannot start: {reason}.*\n$")
        self.wait(lambda: not (self.folder / "pid").exists(), "the end")
        self.assertEqual(set(os.listdir(self.folder)) - {"file"}, {"imgsvc.toml", "log"})

    def test_address_in_use(self) -> None:
        """Another process listens on the port."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            listen = f"tcp:{other.getsockname()[1]}:interface=127.0.0.1"
            for workers in (1, 2):
                toml = f"[server]\nworkers = {workers}\n"
                self.refused(toml, f"server.listen = '{listen}': .*Address already in use", "--listen", listen)

    def test_store(self) -> None:
        """The folder of a store cannot be created, in the daemon and in a worker."""
        (self.folder / "file").write_text("")
        for workers in (1, 2):
            self.refused(
                f'[server]\nworkers = {workers}\n[stores.local]\nkind = "file"\npath = "{self.folder}/file/images"\n',
                r"stores\.local\.path = .*Not a directory",
            )

    def test_killed(self) -> None:
        """A start that is killed counts as failed."""
        process = subprocess.Popen(
            [
                *("strace", "-f", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:signal=SIGKILL"),
                *(*TWISTD, *self.background, "imgsvc", *LOCAL),
            ],
            cwd=self.folder,
            stderr=subprocess.PIPE,
        )
        _, text = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 1)
        self.assertEqual(text, b"imgsvc: cannot start: the process has ended, see the log\n")


class MistakeTests(DaemonTestCase):
    """Mistakes of people who have not read the documentation."""

    def said(self, *arguments: str) -> str:
        status, text = twistd(self.folder, *arguments)
        self.assertEqual(status, 1, text)
        return text

    def test_listen(self) -> None:
        """A mere number, or an address as in URLs."""
        expected = "imgsvc: server.listen = '{}': must be an endpoint, as tcp:9522:interface=127.0.0.1\n"
        for text in ("9522", "127.0.0.1:9522", "http://127.0.0.1:9522"):
            self.assertEqual(self.said("--listen", text), expected.format(text))

    def test_log_format(self) -> None:
        """A format that does not exist."""
        self.assertEqual(self.said("--log-format", "xml"), "imgsvc: --log-format = 'xml': must be text or json\n")

    def test_certificate(self) -> None:
        """A certificate that does not exist."""
        text = self.said("--listen", "ssl:9522:interface=127.0.0.1:privateKey=absent.pem")
        self.assertRegex(text, r"^imgsvc: server\.listen = 'ssl:.*': .*No such file or directory: .*absent\.pem'\n$")

    def test_version(self) -> None:
        """`--version` prints the version of imgsvc."""
        self.assertEqual(twistd(self.folder, "--version"), (0, f"imgsvc {__version__}\n"))

    def test_ipv6(self) -> None:
        """The log has URLs, with IPv6 addresses in brackets."""
        daemon = self.daemon(listen=r"tcp6:0:interface=\:\:1")
        self.assertRegex(daemon.log(), r" on http://\[::1\]:\d+;")


def kill(pid: int) -> None:
    """Send SIGKILL, if the process still exists."""
    if is_running(pid):
        os.kill(pid, signal.SIGKILL)
