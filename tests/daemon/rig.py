"""Helpers for the tests of the real daemon: its folder, transfers that stop halfway, and waits."""

from __future__ import annotations

import http.client
import os
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.support.daemon import Daemon
from tests.support.waiting import PATIENCE, wait_for

TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
LONG_LEASE = '[server]\nupload_lease = "1 h"\nreaper_interval = "1 s"\ngrace = "2 s"\n'
"""Leases that expire when the test calls `expire_leases`, and never before."""


@frozen
class Injection:
    """What strace does at which system calls: `calls` and `what` as in `-e inject=calls:what`.

    path: only calls about this file.
    """

    calls: str
    what: str
    path: Path | None = None

    @property
    def arguments(self) -> list[str]:
        """The options of strace."""
        path = [] if self.path is None else ["-P", str(self.path)]
        return ["-e", f"trace={self.calls}", "-e", f"inject={self.calls}:{self.what}", *path]


class DaemonTestCase(SynchronousTestCase):
    """A test with its own folder, and daemons that are stopped at its end."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="imgsvc-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def daemon(self, toml: str = "", name: str = "daemon", data: Path | None = None, **options: Any) -> Daemon:
        """A daemon that runs until the end of the test. data: the data folder of another daemon."""
        daemon = Daemon(self.folder / name, toml, **options)
        if data is not None:
            daemon.data = data
        self.addCleanup(daemon.end)
        return daemon.start()

    def wait(self, condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
        """Wait until `condition` is true. Returns its result."""
        return wait_for(condition, what, patience)

    def wait_for_log(self, daemon: Daemon, text: str, start: int = 0, patience: float = PATIENCE) -> str:
        """The first line of the log, from byte `start` on, that contains `text`."""
        lines: Callable[[], list[str]] = lambda: [line for line in daemon.log(start).split("\n") if text in line]  # noqa: E731
        found: list[str] = self.wait(lines, f"{text!r} in the log", patience)
        return found[0]

    def wait_for_status(self, daemon: Daemon, image_id: str, status: str, patience: float = PATIENCE) -> None:
        """Wait until the image has this status."""
        self.wait(lambda: daemon.show(image_id)["status"] == status, f"{image_id} {status}", patience)

    def part(self, image_id: str, folder: Path) -> Path:
        """The file that the running upload of an image writes to, as soon as it exists."""
        names: list[str] = self.wait(lambda: [n for n in files(folder) if n.startswith(f".{image_id}.")], "a file")
        return folder / names[0]

    def wait_for_files(self, folder: Path, names: set[str]) -> None:
        """Wait until the folder has these names. The file of an upload loses its own name after the client's
        response.
        """
        self.wait(lambda: files(folder) == names, f"{names} in {folder}")

    def refuses_connections(self, daemon: Daemon) -> bool:
        """Whether nobody listens any more."""
        try:
            socket.create_connection(("127.0.0.1", daemon.port)).close()
        except ConnectionRefusedError:
            return True
        return False

    def stop_within_transfers(self, daemon: Daemon) -> tuple[str, bytes]:
        """Check that a stop lets an upload and a download finish. Returns the id and the bytes of the upload."""
        data = os.urandom(16 << 20)
        there, coming = daemon.image(), daemon.image()
        self.assertEqual(daemon.put(there, data), 204)
        download = Download(daemon, there)
        first = download.read(1 << 20)
        upload = Transfer(daemon, coming, len(data)).send(data[: 1 << 20])
        idle = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
        idle.request("GET", "/healthcheck")
        idle.getresponse().read()
        self.wait_for_status(daemon, coming, "saving")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(idle.sock.recv(1), b"")
        idle.close()
        self.wait(lambda: self.refuses_connections(daemon), "refused connections")
        self.assertEqual(upload.send(data[1 << 20 :]).status(), 204)
        self.assertEqual(first + download.rest(), data)
        assert daemon.process is not None
        self.assertEqual(daemon.process.wait(PATIENCE), 0)
        self.assert_no_traceback(daemon)
        return coming, data

    def assert_no_traceback(self, daemon: Daemon) -> None:
        """No unexpected error was logged."""
        self.assertNotIn("Traceback", daemon.log())

    def inject(self, daemon: Daemon, point: Injection) -> subprocess.Popen[bytes]:
        """Let strace interfere with the system calls of a daemon, until the end of the test or of strace."""
        strace = subprocess.Popen(
            ["strace", "-f", "-o", "/dev/null", "-p", str(daemon.pid), *point.arguments], stderr=subprocess.PIPE
        )
        self.addCleanup(end, strace)
        assert strace.stderr is not None
        line = strace.stderr.readline()
        self.assertIn(b"attached", line)
        return strace

    def mount(self, size: str = "8m", name: str = "mount") -> Path:
        """Mount a new file system in memory."""
        path = self.folder / name
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "imgsvc-test", str(path)], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", str(path)], check=True)
        return path


class Transfer:
    """An upload by hand, on its own connection."""

    def __init__(self, daemon: Daemon, image_id: str, size: int | None) -> None:
        """size: bytes; None for a chunked body."""
        self.socket = socket.create_connection(("127.0.0.1", daemon.port), 60)
        length = "Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}"
        self.socket.sendall(
            f"PUT /v2/images/{image_id}/file HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
            f"{length}\r\n\r\n".encode()
        )

    def send(self, data: bytes) -> Transfer:
        """Send some bytes of the body."""
        self.socket.sendall(data)
        return self

    def send_chunks(self, chunks: Iterable[bytes]) -> None:
        """Send a whole chunked body, or as much of it as the server takes before it responds."""
        with suppress(BrokenPipeError, ConnectionResetError):
            for chunk in [*chunks, b""]:
                answered, _, _ = select.select([self.socket], [], [], 0)
                if answered:
                    return
                self.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))

    def status(self) -> int:
        """The status of the response; 0 if the connection was cut before. Raises TimeoutError."""
        try:
            answer = http.client.HTTPResponse(self.socket, method="PUT")
            answer.begin()
            answer.read()
            return answer.status
        except (ConnectionError, http.client.HTTPException):
            return 0
        finally:
            self.socket.close()


class Download:
    """A download by hand, on its own connection with a small receive buffer."""

    def __init__(self, daemon: Daemon, image_id: str) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(60)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        self.socket.connect(("127.0.0.1", daemon.port))
        self.socket.sendall(f"GET /v2/images/{image_id}/file HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        self._answer = http.client.HTTPResponse(self.socket)
        self._answer.begin()
        self.length = int(self._answer.headers["Content-Length"])

    def read(self, size: int) -> bytes:
        """Read so many bytes."""
        return self._answer.read(size)

    def rest(self) -> bytes:
        """Read until the end, or until the connection is cut."""
        try:
            return self._answer.read()
        except http.client.IncompleteRead as error:
            return error.partial
        except ConnectionResetError:
            return b""
        finally:
            self.socket.close()


def twistd(folder: Path, *arguments: str, before: tuple[str, ...] = ("-n",)) -> tuple[int, str]:
    """Run `twistd imgsvc` to its end. Returns its exit status and its output."""
    ended = subprocess.run(
        [*TWISTD, *before, "imgsvc", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stdout.decode()


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, and wait for it. If strace traces it, the traced process goes on."""
    process.kill()
    process.wait()
    if process.stderr is not None:
        process.stderr.close()


