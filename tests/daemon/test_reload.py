"""SIGHUP: the daemon reads its configuration again, and goes on."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from pathlib import Path

from tests.daemon.rig import DaemonTestCase, Download, Transfer
from tests.support.certificates import write_certificate
from tests.support.daemon import Daemon
from tests.support.waiting import children

MIB = 1 << 20


class ReloadTestCase(DaemonTestCase):
    """Each test runs with the daemon alone, and with workers."""

    workers = 1

    def start(self, toml: str = "", name: str = "daemon", **options: str) -> Daemon:
        daemon = self.daemon(self.configuration(toml), name, **options)
        self.wait(lambda: len(children(daemon.pid)) in (self.workers, 0), "all workers")
        return daemon

    def configuration(self, toml: str) -> str:
        return f"server.workers = {self.workers}\n{toml}"

    def hang_up(self, daemon: Daemon, told: int) -> str:
        """Send SIGHUP. Returns the log after it, when `told` processes have logged the outcome."""
        start = len(daemon.log())
        daemon.signal(signal.SIGHUP)
        said = ("reloaded", "not reloaded")
        self.wait(lambda: sum(daemon.log(start).count(f" {each}") for each in said) >= told, "the reload")
        return daemon.log(start)

    def reload(self, daemon: Daemon, toml: str) -> str:
        """Write another configuration and reload. Returns the log."""
        (daemon.folder / "imgsvc.toml").write_text(self.configuration(toml))
        return self.hang_up(daemon, 1)

    def everywhere(self, daemon: Daemon, path: str, status: int) -> None:
        """Every process soon gives this response: on ten connections in a row, which go to any of them."""

        def is_so() -> bool:
            return {daemon.request("GET", path)[0] for _ in range(10)} == {status}

        self.wait(is_so, f"{status} for {path}")


class ReloadTests(ReloadTestCase):
    """The daemon alone."""

    def test_configuration(self) -> None:
        """Reloadable options change, others are named, and the daemon keeps its process and its workers."""
        daemon = self.start()
        workers = children(daemon.pid)
        self.everywhere(daemon, "/v2/images", 200)
        text = self.reload(daemon, 'identity.mode = "proxy"\nserver.memory_budget = "1 GiB"\n')
        self.assertIn("needs a restart: server.memory_budget\n", text)
        self.everywhere(daemon, "/v2/images", 401)
        self.assertEqual(children(daemon.pid), workers)
        self.reload(daemon, "")
        self.everywhere(daemon, "/v2/images", 200)
        self.assertEqual(daemon.stop(), 0)

    def test_new_worker(self) -> None:
        """A worker that replaces another has the new configuration."""
        daemon = self.start()
        self.reload(daemon, 'identity.mode = "proxy"\n')
        for worker in children(daemon.pid):
            os.kill(worker, signal.SIGKILL)
            self.wait(lambda: worker not in children(daemon.pid), "its end")  # noqa: B023
            self.wait(lambda: len(children(daemon.pid)) == self.workers, "another one")
        self.everywhere(daemon, "/v2/images", 401)

    def test_broken(self) -> None:
        """After an invalid configuration the old one stays, and the log says why."""
        daemon = self.start()
        for toml, reason in (
            ("server.portt = 1\n", r"server\.portt: no such option"),
            ("server =\n", "is not TOML"),
            ('policy.file = "absent.yaml"\n', r"absent\.yaml"),
            ('identity.mode = "proxy"\nimages.schema_file = "absent"\n', "absent"),
        ):
            self.assertRegex(self.reload(daemon, toml), f"not reloaded, nothing has changed: .*{reason}")
        self.everywhere(daemon, "/v2/images", 200)
        self.assert_no_traceback(daemon)

    def test_transfers(self) -> None:
        """Running transfers go on to their end."""
        data = os.urandom(16 * MIB)
        daemon = self.start()
        there, coming = daemon.image(), daemon.image()
        self.assertEqual(daemon.put(there, data), 204)
        download = Download(daemon, there)
        first = download.read(MIB)
        upload = Transfer(daemon, coming, len(data)).send(data[:MIB])
        self.wait_for_status(daemon, coming, "saving")
        self.reload(daemon, "images.size_cap = 1\n")
        self.wait(lambda: daemon.put(daemon.image(), b"two") == 413, "the new limit")
        self.assertEqual(upload.send(data[MIB:]).status(), 204)
        self.assertEqual(first + download.rest(), data)

    def test_log_file(self) -> None:
        """After a rotation the log goes on in a new file, also that of workers, even if the configuration is
        invalid.
        """
        log = self.folder / "daemon" / "own.log"
        daemon = Daemon(self.folder / "daemon", self.configuration(""), twistd=("--logfile", str(log)))
        daemon.log_file = log
        self.addCleanup(daemon.end)
        daemon.start()
        log.rename(log.with_suffix(".1"))
        (daemon.folder / "imgsvc.toml").write_text("broken")
        daemon.signal(signal.SIGHUP)
        self.wait(lambda: log.exists() and "not reloaded" in log.read_text(), "the new file")

        def is_logged() -> bool:
            daemon.request("GET", "/v2/images")
            return "GET /v2/images 200" in log.read_text()

        self.wait(is_logged, "a request in the new file")
        size = log.with_suffix(".1").stat().st_size
        for _ in range(5):
            daemon.request("GET", "/v2/images")
        self.assertEqual(log.with_suffix(".1").stat().st_size, size)

    def test_certificate(self) -> None:
        """New connections get the new certificate, and open ones go on. An invalid certificate is not used."""
        pem = self.folder / "server.pem"
        write_certificate(pem)
        before = pem.read_bytes()
        daemon = self.start(listen=f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}")
        self.assertIn(" on https://127.0.0.1:", daemon.log())
        connection = trusting(daemon, pem)
        self.addCleanup(connection.close)
        write_certificate(pem)
        self.assertNotEqual(pem.read_bytes(), before)
        self.hang_up(daemon, 1)
        self.wait(lambda: trusted(daemon, pem), "the new certificate")
        connection.sendall(b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertIn(b"200", connection.recv(100))
        renewed = self.folder / "renewed.pem"
        renewed.write_bytes(pem.read_bytes())
        pem.write_text("broken")
        self.assertRegex(self.hang_up(daemon, 1), r"not reloaded, nothing has changed: server\.listen = 'ssl:")
        self.assertTrue(trusted(daemon, renewed))

    def test_many(self) -> None:
        """SIGHUP ends nothing, from the first moment on and also to the whole process group."""
        daemon = self.start()
        workers = children(daemon.pid)
        for _ in range(20):
            for pid in (daemon.pid, *workers):
                os.kill(pid, signal.SIGHUP)
        self.wait_for_log(daemon, "reloaded")
        self.assertEqual(daemon.request("GET", "/healthcheck")[0], 200)
        self.assertEqual(children(daemon.pid), workers)
        self.assertEqual(daemon.stop(), 0)


class WorkersReloadTests(ReloadTests):
    """The daemon with workers."""

    workers = 2


def trusting(daemon: Daemon, pem: Path) -> ssl.SSLSocket:
    """A connection of a client that trusts only this certificate. Raises ssl.SSLError."""
    context = ssl.create_default_context(cafile=str(pem))
    plain = socket.create_connection(("127.0.0.1", daemon.port), 30)
    try:
        return context.wrap_socket(plain, server_hostname="127.0.0.1")
    except ssl.SSLError:
        plain.close()
        raise


def trusted(daemon: Daemon, pem: Path) -> bool:
    """Whether the daemon uses this certificate, on ten connections in a row."""
    try:
        for _ in range(10):
            trusting(daemon, pem).close()
    except ssl.SSLError:
        return False
    return True
