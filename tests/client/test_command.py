"""The command as a process, against an Image API that also breaks."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.client.memory_api import Data, MemoryImageApi
from tests.client.scenarios import LIMIT, ClientProcesses, ClientScenarios, environment
from tests.support.waiting import heed_interrupts

MEBIBYTE = 1024 * 1024


class CommandTestCase(SynchronousTestCase, ClientProcesses):
    def setUp(self) -> None:
        self.api = MemoryImageApi()
        self.api.start()
        self.addCleanup(self.api.stop)
        self.endpoint = self.api.endpoint
        self.prepare()


class Terminal:
    """The command with a terminal as its standard error."""

    def __init__(self, case: CommandTestCase, *arguments: str | Path) -> None:
        self._master, slave = pty.openpty()
        case.addCleanup(os.close, self._master)
        command = [sys.executable, "-m", "imgsvc.client", "--endpoint", case.endpoint, *map(str, arguments)]
        self.process = subprocess.Popen(
            command,
            cwd=case.folder,
            env=environment(),
            stderr=slave,
            stdout=subprocess.DEVNULL,
            preexec_fn=heed_interrupts,
        )
        os.close(slave)
        case.addCleanup(self.process.wait)
        case.addCleanup(self.process.kill)
        self.shown = b""

    def read_until(self, wanted: bytes) -> None:
        """Wait until `wanted` stands on the terminal."""
        while wanted not in self.shown:
            self.shown += os.read(self._master, 4096)

    def end(self) -> int:
        """Wait for the end. The exit code."""
        try:
            while more := os.read(self._master, 4096):
                self.shown += more
        except OSError:
            pass  # the other side of a terminal is closed: Linux has no other word for its end
        return self.process.wait(LIMIT)


class CommandTests(ClientScenarios, CommandTestCase):
    """All scenarios against the API in memory."""


class FaultTests(CommandTestCase):
    def test_refused_upload(self) -> None:
        """A refusal is shown in the server's words, and the new image is deleted again."""
        self.api.faults.refuse_data = (413, "The <b>quota</b> is\x1b[31m used up.")
        path = self.file("source", b"")
        os.truncate(path, 300_000_000)
        done = self.imgsvc("upload", path, code=1)
        self.assertIn("The server refused (413): The quota is [31m used up.\n", done.stderr)
        self.assertNotIn("\x1b", done.stderr)
        self.assertEqual((self.api.images, done.stdout), ({}, ""))

    def test_keep(self) -> None:
        """With --keep the image stays, and takes the bytes of a later upload."""
        self.api.faults.refuse_data = (413, "Full.")
        self.imgsvc("upload", self.file("source", b"abc"), "--keep", code=1)
        [image_id] = self.api.images
        self.api.faults.refuse_data = None
        self.assertEqual(self.upload(b"abc", "--id", image_id), image_id)
        self.assertEqual(self.api.images[image_id]["status"], "active")

    def test_broken_upload(self) -> None:
        """An upload whose connection breaks is incomplete, and the new image is deleted again."""
        self.api.faults.cut_uploads_after = 1
        self.imgsvc("upload", self.file("source", bytes(5_000_000)), code=5)
        self.assertEqual(self.api.images, {})

    def test_wrong_upload(self) -> None:
        """An upload that does not verify has an exit code of its own; a protected image is deleted as well."""
        self.api.faults.store_wrong = True
        done = self.imgsvc("upload", self.file("source", b"abc"), "--protected", code=4)
        self.assertIn("does not verify", done.stderr)
        self.assertEqual(self.api.images, {})

    def test_undeletable(self) -> None:
        """An image that cannot be deleted again is named."""
        image_id = self.api.add(b"x", protected=True)["id"]
        done = self.imgsvc("delete", image_id, code=1)
        self.assertEqual(
            done.stderr,
            f"Image {image_id} was not deleted. The server refused (403): "
            f"Image {image_id} is protected and cannot be deleted.\n",
        )

    def test_wrong_download(self) -> None:
        """A download that does not verify keeps its bytes under another name."""
        image_id = self.api.add(b"abc")["id"]
        self.api.faults.send_wrong = True
        done = self.imgsvc("download", image_id, "-o", "out", code=4)
        self.assertIn("kept as out.bad", done.stderr)
        self.assertEqual(sorted(os.listdir(self.folder)), ["out.bad"])
        self.imgsvc("download", image_id, "-o", "-", code=4)

    def test_hostile_format(self) -> None:
        """What the server says does not lead to another folder."""
        image_id = self.api.add(b"abc", disk_format="/../../x")["id"]
        self.imgsvc("download", image_id)
        self.assertEqual(os.listdir(self.folder), [f"{image_id}._______x"])

    def test_closed_output(self) -> None:
        """A reader that goes away ends the command, without a traceback."""
        image_id = self.api.add(os.urandom(3_000_000))["id"]
        for number in range(500):
            self.api.add(name=f"image {number}" * 20)
        for arguments in (["download", image_id, "-o", "-"], ["list"]):
            process = subprocess.Popen(
                [sys.executable, "-m", "imgsvc.client", "--endpoint", self.endpoint, *arguments],
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            assert process.stdout is not None and process.stderr is not None
            process.stdout.close()
            message = process.stderr.read()
            process.stderr.close()
            self.assertEqual((process.wait(LIMIT), b"Traceback" in message), (6, False), message)

    def test_no_output(self) -> None:
        """Without a standard output an image cannot be written there."""
        image_id = self.api.add(b"abc")["id"]
        command = [sys.executable, "-m", "imgsvc.client", "--endpoint", self.endpoint, "download", image_id, "-o", "-"]
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" >&-', "sh", *command],
            env=environment(),
            stderr=subprocess.PIPE,
            timeout=LIMIT,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (6, b"standard output: closed\n"))

    def test_odd_name(self) -> None:
        """A file whose name is not UTF-8 makes an image whose name is."""
        path = os.path.join(os.fsencode(self.folder), b"\xff.img")
        with open(path, "wb"):
            pass
        self.imgsvc("upload", os.fsdecode(path))
        [image] = self.api.images.values()
        self.assertEqual(image["name"], "\ufffd.img")

    def test_endpoint_variables(self) -> None:
        """The endpoint and the credentials are taken from the environment."""
        for variable in ("IMGSVC_ENDPOINT", "OS_IMAGE_ENDPOINT", "OS_ENDPOINT"):
            settings = {variable: self.endpoint, "OS_TOKEN": "secret", "IMGSVC_USER": "ann", "IMGSVC_PASSWORD": "pw"}
            subprocess.run(
                [sys.executable, "-m", "imgsvc.client", "list"],
                env={**environment(), **settings},
                check=True,
                capture_output=True,
                timeout=LIMIT,
            )
            headers = self.api.seen.pop().headers
            self.assertEqual((headers["x-auth-token"], headers["authorization"]), ("secret", "Basic YW5uOnB3"))


