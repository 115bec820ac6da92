"""Processes that die, or stop for a while, during uploads and deletions. Nothing is lost or left behind."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing

from attrs import define, evolve, field, frozen

from tests.daemon.rig import (
    LONG_LEASE,
    DaemonTestCase,
    Injection,
    Transfer,
    end,
    expire_leases,
    files,
    statuses,
    thread_states,
)
from tests.support.daemon import Daemon
from tests.support.waiting import PATIENCE

MIB = 1 << 20


@define
class Sent:
    """The data that clients have sent, by image, and the images for which they got a success."""

    data: dict[str, bytes] = field(factory=dict)
    stored: set[str] = field(factory=set)

    def client(self, daemon: Daemon, seed: int, ended: threading.Event) -> None:
        """Create images and upload data until the daemon dies."""
        choice = random.Random(seed)
        headers = {"Content-Type": "application/octet-stream"}
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)
        try:
            while not ended.is_set():
                connection.request("POST", "/v2/images", b'{"disk_format": "raw", "container_format": "bare"}')
                image_id = json.loads(connection.getresponse().read())["id"]
                self.data[image_id] = data = choice.randbytes(choice.choice([0, 1000, 70_000, 300_000, 3_000_000]))
                connection.request("PUT", f"/v2/images/{image_id}/file", data, headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status == 204:
                    self.stored.add(image_id)
        except (OSError, http.client.HTTPException, ValueError):
            pass  # the daemon was killed
        finally:
            connection.close()


class CrashTestCase(DaemonTestCase):
    """Rules that hold after a crash."""

    def images(self, daemon: Daemon) -> set[str]:
        return files(daemon.data / "images")

    def wait_for_order(self, daemon: Daemon, when: str = "") -> None:
        """Wait until every image is active or queued, and the files are those of the active ones."""

        def in_order() -> bool:
            known = statuses(daemon)
            active = {image_id for image_id, status in known.items() if status == "active"}
            return set(known.values()) <= {"active", "queued", "deleted"} and self.images(daemon) == active

        try:
            self.wait(in_order, f"order {when}")
        except self.failureException as error:
            raise self.failureException(f"{error}: {statuses(daemon)}, {self.images(daemon)}") from error

    def assert_whole(self, daemon: Daemon, image_id: str, data: bytes) -> None:
        self.assertEqual(daemon.show(image_id)["os_hash_value"], hashlib.sha512(data).hexdigest())
        self.assertEqual(daemon.get(image_id), data)


class RandomCrashTests(CrashTestCase):
    """kill -9 at any moment."""

    def test_uploads(self) -> None:
        """An upload that was answered with 204 is whole, all others are queued or whole, and no file is left over."""
        choice = random.Random(20)
        sent = Sent()
        daemon = self.daemon(LONG_LEASE)
        for crash in range(6):
            ended = threading.Event()
            clients = [
                threading.Thread(target=sent.client, args=(daemon, crash * 100 + number, ended)) for number in range(8)
            ]
            for client in clients:
                client.start()
            enough = len(sent.stored) + choice.randrange(4, 16)
            self.wait(lambda: len(sent.stored) >= enough, "uploads")  # noqa: B023
            time.sleep(choice.uniform(0, 0.1))  # the moment of the crash
            daemon.kill()
            ended.set()
            for client in clients:
                client.join()
            expire_leases(daemon)
            daemon.start()
        self.wait_for_order(daemon)
        known = statuses(daemon)
        for image_id, data in sent.data.items():
            if known[image_id] == "queued":
                self.assertNotIn(image_id, sent.stored)
                self.assertEqual(daemon.put(image_id, data), 204)
            self.assert_whole(daemon, image_id, data)
        self.wait_for_order(daemon)
        self.assert_no_traceback(daemon)


KILL = "signal=SIGKILL"


@frozen
class Point:
    """A moment at which a daemon dies or stops, and the final status of the image."""

    name: str
    calls: str
    file: str
    """Relative to the data folder. Empty: any file."""
    status: str

    def injection(self, daemon: Daemon, what: str) -> Injection:
        return Injection(self.calls, what, daemon.data / self.file if self.file else None)


LOG = "imgsvc.sqlite-wal"
LINK, UNLINK = "?link,linkat", "?unlink,unlinkat"
AFTER_LINK = Point("after the final link", "fsync", "images", "queued")
IN_COMMIT = Point("in the commit, which is written but not on the disk", "fdatasync,fsync", LOG, "active")
IN_UPLOADS = [
    Point("before the bytes are on the disk", "fsync", "", "queued"),
    Point("before the final link", LINK, "", "queued"),
    AFTER_LINK,
    Point("before the commit", "pwrite64", LOG, "queued"),
    IN_COMMIT,
    Point("before the temporary link is removed", UNLINK, "", "active"),
]
IN_DELETES = [
    Point("before the commit", "pwrite64", LOG, "active"),
    Point("before the unlink", UNLINK, "", "deleted"),
    Point("after the unlink", "fsync", "images", "deleted"),
]


class ChosenCrashTests(CrashTestCase):
    """kill -9 at a system call, which is not made."""

    def setUp(self) -> None:
        super().setUp()
        self.victim = self.daemon(LONG_LEASE)  # writes nothing to the database by itself

    def crash_in_upload(self, point: Point) -> tuple[str, bytes]:
        """Crash in an upload. Returns the image, and the data that was sent."""
        data, image_id = os.urandom(MIB), self.victim.image()
        half = len(data) // 2
        upload = Transfer(self.victim, image_id, len(data)).send(data[:half])
        self.wait_for_status(self.victim, image_id, "saving")
        strace = self.inject(self.victim, point.injection(self.victim, KILL))
        status = upload.send(data[half:]).status()
        self.assertIn(status, (0, 204) if point.calls == UNLINK else (0,))
        self.assert_died(strace)
        return image_id, data

    def crash_in_delete(self, point: Point) -> tuple[str, bytes]:
        """Crash in a deletion. Returns the image and its data."""
        data, image_id = os.urandom(MIB), self.victim.image()
        self.assertEqual(self.victim.put(image_id, data), 204)
        strace = self.inject(self.victim, point.injection(self.victim, KILL))
        with self.assertRaises((OSError, http.client.HTTPException)):
            self.victim.request("DELETE", f"/v2/images/{image_id}")
        self.assert_died(strace)
        return image_id, data

    def assert_died(self, strace: subprocess.Popen[bytes]) -> None:
        assert self.victim.process is not None
        self.assertEqual(self.victim.process.wait(PATIENCE), -signal.SIGKILL)
        end(strace)

    def check(self, daemon: Daemon, image_id: str, data: bytes, point: Point) -> None:
        """The image has the status of the point, and its id can be used accordingly."""
        self.wait_for_order(daemon, point.name)
        self.assertEqual(statuses(daemon)[image_id], point.status, point.name)
        if point.status == "queued":
            self.assertEqual(daemon.put(image_id, data), 204, point.name)
        if point.status == "deleted":
            self.assertEqual(daemon.request("GET", f"/v2/images/{image_id}")[0], 404, point.name)
        else:
            self.assert_whole(daemon, image_id, data)
            self.assertEqual(daemon.request("DELETE", f"/v2/images/{image_id}")[0], 204, point.name)
        self.wait_for_order(daemon, point.name)
        self.assert_no_traceback(daemon)

    def test_uploads(self) -> None:
        """The daemon dies in an upload, and is started again."""
        for point in IN_UPLOADS:
            image_id, data = self.crash_in_upload(point)
            expire_leases(self.victim)
            self.check(self.victim.start(), image_id, data, point)

    def test_deletes(self) -> None:
        """The daemon dies in a deletion, and is started again."""
        for point in IN_DELETES:
            image_id, data = self.crash_in_delete(point)
            self.check(self.victim.start(), image_id, data, point)

    def test_other_process(self) -> None:
        """Another daemon on the same data cleans up after a dead one."""
        other = self.daemon(LONG_LEASE, "other", self.victim.data)
        for crash, points in ((self.crash_in_upload, IN_UPLOADS), (self.crash_in_delete, IN_DELETES)):
            for point in points:
                if point is IN_COMMIT:  # the other process decides whether it counts, and it does not
                    point = evolve(point, status="queued")
                image_id, data = crash(point)
                expire_leases(self.victim)
                self.check(other, image_id, data, point)
                self.victim.start()

    def test_reaper(self) -> None:
        """If a daemon dies while it cleans up after another, the next one does the rest."""
        for call in (Point("unlinks", UNLINK, "", "queued"), Point("between two unlinks", "fsync", "images", "queued")):
            reaper = self.daemon(LONG_LEASE, call.name, self.victim.data)
            image_id, data = self.crash_in_upload(AFTER_LINK)
            self.inject(reaper, call.injection(reaper, KILL))
            expire_leases(self.victim)
            assert reaper.process is not None
            self.assertEqual(reaper.process.wait(PATIENCE), -signal.SIGKILL)
            self.assertEqual(statuses(self.victim)[image_id], "saving")
            expire_leases(self.victim)
            self.check(self.victim.start(), image_id, data, AFTER_LINK)


class StopTests(CrashTestCase):
    """A process that stops for longer than its lease, and goes on after another has taken its image."""

    def setUp(self) -> None:
        super().setUp()
        # It has no other work, in which a stop could hold the lock of the database.
        self.slow = self.daemon('[server]\nupload_lease = "1 h"\nreaper_interval = "1 h"\n')
        self.other = self.daemon(LONG_LEASE, "other", self.slow.data)

    def fence(self, stop: Callable[[Transfer, bytes], None], *, finished: bool = True) -> None:
        """Stop in an upload. Go on when another upload has ended, or, if not `finished`, is halfway."""
        image_id, old, new = self.slow.image(), os.urandom(MIB), os.urandom(MIB)
        upload = Transfer(self.slow, image_id, len(old)).send(old[: MIB // 2])
        self.wait_for_status(self.slow, image_id, "saving")
        stop(upload, old[MIB // 2 :])
        self.let_lease_run_out()
        self.wait_for_status(self.other, image_id, "queued")
        successor = Transfer(self.other, image_id, len(new)).send(new[: MIB // 2])
        self.wait_for_status(self.other, image_id, "saving")
        if finished:
            self.assertEqual(successor.send(new[MIB // 2 :]).status(), 204)
        self.slow.signal(signal.SIGCONT)
        self.assertIn(upload.status(), (0, 410))
        if not finished:
            self.assertEqual(self.other.show(image_id)["status"], "saving")
            self.assertEqual(successor.send(new[MIB // 2 :]).status(), 204)
        self.wait_for_order(self.other)
        self.assert_whole(self.other, image_id, new)
        self.assert_whole(self.slow, image_id, new)
        self.assert_no_traceback(self.slow)
        self.assert_no_traceback(self.other)

    def let_lease_run_out(self) -> None:
        """The slow process has stopped, and its lease has expired."""
        self.wait(lambda: thread_states(self.slow.pid) <= {"T", "t"}, "a stop of all threads")
        expire_leases(self.other)

    def test_while_bytes_come(self) -> None:
        """Stop during the transfer."""

        def stop(upload: Transfer, rest: bytes) -> None:
            self.slow.signal(signal.SIGSTOP)
            upload.send(rest)

        self.fence(stop)

    def stop_at(self, injection: Injection) -> Callable[[Transfer, bytes], None]:
        def stop(upload: Transfer, rest: bytes) -> None:
            self.inject(self.slow, injection)
            upload.send(rest)

        return stop

    def test_before_link(self) -> None:
        """Stop when all data is on the disk."""
        self.fence(self.stop_at(Injection("fsync", "signal=SIGSTOP:when=1")))

    def test_before_activation(self) -> None:
        """Stop when the file has its final name and the image is not active yet."""
        self.fence(self.stop_at(Injection("fsync", "signal=SIGSTOP:when=1", self.slow.data / "images")))

    def test_before_activation_beside_another(self) -> None:
        """The same, while the other upload still runs."""
        stop = self.stop_at(Injection("fsync", "signal=SIGSTOP:when=1", self.slow.data / "images"))
        self.fence(stop, finished=False)

    def test_in_the_lock(self) -> None:
        """While the stopped process holds the lock of a name, no other process changes links. It then undoes
        its own work.
        """
        image_id, old, new = self.slow.image(), os.urandom(MIB), os.urandom(MIB)
        upload = Transfer(self.slow, image_id, len(old)).send(old[: MIB // 2])
        self.wait_for_status(self.slow, image_id, "saving")
        self.inject(self.slow, Injection(LINK, "signal=SIGSTOP:when=1"))
        upload.send(old[MIB // 2 :])
        self.let_lease_run_out()
        self.wait(lambda: claims(self.other)[image_id].startswith("000002"), "taken over")
        self.assertIn(image_id, self.images(self.other))
        self.assertEqual(self.other.show(image_id)["status"], "saving")
        self.slow.signal(signal.SIGCONT)
        self.assertIn(upload.status(), (0, 410))
        self.wait_for_status(self.other, image_id, "queued")
        self.assertEqual(self.other.put(image_id, new), 204)
        self.wait_for_order(self.other)
        self.assert_whole(self.other, image_id, new)
        self.assert_no_traceback(self.slow)
        self.assert_no_traceback(self.other)


def claims(daemon: Daemon) -> dict[str, str]:
    """The ids of the uploads that hold an image, by image."""
    with closing(sqlite3.connect(daemon.data / "imgsvc.sqlite", timeout=10)) as database:
        return dict(database.execute("SELECT resource_id, lease_id FROM leases").fetchall())
