"""The start and the stop of the daemon."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from imgsvc.hashing.choose import choose_hasher
from imgsvc.tap import Options
from tests.daemon.rig import TWISTD, DaemonTestCase, Download, Transfer, twistd
from tests.support.daemon import SERVING, Daemon
from tests.support.waiting import PATIENCE, is_running

MIB = 1 << 20


class StartTests(DaemonTestCase):
    """What the daemon serves, and what its log says at the start."""

    def test_defaults(self) -> None:
        """Without options it serves on port 9292 of the loopback address, from ./imgsvc-data."""
        here = Path.cwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.folder)
        options = Options()
        options.parseOptions([])
        self.assertEqual(options.configuration.server.listen, ("tcp:9292:interface=127.0.0.1",))
        self.assertEqual(options.data_folder, self.folder / "imgsvc-data")

    def test_data_folder(self) -> None:
        """Without --data everything is in ./imgsvc-data."""
        process = self.started()
        self.assertEqual(set(os.listdir(self.folder / "imgsvc-data")) & {"images"}, {"images"})
        self.assertTrue((self.folder / "imgsvc-data" / "imgsvc.sqlite").exists())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), 0)

    def started(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A daemon that serves from the working folder and logs to the file `log`."""
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*TWISTD, "-n", "imgsvc", "--listen", "tcp:0:interface=127.0.0.1", *arguments],
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.wait(lambda: SERVING.search((self.folder / "log").read_text()), "served")
        return process

    def test_first_lines(self) -> None:
        """The log begins with what computes digests, the version, the addresses, the database, the stores and the
        identity, and nothing else.

        At the first start it also says that catalogue and store are new.
        """
        daemon = self.daemon()
        lines = daemon.log().splitlines()
        self.assertEqual(len(lines), 7, lines)
        self.assertIn("There was no catalogue: a new, empty one is in", lines[2])
        self.assertIn("is marked as its own", lines[3])
        self.assertTrue(lines[5].endswith(f"digests are computed by {choose_hasher(True)}"), lines[5])
        self.assertRegex(
            lines[6],
            rf"info imgsvc.daemon.server imgsvc \S+ on http://127\.0\.0\.1:{daemon.port}; "
            rf"database sqlite:///{daemon.data}/imgsvc.sqlite; stores local \(file\), default local; identity none$",
        )
        self.assertEqual(daemon.stop(), 0)
        self.assertNotIn("log_legacy", daemon.log())
        start = daemon.log_file.stat().st_size
        daemon.start()
        self.assertEqual(len(daemon.log(start).splitlines()), 5)

    def test_json(self) -> None:
        """With --log-format json every line is a JSON object."""
        process = self.started("--log-format", "json")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), 0)
        for line in (self.folder / "log").read_text().splitlines():
            self.assertLessEqual({"time", "level", "namespace", "message"}, json.loads(line).keys())

    def test_several_addresses(self) -> None:
        """It serves on all endpoints, also unix sockets."""
        daemon = self.daemon(f'[server]\nlisten = ["unix:{self.folder}/socket"]\n', listen=f"unix:{self.folder}/socket")
        connection = http.client.HTTPConnection("x")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(f"{self.folder}/socket")
        connection.request("GET", "/healthcheck")
        self.assertEqual(connection.getresponse().status, 200)
        connection.close()
        self.assertEqual(daemon.stop(), 0)
        self.assertFalse((self.folder / "socket").exists())

    def test_proxy_identity(self) -> None:
        """In mode `proxy` the headers of a listed peer identify the caller. Without them there is no caller."""
        daemon = self.daemon('[identity]\nmode = "proxy"\n[identity.proxy]\npeers = ["127.0.0.1"]\n')
        self.assertEqual(daemon.request("GET", "/v2/images")[0], 401)
        caller = {
            "X-Identity-Status": "Confirmed",
            "X-User-Id": "someone",
            "X-Project-Id": "one",
            "X-Roles": "member,reader",
        }
        status, _, body = daemon.request(
            "POST", "/v2/images", caller, b'{"disk_format": "raw", "container_format": "bare"}'
        )
        self.assertEqual((status, json.loads(body)["owner"]), (201, "one"))
        path = f"/v2/images/{json.loads(body)['id']}/file"
        typed = {**caller, "Content-Type": "application/octet-stream"}
        self.assertEqual(daemon.request("PUT", path, typed, b"x" * 1000)[0], 204)
        self.assertEqual(daemon.request("GET", path, caller)[2], b"x" * 1000)
        self.assertEqual(daemon.request("GET", path, {**caller, "X-Project-Id": "two"})[0], 404)