class InterruptionTests(CommandTestCase):
    def test_progress(self) -> None:
        """A terminal sees how far it is; a pipe does not."""
        image_id = self.api.add(bytes(3_000_000))["id"]
        terminal = Terminal(self, "download", image_id, "-o", "out")
        self.assertEqual(terminal.end(), 0)
        self.assertIn(b"Downloading  100 %  3.0 MB of 3.0 MB", terminal.shown)
        self.assertIn(b"Verifying  100 %", terminal.shown)
        self.assertNotIn("%", self.imgsvc("download", image_id, "-o", "out").stderr)

    def begin_download(self) -> tuple[str, bytes, Terminal]:
        """A download that hangs after some bytes of its one piece."""
        content = os.urandom(5_000_000)
        image_id = self.api.add(content)["id"]
        self.api.faults.stall_downloads_after = 2_000_000
        terminal = Terminal(self, "download", image_id, "-o", "out")
        terminal.read_until(b"MB of 5.0 MB")
        self.api.faults.stall_downloads_after = None
        return image_id, content, terminal

    def test_interrupted_download(self) -> None:
        """Ctrl-C keeps what has arrived and says how to go on, which then fetches only the rest."""
        for number in (signal.SIGINT, signal.SIGTERM):
            image_id, content, terminal = self.begin_download()
            terminal.process.send_signal(number)
            self.assertEqual(terminal.end(), 5)
            self.assertIn(b"go on with --continue -o out", terminal.shown)
            self.assertIn(b"Interrupted.", terminal.shown)
            self.assertNotIn(b"Traceback", terminal.shown)
            self.imgsvc("download", image_id, "-o", "out", "--continue")
            self.assertEqual((self.folder / "out").read_bytes() == content, True)
            begin = int(self.api.seen[-1].headers["range"].removeprefix("bytes=").split("-")[0])
            self.assertGreater(begin, 0)
            self.assertEqual(os.listdir(self.folder), ["out"])

    def test_killed_download(self) -> None:
        """A download that was killed goes on too."""
        image_id, content, terminal = self.begin_download()
        terminal.process.kill()
        terminal.end()
        self.imgsvc("download", image_id, "-o", "out", "--continue")
        self.assertEqual((self.folder / "out").read_bytes() == content, True)

    def test_interrupted_upload(self) -> None:
        """Ctrl-C during an upload deletes the new image."""
        self.api.faults.stall_uploads_after = 1
        path = self.file("source", b"")
        os.truncate(path, 100_000_000)
        terminal = Terminal(self, "upload", path)
        terminal.read_until(b"MB of 100 MB")
        terminal.process.send_signal(signal.SIGINT)
        self.assertEqual(terminal.end(), 5)
        self.assertIn(b"was deleted again", terminal.shown)
        self.assertNotIn(b"Traceback", terminal.shown)
        self.assertEqual(self.api.images, {})

    def test_interrupted_twice(self) -> None:
        """A second Ctrl-C does not wait for a server that does not let the first one clean up."""
        self.api.faults.stall_uploads_after = 1
        self.api.faults.stall_deletes = True
        path = self.file("source", b"")
        os.truncate(path, 100_000_000)
        terminal = Terminal(self, "upload", path)
        terminal.read_until(b"MB of 100 MB")
        terminal.process.send_signal(signal.SIGINT)
        self.assertTrue(self.api.deleting.wait(LIMIT))
        terminal.process.send_signal(signal.SIGINT)
        self.assertEqual(terminal.end(), -signal.SIGINT)
        self.assertNotIn(b"Traceback", terminal.shown)


class MemoryTests(CommandTestCase):
    """The size of an image does not show in the size of the process."""

    BOUND = 24 * MEBIBYTE

    def peak(self, *arguments: str | Path) -> int:
        done = self.python("-m", "tests.client.measured", self.folder / "peak", "--endpoint", self.endpoint, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return int((self.folder / "peak").read_text()) * 1024

    def test_upload(self) -> None:
        """Uploading 1 GiB takes hardly more memory than uploading a byte."""
        small = self.peak("upload", self.file("small", b"x"))
        path = self.file("large", b"")
        os.truncate(path, 1024 * MEBIBYTE)
        self.assertLess(self.peak("upload", path) - small, self.BOUND)

    def test_download(self) -> None:
        """Downloading 1 GiB takes hardly more memory than downloading a byte."""
        size = 1024 * MEBIBYTE
        zeros = "cd573cfaace07e7949bc0c46028904ff"
        image_id = self.api.add()["id"]
        self.api.fill(image_id, Data(size, None, zeros, ""))
        small_id = self.api.add(b"x")["id"]
        small = self.peak("download", small_id, "-o", "small")
        self.assertLess(self.peak("download", image_id, "-o", "large") - small, self.BOUND)
        os.unlink(self.folder / "large")
