"""Several processes on one port."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from imgsvc.config import Config, Server, to_json
from imgsvc.daemon.child import COMMAND
from tests.daemon.rig import DaemonTestCase, Transfer, twistd
from tests.support.daemon import Daemon
from tests.support.waiting import PATIENCE, children, is_running

MIB = 1 << 20
TWO = "[server]\nworkers = 2\n"


class WorkersTests(DaemonTestCase):
    """A daemon with two workers."""

    def workers(self, toml: str = TWO, **options: str) -> Daemon:
        """The daemon, as soon as both of its workers serve."""
        daemon = self.daemon(toml, **options)
        self.wait_for_workers(daemon, 2)
        return daemon

    def wait_for_workers(self, daemon: Daemon, number: int, start: int = 0) -> None:
        """Wait until so many workers have logged that they serve."""
        self.wait(lambda: len(re.findall(r"worker \d+: imgsvc \S+ on", daemon.log(start))) >= number, "workers")

    def health(self, daemon: Daemon) -> int:
        return daemon.request("GET", "/healthcheck")[0]

    def sockets(self, pid: int) -> list[str]:
        """The sockets that a process has open."""
        links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
        return [link for link in links if link.startswith("socket:")]

    def test_both_accept(self) -> None:
        """Both workers accept connections that arrive at once."""
        daemon = self.workers()
        connections = [socket.create_connection(("127.0.0.1", daemon.port)) for _ in range(400)]
        for connection in connections:
            connection.sendall(b"GET /healthcheck HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        for connection in connections:
            self.assertTrue(connection.makefile("rb").readline().startswith(b"HTTP/1.1 200"))
            connection.close()
        find = lambda: re.findall(r"access_log worker (\d+): .*/healthcheck", daemon.log())  # noqa: E731
        self.wait(lambda: len(find()) == 400, "a line for each")
        counted = Counter(find())
        self.assertEqual(len(counted), 2)
        self.assertGreater(min(counted.values()), 20)

    def test_one_killed(self) -> None:
        """A worker that dies is replaced. The others go on meanwhile."""
        daemon = self.workers()
        image_id = daemon.image()
        self.assertEqual(daemon.put(image_id, b"x" * MIB), 204)
        start = len(daemon.log())
        victim, other = children(daemon.pid)
        os.kill(victim, signal.SIGKILL)
        self.wait_for_log(daemon, f"worker {victim} ended (signal 9)", start)
        for _ in range(20):
            self.assertEqual(daemon.get(image_id), b"x" * MIB)
        self.wait_for_workers(daemon, 1, start)
        self.assertEqual(len(children(daemon.pid)), 2)
        self.assertIn(other, children(daemon.pid))
        self.assertEqual(daemon.stop(), 0)

    def test_one_told_to_stop(self) -> None:
        """A worker that gets SIGTERM finishes its transfers, and is replaced."""
        daemon = self.workers()
        data = os.urandom(4 * MIB)
        image_id = daemon.image()
        upload = Transfer(daemon, image_id, len(data)).send(data[:MIB])
        self.wait_for_status(daemon, image_id, "saving")
        start = len(daemon.log())
        old = set(children(daemon.pid))
        for worker in old:
            os.kill(worker, signal.SIGTERM)
        self.wait(lambda: set(children(daemon.pid)) - old, "a new worker")
        self.wait_for_workers(daemon, 1, start)
        self.assertEqual(self.health(daemon), 200)
        self.assertEqual(upload.send(data[MIB:]).status(), 204)
        self.wait_for_workers(daemon, 2, start)
        self.assertFalse(set(children(daemon.pid)) & old)
        self.assertEqual(daemon.get(image_id), data)
        self.assertEqual(daemon.stop(), 0)

    def test_stop(self) -> None:
        """At SIGTERM transfers finish, new connections are refused, idle ones are closed, and the status is 0."""
        self.stop_within_transfers(self.workers())

    def cut(self, daemon: Daemon, number: int, group: bool = False) -> float:
        """Send SIGTERM so many times during an upload that does not end. Returns the seconds until the end of
        the daemon.
        """
        image_id = daemon.image()
        upload = Transfer(daemon, image_id, 2 * MIB).send(b"x" * MIB)
        self.wait_for_status(daemon, image_id, "saving")
        begun = time.monotonic()
        for _ in range(number):
            workers = children(daemon.pid) if group else []
            os.kill(daemon.pid, signal.SIGTERM)
            self.wait(lambda: self.refuses_connections(daemon), "the beginning of the end")
            for pid in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        self.assertEqual(upload.status(), 0)
        assert daemon.process is not None
        self.assertEqual(daemon.process.wait(PATIENCE), 0)
        taken = time.monotonic() - begun
        self.assert_no_traceback(daemon)
        self.assertNotIn("left for the reaper", daemon.log())
        daemon.start()
        self.assertEqual(daemon.show(image_id)["status"], "queued")
        return taken

    def test_grace(self) -> None:
        """Transfers that exceed the grace are cut and undone, also if every process gets the signal."""
        taken = self.cut(self.workers('[server]\nworkers = 2\ngrace = "2 s"\n'), 1, group=True)
        self.assertTrue(2 <= taken < 30, taken)

    def test_second_signal(self) -> None:
        """A second SIGTERM ends the grace."""
        self.assertLess(self.cut(self.workers('[server]\nworkers = 2\ngrace = "1 h"\n'), 2), 30)

    def test_signals_in_one_breath(self) -> None:
        """Workers that get both signals at once stop, and wait for nothing."""
        daemon = self.workers('[server]\nworkers = 2\ngrace = "1 h"\n')
        workers = children(daemon.pid)
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        for _ in range(2):
            daemon.signal(signal.SIGTERM)
            time.sleep(0.3)  # in which the parent tells its workers
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
        self.assertEqual(daemon.stop(), 0)
        self.assert_no_traceback(daemon)

    def test_interrupt_of_the_group(self) -> None:
        """Ctrl-C, which the terminal sends to all processes, reaches the workers through their parent only."""
        daemon = self.workers()
        begun, data = daemon.image(), os.urandom(2 * MIB)
        upload = Transfer(daemon, begun, len(data)).send(data[:MIB])
        self.wait_for_status(daemon, begun, "saving")
        workers = children(daemon.pid)
        for worker in workers:
            os.kill(worker, signal.SIGINT)
        self.assertEqual(upload.send(data[MIB:]).status(), 204)
        self.assertNotIn("SIGINT", daemon.log())
        self.assertEqual(children(daemon.pid), workers)
        daemon.signal(signal.SIGINT)
        assert daemon.process is not None
        self.assertEqual(daemon.process.wait(PATIENCE), -signal.SIGINT)
        self.assert_no_traceback(daemon)

    def test_parent_gone_before_it_serves(self) -> None:
        """A worker whose parent ends before it serves ends without a traceback."""
        told = {
            "config": to_json(Config(server=Server(listen=("tcp:0:interface=127.0.0.1",)))),
            "data_folder": str(self.folder),
            "log_format": "text",
            "log_path": "",
        }
        reader, writer = os.pipe()
        os.close(reader)
        with socket.create_server(("127.0.0.1", 0)) as port, (self.folder / "log").open("wb") as log:
            numbers = port.fileno(), log.fileno()
            command = f'exec "{sys.executable}" -c "{COMMAND}" 4<&{numbers[0]} 3>&{numbers[1]}'
            worker = subprocess.run(
                ["bash", "-c", command],  # other shells have no descriptors above 9
                input=json.dumps(told).encode() + b"\n",
                stdout=writer,
                pass_fds=numbers,
                timeout=30,
                check=False,
            )
        os.close(writer)
        self.assertEqual(worker.returncode, 0)
        text = (self.folder / "log").read_text()
        self.assertIn("stopped", text)
        self.assertNotIn("Traceback", text)

    def test_stop_among_connections(self) -> None:
        """The parent does not close the port before the workers know of the stop."""
        daemon = self.workers()
        workers = children(daemon.pid)
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        sockets = len(self.sockets(daemon.pid))
        daemon.signal(signal.SIGTERM)
        self.wait(lambda: len(self.sockets(daemon.pid)) < sockets, "the parent's port closed")
        self.assertFalse(self.refuses_connections(daemon))
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
        self.assertEqual(daemon.stop(), 0)
        self.assertNotIn("critical", daemon.log())

    def test_parent_killed(self) -> None:
        """Workers whose parent was killed end by themselves, and free the port."""
        daemon = self.workers()
        workers = children(daemon.pid)
        daemon.kill()
        for worker in workers:
            self.wait(lambda: not is_running(worker), "the end of the workers")  # noqa: B023
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", daemon.port))

    def test_hung(self) -> None:
        """A worker that hangs is killed when its time is over."""
        daemon = self.workers('[server]\nworkers = 2\ngrace = "0 s"\n')
        os.kill(children(daemon.pid)[0], signal.SIGSTOP)
        self.assertEqual(daemon.stop(), 0)

    def test_logs(self) -> None:
        """Log entries of workers are in the parent's log, with the level and the request's id."""
        daemon = self.workers()
        request_id = daemon.request("GET", "/v2/images/nothing")[1]["x-openstack-request-id"]
        line = self.wait_for_log(daemon, "/v2/images/nothing")
        self.assertRegex(
            line, rf"^\S+Z info imgsvc\.web\.access_log \[{request_id}\] worker \d+: .* GET /v2/images/nothing 404"
        )

    def test_unix_socket(self) -> None:
        """A unix socket keeps its permissions, and stays while a worker is replaced."""
        path = self.folder / "socket"
        daemon = self.workers(listen=f"unix:{path}:mode=600")
        start = len(daemon.log())
        os.kill(children(daemon.pid)[0], signal.SIGTERM)
        self.wait_for_workers(daemon, 1, start)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        connection = http.client.HTTPConnection("x")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(path))
        connection.request("GET", "/healthcheck")
        self.assertEqual(connection.getresponse().status, 200)
        connection.close()
        self.assertEqual(daemon.stop(), 0)
        self.assertFalse(path.exists())
        self.assert_no_traceback(daemon)

    def test_cannot_start(self) -> None:
        """If no worker can start, the daemon ends, and says once why."""
        mount = self.mount()
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        (self.folder / "imgsvc.toml").write_text(f'{TWO}[stores.local]\nkind = "file"\npath = "{mount}/images"\n')
        status, text = twistd(self.folder, "--config", "imgsvc.toml", "--listen", "tcp:0:interface=127.0.0.1")
        self.assertEqual(status, 1, text)
        lines = [line for line in text.splitlines() if " info " not in line]
        self.assertEqual(len(lines), 1, text)
        self.assertRegex(
            lines[0], r"critical imgsvc\.daemon\.process worker \d+: cannot start: .*: Read-only file system"
        )

    def test_address_in_use(self) -> None:
        """If another process listens on the port, the start ends with one line."""
        (self.folder / "imgsvc.toml").write_text(TWO)
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            listen = f"tcp:{port}:interface=127.0.0.1"
            status, text = twistd(self.folder, "--config", "imgsvc.toml", "--listen", listen)
        self.assertEqual(status, 1, text)
        lines = [line for line in text.splitlines() if " info " not in line]
        self.assertEqual(len(lines), 1, text)
        self.assertIn("Address already in use", lines[0])

    def test_many_at_once(self) -> None:
        """1,000 images are created and filled concurrently without an error, and no record is lost."""
        daemon = self.workers("[server]\nworkers = 2\naccess_log = false\n")
        data = os.urandom(20_000)
        headers = {"Content-Type": "application/octet-stream"}

        def some(number: int) -> list[tuple[str, int]]:
            connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
            outcomes = []
            for _ in range(number):
                connection.request("POST", "/v2/images", b'{"disk_format": "raw", "container_format": "bare"}')
                answer = connection.getresponse()
                document = json.loads(answer.read())
                self.assertEqual(answer.status, 201, document)
                connection.request("PUT", f"/v2/images/{document['id']}/file", data, headers)
                answer = connection.getresponse()
                answer.read()
                outcomes.append((document["id"], answer.status))
            connection.close()
            return outcomes

        with ThreadPoolExecutor(100) as threads:
            outcomes = [outcome for part in threads.map(some, [10] * 100) for outcome in part]
        self.assertEqual(Counter(status for _, status in outcomes), {204: 1000})
        self.assertEqual(daemon.stop(), 0)
        with sqlite3.connect(f"file:{daemon.data}/imgsvc.sqlite?mode=ro", uri=True) as database:
            rows = database.execute("SELECT id, status, os_hash_value FROM images").fetchall()
        wanted = hashlib.sha512(data).hexdigest()
        self.assertEqual(set(rows), {(image_id, "active", wanted) for image_id, _ in outcomes})
        self.assertEqual(set(os.listdir(daemon.data / "images")) - {".imgsvc-lock"}, {row[0] for row in rows})
        self.assert_no_traceback(daemon)