def detail(daemon: Daemon) -> str:
    """The response to `/healthcheck?detail`."""
    return daemon.request("GET", "/healthcheck?detail")[2].decode()


def files(folder: Path) -> set[str]:
    """The names in a folder of images, except the lock."""
    return set(os.listdir(folder)) - {".imgsvc-lock"}


def statuses(daemon: Daemon) -> dict[str, str]:
    """The statuses of all images in the database, also of deleted ones."""
    with closing(sqlite3.connect(f"file:{daemon.data}/imgsvc.sqlite?mode=ro", uri=True, timeout=10)) as database:
        return dict(database.execute("SELECT id, status FROM images").fetchall())


def expire_leases(daemon: Daemon) -> None:
    """Let all leases expire."""
    with closing(sqlite3.connect(daemon.data / "imgsvc.sqlite", timeout=10)) as database, database:
        database.execute("UPDATE leases SET expires_at = 0")


def thread_states(pid: int) -> set[str]:
    """The states of the threads of a process: R, S, D; T: stopped; t: held by strace (proc(5))."""
    states = set()
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            states.add((thread / "stat").read_text().rpartition(")")[2].split()[0])
    return states


def hanging_threads(pid: int, file: Path) -> list[int]:
    """The threads of a process that strace holds in a system call on a file. Its first argument is the descriptor."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            state = (thread / "stat").read_text().rpartition(")")[2].split()[0]
            call = (thread / "syscall").read_text().split()
            if state == "t" and len(call) > 1:
                descriptor = Path(f"/proc/{pid}/fd/{int(call[1], 16)}")
                if descriptor.exists() and os.readlink(descriptor) == str(file):
                    found.append(int(thread.name))
    return found


def pieces(data: bytes, size: int = 1 << 20) -> Iterator[bytes]:
    """The data in pieces."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
