"""Media and databases that fail. The client gets the status of the table, nothing is kept, and the daemon goes on."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE

from twisted.trial.unittest import SkipTest

from imgsvc import page_cache
from tests.daemon.rig import DaemonTestCase, Download, Injection, Transfer, detail, end, files, hanging_threads
from tests.support.daemon import Daemon

MIB = 1 << 20
WRITES = "pwritev,pwritev2,pwrite64,write,writev"
THROTTLE = Path("/sys/fs/cgroup/blkio")
FAILED = r"error imgsvc\.catalogue\.database \[req-[0-9a-f-]+\] The database failed: "


class FaultTestCase(DaemonTestCase):
    """Rules that hold after a fault."""

    def assert_nothing_kept(self, daemon: Daemon, image_id: str, folder: Path) -> None:
        """The image is queued, and none of its data is there."""
        self.wait_for_status(daemon, image_id, "queued")
        image = daemon.show(image_id)
        for field in ("size", "checksum", "os_hash_value", "virtual_size"):
            self.assertIsNone(image[field], field)
        self.wait(lambda: not [name for name in files(folder) if image_id in name], "no file")

    def assert_goes_on(self, daemon: Daemon, image_id: str, data: bytes = b"small") -> None:
        """The image takes other data."""
        self.assertEqual(daemon.put(image_id, data), 204)
        self.assertEqual(daemon.get(image_id), data)
        self.assert_no_traceback(daemon)

    def when_unused(self, *command: str) -> None:
        """Run a command on a file system as soon as no upload keeps a file of it open."""
        self.wait(lambda: subprocess.run(command, stderr=DEVNULL, check=False).returncode == 0, " ".join(command))

    def hang(self, daemon: Daemon, part: Path) -> subprocess.Popen[bytes]:
        """Let writes to a file take ten minutes from now on. The first MiB that was sent is written before."""
        self.wait(lambda: part.stat().st_size >= MIB, "the first bytes")
        return self.inject(daemon, Injection(WRITES, "delay_enter=600000000", part))


class StoreFaultTests(FaultTestCase):
    """The medium of a file store."""

    def on(self, mount: Path, more: str = "") -> Daemon:
        return self.daemon(f'[stores.local]\nkind = "file"\npath = "{mount}/images"\n{more}')

    def test_full(self) -> None:
        """More data than fits is 413, whether the size was announced or not."""
        mount = self.mount("8m")
        daemon = self.on(mount)
        image_id = daemon.image()
        self.assertEqual(Transfer(daemon, image_id, 16 * MIB).status(), 413)
        self.assert_nothing_kept(daemon, image_id, mount / "images")
        upload = Transfer(daemon, image_id, None)
        upload.send_chunks(b"x" * MIB for _ in range(16))
        self.assertEqual(upload.status(), 413)
        self.assert_nothing_kept(daemon, image_id, mount / "images")
        self.wait_for_log(daemon, f"cannot write {mount}/images/.{image_id}")
        self.assert_goes_on(daemon, image_id, os.urandom(7 * MIB))

    def test_no_inodes(self) -> None:
        """No inode left is 413."""
        mount = self.mount("8m,nr_inodes=5")  # the root, the folder, the lock, and two of the test
        daemon = self.on(mount)
        (mount / "one").touch()
        (mount / "two").touch()
        image_id = daemon.image()
        self.assertEqual(daemon.put(image_id, b"x"), 413)
        (mount / "one").unlink()
        (mount / "two").unlink()  # in a tmpfs a link takes one too
        self.assert_goes_on(daemon, image_id)

    def fail_in(self, calls: str, error: str) -> int:
        """The status of an upload whose file fails in this way in the middle."""
        daemon = self.daemon()
        folder = daemon.data / "images"
        image_id = daemon.image()
        upload = Transfer(daemon, image_id, 4 * MIB).send(b"x" * MIB)
        strace = self.inject(daemon, Injection(calls, f"error={error}", self.part(image_id, folder)))
        upload.send(b"x" * 3 * MIB)
        status = upload.status()
        end(strace)
        self.assert_nothing_kept(daemon, image_id, folder)
        lines = [line for line in daemon.log().splitlines() if error in line and "imgsvc.stores" in line]
        self.assertEqual(len(lines), 1, daemon.log())
        self.assert_goes_on(daemon, image_id)
        return status

    def test_write_error(self) -> None:
        """EIO in a write is 503."""
        self.assertEqual(self.fail_in(WRITES, "EIO"), 503)

    def test_sync_error(self) -> None:
        """EIO when the data is flushed to the disk is 503."""
        self.assertEqual(self.fail_in("fsync,fdatasync", "EIO"), 503)

    def test_disk_quota(self) -> None:
        """EDQUOT is 413, like a full medium."""
        self.assertEqual(self.fail_in(WRITES, "EDQUOT"), 413)

    def test_read_only(self) -> None:
        """If a medium becomes read-only, uploads are 503, deletions 403, and all images stay."""
        mount = self.mount()
        daemon = self.on(mount, '[server]\nreaper_interval = "1 s"\n')
        there, image_id = daemon.image(), daemon.image()
        self.assertEqual(daemon.put(there, b"there"), 204)
        self.when_unused("mount", "-o", "remount,ro", str(mount))
        self.assertEqual(daemon.put(image_id, b"x" * MIB), 503)
        self.assert_nothing_kept(daemon, image_id, mount / "images")
        self.assertEqual(daemon.get(there), b"there")
        self.assertEqual(daemon.request("DELETE", f"/v2/images/{there}")[0], 403)
        subprocess.run(["mount", "-o", "remount,rw", str(mount)], check=True)
        self.assertEqual(daemon.get(there), b"there")
        self.assertEqual(daemon.request("DELETE", f"/v2/images/{there}")[0], 204)
        self.assertEqual(files(mount / "images"), set())
        self.assert_goes_on(daemon, image_id)

    def test_not_mounted(self) -> None:
        """If the medium is gone, the response is 503, and nothing is written into the folder below the mount point."""
        mount = self.mount()
        daemon = self.on(mount)
        there, image_id = daemon.image(), daemon.image()
        self.assertEqual(daemon.put(there, b"there"), 204)
        self.when_unused("umount", str(mount))
        self.addCleanup(
            subprocess.run, ["mount", "-t", "tmpfs", "none", str(mount)], check=True
        )  # for the other cleanup
        (mount / "images").mkdir()
        self.assertEqual(daemon.put(image_id, b"x"), 503)
        self.assertEqual(daemon.request("GET", f"/v2/images/{there}/file")[0], 503)
        self.assertEqual(daemon.show(image_id)["status"], "queued")
        self.assertEqual(os.listdir(mount / "images"), [])
        self.assert_no_traceback(daemon)

    def test_hanging(self) -> None:
        """A store that hangs stalls its own uploads, and nothing else."""
        stores = (
            '[stores]\ndefault = "a"\n[stores.a]\nkind = "file"\npath = "a"\n[stores.b]\nkind = "file"\npath = "b"\n'
        )
        daemon = self.daemon(stores)
        slow, quick = daemon.image(), daemon.image()
        upload = Transfer(daemon, slow, 8 * MIB).send(b"x" * MIB)
        part = self.part(slow, daemon.data / "a")
        strace = self.hang(daemon, part)
        upload.send(b"x" * MIB)
        hanging = self.wait(lambda: hanging_threads(daemon.pid, part), "a thread that hangs")
        self.assertEqual(daemon.put(quick, b"x" * 8 * MIB, **{"X-Image-Meta-Store": "b"}), 204)
        self.assertEqual(len(daemon.get(quick)), 8 * MIB)
        self.assertEqual(daemon.show(slow)["status"], "saving")
        self.assertEqual(hanging_threads(daemon.pid, part), hanging)
        end(strace)
        self.assertEqual(upload.send(b"x" * 6 * MIB).status(), 204)

    def test_hanging_at_the_end(self) -> None:
        """A store that hangs does not keep the daemon from stopping. Its upload is undone later."""
        daemon = self.daemon('[server]\ngrace = "0 s"\nupload_lease = "1 s"\nreaper_interval = "1 s"\n')
        image_id = daemon.image()
        upload = Transfer(daemon, image_id, 8 * MIB).send(b"x" * MIB)
        part = self.part(image_id, daemon.data / "images")
        strace = self.hang(daemon, part)
        upload.send(b"x" * 7 * MIB)
        self.wait(lambda: hanging_threads(daemon.pid, part), "a thread that hangs")
        daemon.signal(signal.SIGTERM)
        # It has ended, except the thread that strace still holds.
        self.wait(lambda: "State:\tZ" in Path(f"/proc/{daemon.pid}/status").read_text(), "the end")
        end(strace)
        self.assertEqual(daemon.stop(), 0)
        self.assertIn("the threads local-files hang", daemon.log())
        daemon.start()
        self.assert_nothing_kept(daemon, image_id, daemon.data / "images")
        self.assert_goes_on(daemon, image_id)


class ReadingTests(FaultTestCase):
    """The file of an image that is being downloaded."""

    def begin(self) -> tuple[Daemon, Path, bytes, Download, bytes]:
        """A download that has read its first MiB of many."""
        daemon = self.daemon()
        data = os.urandom(32 * MIB)
        image_id = daemon.image()
        self.assertEqual(daemon.put(image_id, data), 204)
        download = Download(daemon, image_id)
        return daemon, daemon.data / "images" / image_id, data, download, download.read(MIB)

    def test_truncated(self) -> None:
        """If a file becomes shorter, the connection is cut, and the body is not padded."""
        daemon, file, data, download, first = self.begin()
        os.truncate(file, 20 * MIB)
        received = first + download.rest()
        self.assertLessEqual(len(received), 20 * MIB)
        self.assertEqual(received, data[: len(received)])
        self.wait_for_log(daemon, "before its end")
        self.assert_no_traceback(daemon)

    def test_missing(self) -> None:
        """If a file is removed by hand, the running download goes on, and later ones are 503 until it is back."""
        daemon, file, data, download, first = self.begin()
        file.unlink()
        self.assertEqual(first + download.rest(), data)
        for content in (None, data[:-1], data + b"x"):
            if content is not None:
                file.write_bytes(content)
            self.assertEqual(daemon.request("GET", f"/v2/images/{file.name}/file")[0], 503)
            self.assertEqual(daemon.request("GET", "/healthcheck")[0], 200)
            self.wait(lambda: "store local: OBJECTS MISSING" in detail(daemon), "the finding")
        file.write_bytes(data)
        self.assertEqual(daemon.get(file.name), data)
        self.wait(lambda: "store local: OK" in detail(daemon), "the end of the finding")
        self.assert_no_traceback(daemon)

    def test_deleted(self) -> None:
        """If an image is deleted, the running download goes on to its end."""
        daemon, file, data, download, first = self.begin()
        self.assertEqual(daemon.request("DELETE", f"/v2/images/{file.name}")[0], 204)
        self.assertFalse(file.exists())
        self.assertEqual(first + download.rest(), data)
        self.assertEqual(daemon.request("GET", f"/v2/images/{file.name}/file")[0], 404)
        self.assert_no_traceback(daemon)

    def test_deactivated(self) -> None:
        """If an image is deactivated, the running download goes on to its end."""
        daemon, file, data, download, first = self.begin()
        self.assertEqual(daemon.request("POST", f"/v2/images/{file.name}/actions/deactivate")[0], 204)
        self.assertEqual(daemon.show(file.name)["status"], "deactivated")
        self.assertEqual(first + download.rest(), data)
        self.assert_no_traceback(daemon)

    def test_slow_disk(self) -> None:
        """While the daemon waits for a disk, other requests are answered at once."""
        device, mount = self.disk(40)
        daemon = self.daemon(f'[stores.local]\nkind = "file"\npath = "{mount}/images"\n')
        data = os.urandom(8 * MIB)
        cold, warm = daemon.image(), daemon.image()
        self.assertEqual(daemon.put(cold, data), 204)
        self.assertEqual(daemon.put(warm, data[:MIB]), 204)
        self.throttle(daemon, device, 2 * MIB)
        self.when_unused("umount", str(mount))  # which also drops its pages from memory
        subprocess.run(["mount", device, str(mount)], check=True)
        self.assertEqual(daemon.get(warm), data[:MIB])
        waits = []
        with ThreadPoolExecutor(1) as threads:
            begun = time.monotonic()
            slow = threads.submit(daemon.get, cold)
            while not slow.done():
                asked = time.monotonic()
                self.assertEqual(daemon.show(cold)["status"], "active")
                self.assertEqual(daemon.get(warm), data[:MIB])
                waits.append(time.monotonic() - asked)
            taken = time.monotonic() - begun
        self.assertEqual(slow.result(), data)
        self.assertGreater(taken, 2)  # otherwise the disk was not slow
        self.assertGreater(len(waits), 10)
        self.assertLess(max(waits), 1.5)  # 4 MiB, which are read at a time, take 2

    def test_page_on_its_way(self) -> None:
        """A page that the disk has not yet delivered does not count as in memory, although the kernel has
        allocated it.
        """
        device, mount = self.disk(8)
        file = mount / "file"
        file.write_bytes(os.urandom(128 << 10))
        subprocess.run(["umount", str(mount)], check=True)
        subprocess.run(["mount", device, str(mount)], check=True)
        fd = os.open(file, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        reading = subprocess.Popen(["sh", "-c", f"read go; exec cat {file}"], stdin=PIPE, stdout=DEVNULL)
        assert reading.stdin is not None
        self.throttle(reading, device, 32 << 10)
        reading.stdin.write(b"go\n")
        reading.stdin.close()
        while not page_cache.cached_pages(fd, 0, 1):
            self.assertIsNone(reading.poll())
        self.assertFalse(page_cache.resident(fd, 0, 1))
        self.assertEqual(reading.wait(), 0)
        self.assertTrue(page_cache.resident(fd, 0, 1))

    def disk(self, size: int) -> tuple[str, Path]:
        """A disk of so many MiB, and its mount point."""
        image, mount = self.folder / "disk", self.folder / "mount"
        mount.mkdir()
        with image.open("wb") as file:
            file.truncate(size * MIB)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
        device = subprocess.check_output(["losetup", "-f", "--show", str(image)], text=True).strip()
        self.addCleanup(subprocess.run, ["losetup", "-d", device], check=True)
        subprocess.run(["mount", device, str(mount)], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", str(mount)], check=True)
        return device, mount

    def throttle(self, process: Daemon | subprocess.Popen[bytes], device: str, rate: int) -> None:
        """Limit how many bytes a second a process may read from a disk."""
        if not (THROTTLE / "blkio.throttle.io_serviced").exists():
            raise SkipTest("this kernel has no blkio controller of version 1 to make a disk slow with")
        group = THROTTLE / self.folder.name
        group.mkdir()
        self.addCleanup(group.rmdir)
        self.addCleanup(process.kill)
        number = os.stat(device).st_rdev
        (group / "blkio.throttle.read_bps_device").write_text(f"{os.major(number)}:{os.minor(number)} {rate}")
        (group / "cgroup.procs").write_text(str(process.pid))


class DatabaseFaultTests(FaultTestCase):
    """The SQLite file."""

    TOML = '[database]\nbusy_timeout = "1 s"\n[server]\nupload_lease = "3 s"\nreaper_interval = "1 s"\n'
    PATIENT = '[database]\nbusy_timeout = "60 s"\n'

    @contextmanager
    def locked(self, daemon: Daemon) -> Iterator[None]:
        """Hold the lock, like another process with a long write."""
        with closing(sqlite3.connect(daemon.data / "imgsvc.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    def create(self, daemon: Daemon) -> int:
        return daemon.request("POST", "/v2/images", body=b'{"disk_format": "raw", "container_format": "bare"}')[0]

    def test_locked(self) -> None:
        """While another process holds the lock, writes are 503 after a time, and reads succeed."""
        daemon = self.daemon(self.TOML)
        there, queued = daemon.image(), daemon.image()
        self.assertEqual(daemon.put(there, b"there"), 204)
        with self.locked(daemon):
            self.assertEqual(self.create(daemon), 503)
            self.assertEqual(daemon.put(queued, b"x"), 503)
        self.assertRegex(daemon.log(), FAILED + "database is locked")
        self.assertEqual(self.create(daemon), 201)
        self.assert_goes_on(daemon, queued)

    def test_reads_beside_a_lock(self) -> None:
        """Reads do not wait for writes that wait."""
        daemon = self.daemon(self.PATIENT)
        there = daemon.image()
        self.assertEqual(daemon.put(there, b"there"), 204)
        with ThreadPoolExecutor(1) as threads, self.locked(daemon):
            writing = threads.submit(self.create, daemon)
            for _ in range(10):
                self.assertEqual(daemon.show(there)["status"], "active")
                self.assertEqual(daemon.get(there), b"there")
                self.assertEqual(daemon.request("GET", "/v2/images")[0], 200)
            self.assertFalse(writing.done())
        self.assertEqual(writing.result(), 201)

    def test_locked_for_a_moment(self) -> None:
        """Running uploads survive a lock that is held for a moment."""
        daemon = self.daemon(self.PATIENT)
        image_id = daemon.image()
        upload = Transfer(daemon, image_id, 2 * MIB).send(b"x" * MIB)
        self.wait_for_status(daemon, image_id, "saving")
        with self.locked(daemon):
            upload.send(b"x" * MIB)
            self.wait(lambda: image_id in files(daemon.data / "images"), "the bytes have their name")
            time.sleep(0.5)  # and the catalogue must be changed
        self.assertEqual(upload.status(), 204)
        self.assertEqual(daemon.get(image_id), b"x" * 2 * MIB)

    def test_locked_at_the_end_of_an_upload(self) -> None:
        """An upload that cannot be activated is undone, by the reaper if necessary."""
        daemon = self.daemon(self.TOML)
        image_id = daemon.image()
        upload = Transfer(daemon, image_id, 2 * MIB).send(b"x" * MIB)
        self.wait_for_status(daemon, image_id, "saving")
        with self.locked(daemon):
            upload.send(b"x" * MIB)
            self.assertEqual(upload.status(), 503)
        self.assert_nothing_kept(daemon, image_id, daemon.data / "images")
        self.assert_goes_on(daemon, image_id)

    def test_full(self) -> None:
        """Without space for the database, writes are 503 until there is some, and reads succeed."""
        data, images = self.mount("4m"), self.folder / "images"
        daemon = self.daemon(f'{self.TOML}[stores.local]\nkind = "file"\npath = "{images}"\n', data=data)
        there, queued = daemon.image(), daemon.image()
        self.assertEqual(daemon.put(there, b"there"), 204)
        filler = data / "filler"
        with self.assertRaises(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        status = 201
        for _ in range(300):  # writes that fit into the existing write-ahead log
            if status == 201:
                status = self.create(daemon)
        self.assertEqual(status, 503)
        self.assertEqual(daemon.put(queued, b"x"), 503)
        self.assertEqual(daemon.get(there), b"there")
        self.assertEqual(daemon.request("GET", "/v2/images")[0], 200)
        self.assertRegex(daemon.log(), FAILED + "database or disk is full")
        filler.unlink()
        self.assertEqual(self.create(daemon), 201)
        self.wait_for_status(daemon, queued, "queued")
        self.assert_goes_on(daemon, queued)

    def test_full_of_images(self) -> None:
        """On a disk that images and the catalogue share, uploads fail before it is full."""
        data = self.mount("96m")
        daemon = self.daemon(self.TOML, data=data)
        image_id = daemon.image()
        upload = Transfer(daemon, image_id, None)
        upload.send_chunks(b"x" * MIB for _ in range(96))
        self.assertEqual(upload.status(), 413)
        self.assert_nothing_kept(daemon, image_id, data / "images")
        self.assertEqual(Transfer(daemon, image_id, 64 * MIB).status(), 413)
        self.assertEqual(self.create(daemon), 201)
        self.assert_goes_on(daemon, image_id, os.urandom(32 * MIB))

    def test_delete_on_full_disk(self) -> None:
        """However full the disk is, images can be deleted, and this makes room."""
        data = self.mount("96m")
        daemon = self.daemon(self.TOML, data=data)
        images = [daemon.image() for _ in range(40)]
        self.assertEqual(daemon.put(images[0], os.urandom(32 * MIB)), 204)
        filler = data / "filler"
        with self.assertRaises(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        while self.create(daemon) == 201:
            pass  # writes that fit into the existing write-ahead log
        for image_id in reversed(images):
            self.assertEqual(daemon.request("DELETE", f"/v2/images/{image_id}")[0], 204)
        self.wait(lambda: not files(data / "images"), "the bytes gone")
        self.assertEqual(self.create(daemon), 201)
        self.wait_for_log(daemon, "The disk of the catalogue is full")

    def test_hangs(self) -> None:
        """A disk that does not respond does not keep the daemon from stopping."""
        daemon = self.daemon('[server]\ngrace = "0 s"\n')
        image_id = daemon.image()
        log = daemon.data / "imgsvc.sqlite-wal"
        size = log.stat().st_size
        strace = self.inject(daemon, Injection("fdatasync,fsync", "delay_enter=60000000", log))
        upload = Transfer(daemon, image_id, 1)
        self.wait(lambda: log.stat().st_size > size, "the claim written, and not on the disk")
        daemon.signal(signal.SIGTERM)
        self.wait_for_log(daemon, "Server Shut Down", patience=30)
        end(strace)  # which holds the thread that hangs
        assert daemon.process is not None
        self.assertEqual(daemon.process.wait(20), 0)
        self.assertEqual(upload.status(), 0)
        self.assert_no_traceback(daemon)

    def test_write_error(self) -> None:
        """EIO in the write-ahead log is 503, and writes succeed again after it."""
        daemon = self.daemon(self.TOML)
        image_id = daemon.image()
        log = daemon.data / "imgsvc.sqlite-wal"
        for calls in ("pwrite64", "fdatasync,fsync"):
            strace = self.inject(daemon, Injection(calls, "error=EIO", log))
            self.assertEqual(self.create(daemon), 503)
            end(strace)
            self.assertEqual(self.create(daemon), 201)
        self.assertRegex(daemon.log(), FAILED + "disk I/O error")
        self.assert_goes_on(daemon, image_id)