class RefusedStartTests(DaemonTestCase):
    """A start that fails ends with one clear line and a status."""

    def refused(self, toml: str, *patterns: str, arguments: tuple[str, ...] = ()) -> None:
        (self.folder / "imgsvc.toml").write_text(toml)
        listen = arguments or ("--listen", "tcp:0:interface=127.0.0.1")
        status, text = twistd(self.folder, "--config", "imgsvc.toml", *listen)
        self.assertEqual(status, 1, text)
        self.assertNotIn("Traceback", text)
        lines = [line for line in text.splitlines() if " info " not in line]
        self.assertEqual(len(lines), 1, text)
        for pattern in patterns:
            self.assertRegex(lines[0], pattern)

    def test_unknown_key(self) -> None:
        """An option that does not exist."""
        self.refused("[server]\nportt = 1\n", r"^imgsvc: server\.portt: no such option")

    def test_wrong_type(self) -> None:
        """A value of the wrong type."""
        self.refused('[server]\nworkers = "many"\n', r"^imgsvc: server\.workers = 'many': must be")

    def test_not_toml(self) -> None:
        """A file that is not TOML."""
        self.refused("[server\n", r"^imgsvc: imgsvc\.toml: is not TOML")

    def test_no_file(self) -> None:
        """A file that does not exist."""
        status, text = twistd(self.folder, "--config", "nothing.toml")
        self.assertEqual((status, text), (1, "imgsvc: nothing.toml: cannot be read: No such file or directory\n"))

    def test_data_folder(self) -> None:
        """A data folder that cannot be created."""
        (self.folder / "file").write_text("")
        for data in ("file", "file/data"):
            status, text = twistd(self.folder, "--data", data)
            self.assertEqual(status, 1)
            self.assertRegex(text, rf"^imgsvc: --data = '.*/{data}': .*/file is a file; must be a folder\n$")

    def test_data_folder_of_other_bytes(self) -> None:
        """A data folder whose name cannot be in the catalogue's URL and in the log, also with workers."""
        for toml in ("", "[server]\nworkers = 2\n"):
            (self.folder / "imgsvc.toml").write_text(toml)
            name = os.fsdecode(b"d\xff")
            listen = ("--listen", "tcp:0:interface=127.0.0.1")
            status, text = twistd(self.folder, "--config", "imgsvc.toml", "--data", name, *listen)
            self.assertEqual(status, 1)
            lines = [line for line in text.splitlines() if " info " not in line]
            self.assertEqual(len(lines), 1, text)
            self.assertRegex(lines[0], r"^imgsvc: --data = '.*/d\\udcff': the name must be UTF-8$")
            self.assertFalse((self.folder / name).exists())

    def test_log_file(self) -> None:
        """A log file that cannot be written."""
        status, text = twistd(self.folder, before=("-n", "--logfile=absent/log"))
        expected = "imgsvc: --logfile = 'absent/log': cannot be written: No such file or directory\n"
        self.assertEqual((status, text), (1, expected))

    def test_store_kind(self) -> None:
        """A kind of store that does not exist."""
        self.refused('[stores.a]\nkind = "tape"\n', r"^imgsvc: stores\.a\.kind = 'tape': must be one of file")

    def test_store_option(self) -> None:
        """An option that this kind of store does not have."""
        self.refused('[stores.a]\nkind = "file"\nbucket = "b"\n', r"^imgsvc: stores\.a\.bucket: no such option")

    def test_memory_of_several(self) -> None:
        """A store in memory with several workers, which would not see each other's objects, also for reserved
        stores.
        """
        for tables in ("[stores.fast]", '[stores.local]\nkind = "file"\n[stores.fast]\npurpose = "cache"'):
            self.refused(
                f'[server]\nworkers = 2\n{tables}\nkind = "memory"\n',
                r"^imgsvc: server\.workers = 2: must be 1 with stores\.fast of kind memory",
            )

    def test_store_path(self) -> None:
        """A folder for images that cannot be written."""
        mount = self.mount()
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        self.refused(
            f'[stores.local]\nkind = "file"\npath = "{mount}/images"\n',
            r"critical imgsvc\.daemon\.process cannot start:"
            r" stores\.local\.path = .*: Read-only file system; must be a folder",
        )

    def test_address_in_use(self) -> None:
        """Another process listens on the port."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            self.refused(
                "",
                r"critical imgsvc\.daemon\.process cannot start:"
                rf" server\.listen = 'tcp:{port}:.*Address already in use",
                arguments=("--listen", f"tcp:{port}:interface=127.0.0.1"),
            )

    def test_endpoint(self) -> None:
        """A text that is not an endpoint."""
        for text, pattern in (
            ("nonsense:80", r"must be an endpoint, as tcp:80:interface=nonsense$"),
            ("nonsense:80:more=1", r"Unknown endpoint type.*; must be an endpoint, as tcp:9292"),
        ):
            self.refused(
                "[identity]\nallow_remote = true\n",
                rf"^imgsvc: server\.listen = '{text}': {pattern}",
                arguments=("--listen", text),
            )

    def test_no_place_to_listen(self) -> None:
        """An endpoint whose port, path or address cannot be used, also with workers."""
        for listen in (
            "tcp:99999:interface=127.0.0.1",
            "unix:",
            f"unix:{self.folder}/absent/socket",
            f"unix:{self.folder}/{'x' * 200}",
        ):
            for workers in (1, 2):
                self.refused(
                    f"[server]\nworkers = {workers}\n",
                    rf"critical imgsvc\.daemon\.process cannot start: server\.listen = '{listen}': \S",
                    arguments=("--listen", listen),
                )

    def test_database(self) -> None:
        """A database file that is not a database."""
        (self.folder / "imgsvc-data").mkdir()
        (self.folder / "imgsvc-data" / "imgsvc.sqlite").write_bytes(b"something else" * 1000)
        status, text = twistd(self.folder, "--listen", "tcp:0:interface=127.0.0.1")
        self.assertEqual(status, 1)
        self.assertNotIn("Traceback", text)
        self.assertRegex(text, r"critical imgsvc\.daemon\.process cannot start: .*not a database")

    def test_database_url(self) -> None:
        """An invalid URL of the database."""
        self.refused(
            '[database]\nurl = "nonsense"\n', r"^imgsvc: database\.url: must be a URL"
        )  # it may hold a password

    def test_open_to_all(self) -> None:
        """Identity `none` on an address that other machines reach."""
        self.refused("", r"^imgsvc: server\.listen = 'tcp:0'", arguments=("--listen", "tcp:0"))


class BackgroundTests(DaemonTestCase):
    """A daemon without -n."""

    def start(self, *arguments: str) -> tuple[int, int]:
        """The process id and the port."""
        status, text = twistd(
            self.folder,
            "--listen",
            "tcp:0:interface=127.0.0.1",
            *arguments,
            before=("--pidfile=pid", "--logfile=log"),
        )
        self.assertEqual((status, text), (0, ""))
        pid = int(self.wait(lambda: (self.folder / "pid").exists() and (self.folder / "pid").read_text(), "pid"))
        self.addCleanup(self.end, pid)
        serving = self.wait(lambda: SERVING.search((self.folder / "log").read_text()), "served")
        return pid, int(serving["port"])

    def end(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def check(self, pid: int, port: int) -> None:
        daemon = Daemon(self.folder)
        daemon.port = port
        self.assertEqual(daemon.request("GET", "/healthcheck")[0], 200)
        os.kill(pid, signal.SIGTERM)
        self.wait(lambda: not (self.folder / "pid").exists(), "the end")
        self.wait(lambda: not is_running(pid), "the end")

    def test_text(self) -> None:
        """It runs in the background, with its process id and its log in files."""
        self.check(*self.start())
        self.assertRegex((self.folder / "log").read_text(), r"(?m)^\S+Z info imgsvc.daemon.server stopped$")

    def test_json(self) -> None:
        """The log in the background can be JSON too."""
        self.check(*self.start("--log-format", "json"))
        entries = [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]
        self.assertIn("stopped", [entry["message"] for entry in entries])

    def test_workers(self) -> None:
        """Workers log to the same file, and end with the daemon."""
        (self.folder / "imgsvc.toml").write_text("[server]\nworkers = 2\n")
        pid, port = self.start("--config", "imgsvc.toml")
        self.check(pid, port)
        self.assertRegex((self.folder / "log").read_text(), r"worker \d+: stopped")

    def test_refused(self) -> None:
        """An invalid configuration is refused before the daemon leaves the terminal."""
        (self.folder / "imgsvc.toml").write_text("[server]\nportt = 1\n")
        status, text = twistd(self.folder, "--config", "imgsvc.toml", before=("--pidfile=pid", "--logfile=log"))
        self.assertEqual(status, 1)
        self.assertRegex(text, r"^imgsvc: server\.portt: no such option.*\n$")


class StopTests(DaemonTestCase):
    """SIGTERM."""

    def test_idle(self) -> None:
        """An idle daemon stops at once, with status 0."""
        daemon = self.daemon()
        idle = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
        idle.request("GET", "/healthcheck")
        idle.getresponse().read()
        self.assertEqual(daemon.stop(), 0)  # in less than the grace of 60 s
        self.assertEqual(idle.sock.recv(1), b"")
        idle.close()
        self.assert_no_traceback(daemon)

    def test_transfers_finish(self) -> None:
        """Running transfers finish, new connections are refused, and idle ones are closed."""
        daemon = self.daemon()
        coming, data = self.stop_within_transfers(daemon)
        self.assertEqual(daemon.start().show(coming)["os_hash_value"], hashlib.sha512(data).hexdigest())

    def cut(self, daemon: Daemon, signals: int) -> float:
        """Stop during an upload and a download that do not end. Returns the seconds until the end."""
        data = os.urandom(16 * MIB)
        there, coming = daemon.image(), daemon.image()
        self.assertEqual(daemon.put(there, data), 204)
        download = Download(daemon, there)
        download.read(MIB)
        upload = Transfer(daemon, coming, len(data)).send(data[:MIB])
        self.wait_for_status(daemon, coming, "saving")
        begun = time.monotonic()
        for _ in range(signals):
            daemon.signal(signal.SIGTERM)
            self.wait(lambda: self.refuses_connections(daemon), "the beginning of the end")
        self.assertEqual(upload.status(), 0)
        assert daemon.process is not None
        self.assertEqual(daemon.process.wait(PATIENCE), 0)
        taken = time.monotonic() - begun
        self.assertLess(len(download.rest()), 15 * MIB)
        self.assert_no_traceback(daemon)
        self.assertNotIn("left for the reaper", daemon.log())
        self.assertEqual(daemon.start().show(coming)["status"], "queued")
        self.assertEqual(set(os.listdir(daemon.data / "images")) - {".imgsvc-lock"}, {there})
        self.assertEqual(daemon.put(coming, data), 204)
        return taken

    def test_grace(self) -> None:
        """Transfers that take longer than the grace are cut and undone. The status is still 0."""
        taken = self.cut(self.daemon('[server]\ngrace = "1 s"\n'), 1)
        self.assertTrue(1 <= taken < 30, taken)

    def test_second_signal(self) -> None:
        """A second SIGTERM ends the grace."""
        taken = self.cut(self.daemon('[server]\ngrace = "1 h"\n'), 2)
        self.assertLess(taken, 30)

    def test_signal_during_start(self) -> None:
        """SIGTERM at any moment of the start ends it without a traceback."""
        for delay in (0.4, 0.6, 0.8):
            process = subprocess.Popen(
                [*TWISTD, "-n", "imgsvc", "--listen", "tcp:0:interface=127.0.0.1"],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            time.sleep(delay)
            process.send_signal(signal.SIGTERM)
            text = process.communicate(timeout=PATIENCE)[0].decode()
            self.assertIn(process.returncode, (0, -signal.SIGTERM))
            self.assertNotIn("Traceback", text)

    def test_interrupt(self) -> None:
        """SIGINT stops the daemon in the same way. twistd then ends by that signal, as a terminal expects."""
        daemon = self.daemon()
        daemon.signal(signal.SIGINT)
        assert daemon.process is not None
        self.assertEqual(daemon.process.wait(PATIENCE), -signal.SIGINT)
        self.assertTrue(re.search(r"imgsvc.daemon.server stopped$", daemon.log(), re.MULTILINE))
