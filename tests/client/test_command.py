"""The command as a process, with an Image API that also fails."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.client.memory_api import Data, MemoryImageApi
from tests.client.scenarios import LIMIT, ROOT, ClientProcesses, ClientScenarios, environment
from tests.support.waiting import heed_interrupts, wait_for

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

    def __init__(self, case: CommandTestCase, *arguments: str | Path, stdin: int = subprocess.DEVNULL) -> None:
        self._master, slave = pty.openpty()
        case.addCleanup(os.close, self._master)
        command = [sys.executable, "-m", "imgsvc.client", "--endpoint", case.endpoint, *map(str, arguments)]
        self.process = subprocess.Popen(
            command,
            cwd=case.folder,
            env=environment(),
            stdin=stdin,
            stderr=slave,
            stdout=subprocess.DEVNULL,
            preexec_fn=heed_interrupts,
        )
        os.close(slave)
        case.addCleanup(self.process.wait)
        case.addCleanup(self.process.kill)
        self.shown = b""

    def read_until(self, wanted: bytes) -> None:
        """Wait until the terminal shows `wanted`."""
        while wanted not in self.shown:
            self.shown += os.read(self._master, 4096)

    def end(self) -> int:
        """Wait for the end. Returns the exit code."""
        try:
            while more := os.read(self._master, 4096):
                self.shown += more
        except OSError:
            pass  # Linux reports the end of a terminal only by this error
        return self.process.wait(LIMIT)


class CommandTests(ClientScenarios, CommandTestCase):
    """All scenarios with the API in memory."""


class FaultTests(CommandTestCase):
    def test_refused_upload(self) -> None:
        """A refusal is shown with the server's message, and the new image is deleted."""
        self.api.faults.refuse_data = (413, "The <b>quota</b> is\x1b[31m used up.")
        path = self.file("source", b"")
        os.truncate(path, 300_000_000)
        done = self.imgsvc("upload", path, code=1)
        self.assertIn("The server refused (413): The quota is [31m used up.\n", done.stderr)
        self.assertNotIn("\x1b", done.stderr)
        self.assertEqual((self.api.images, done.stdout), ({}, ""))

    def test_keep(self) -> None:
        """With --keep the image stays, and takes the data of a later upload."""
        self.api.faults.refuse_data = (413, "Full.")
        self.imgsvc("upload", self.file("source", b"abc"), "--keep", code=1)
        [image_id] = self.api.images
        self.api.faults.refuse_data = None
        self.assertEqual(self.upload(b"abc", "--id", image_id), image_id)
        self.assertEqual(self.api.images[image_id]["status"], "active")

    def test_broken_upload(self) -> None:
        """An upload whose connection breaks is incomplete, and the new image is deleted."""
        self.api.faults.cut_uploads_after = 1
        source = self.file("source", bytes(5_000_000))
        said = self.imgsvc("upload", source, "--retries", "0", "--protected", code=5).stderr.splitlines()
        self.assertIn("was lost", said[0])
        self.assertIn("was deleted again", said[1])
        self.assertEqual(self.api.images, {})

    def test_broken_once(self) -> None:
        """A broken upload of a file is repeated, and the user is told why. One of standard input is not."""
        self.api.faults.cut_uploads_after = self.api.faults.cut_uploads = 1
        done = self.imgsvc("upload", self.file("source", bytes(5_000_000)))
        self.assertIn("was lost", done.stderr.splitlines()[0])
        self.assertIn("Trying again in 0.5 s.", done.stderr.splitlines()[0])
        self.assertEqual(self.api.images[done.stdout.strip()]["status"], "active")
        self.api.faults.cut_uploads_after = self.api.faults.cut_uploads = 1
        self.assertNotIn("Trying again", self.imgsvc("upload", "-", given=bytes(5_000_000), code=5).stderr)
        self.assertEqual(list(self.api.images), [done.stdout.strip()])

    def test_lost_answer(self) -> None:
        """An upload whose response was lost succeeds if the image is active with the right data."""
        self.api.faults.lose_answers, self.api.faults.saving = 1, 2
        image_id = self.imgsvc("upload", self.file("source", b"abc")).stdout.strip()
        self.assertEqual(self.api.images[image_id]["status"], "active")
        self.api.faults.lose_answers = 1
        self.assertEqual(self.imgsvc("upload", "-", given=b"abc").stdout.strip() in self.api.images, True)

    def test_still_saving(self) -> None:
        """While the server has not noticed the end of an upload, the user is told once how long this may last."""
        self.api.faults.cut_uploads_after = self.api.faults.cut_uploads = 1
        self.api.faults.saving = 6
        done = self.imgsvc("upload", self.file("source", bytes(5_000_000)))
        image_id = done.stdout.strip()
        waiting, again, _ = done.stderr.splitlines()
        self.assertRegex(
            waiting,
            f"^Image {image_id} is still saving on the server. "
            r"Waiting up to 1\d\d s until it is done or takes bytes again\.$",
        )
        self.assertIn("was lost", again)
        self.assertIn("Trying again in 0.5 s.", again)

    def test_wrong_upload(self) -> None:
        """An image with wrong data is deactivated, not deleted, and the exit code tells. With --keep it stays."""
        self.api.faults.store_wrong = True
        done = self.imgsvc("upload", self.file("source", b"abc"), "--protected", code=4)
        self.assertIn("does not verify", done.stderr)
        self.assertIn("It was deactivated", done.stderr)
        self.assertEqual([image["status"] for image in self.api.images.values()], ["deactivated"])
        self.api.images.clear()
        self.imgsvc("upload", self.file("source", b"abc"), "--keep", code=4)
        self.assertEqual([image["status"] for image in self.api.images.values()], ["active"])

    def test_unknown_who_asks(self) -> None:
        """If the server requires credentials, every command names their options, once."""
        self.api.faults.refuse_all = (401, "Authentication required.")
        source = self.file("source", b"abc")
        for arguments in (
            *(["upload", source], ["download", "x"], ["list"], ["show", "x"], ["delete", "x", "y"], ["stores"]),
            *(["members", "x"], ["share", "x", "y"], ["accept", "x"], ["deactivate", "x", "y"]),
            ["update", "x", "--name", "y"],
        ):
            done = self.imgsvc(*arguments, code=1)
            self.assertEqual(done.stderr.count("Say who you are, before the subcommand: --token"), 1, arguments)
            self.assertIn("(401)", done.stderr.splitlines()[0])

    def test_not_now(self) -> None:
        """A Retry-After is respected. If it is too long, it is reported."""
        self.api.add(b"x")
        self.api.faults.busy, self.api.faults.retry_after = 1, "1"
        done = self.imgsvc("list")
        self.assertEqual((len(done.stdout.splitlines()), len(done.stderr.splitlines())), (2, 1))
        self.assertIn("(503)", done.stderr)
        self.assertIn("Trying again in 1 s.", done.stderr)
        self.api.faults.busy, self.api.faults.retry_after = 1, "7200"
        self.assertIn("It asks to try again in 7200 s.", self.imgsvc("list", code=1).stderr)

    def test_store(self) -> None:
        """A store of the server is used. An unknown store is refused with the names of the stores."""
        self.api.stores = [{"id": "fast", "default": "true"}, {"id": "cheap"}]
        self.imgsvc("upload", self.file("source", b"abc"), "--store", "cheap")
        [put] = [seen for seen in self.api.seen if seen.method == "PUT"]
        self.assertEqual(put.headers["x-image-meta-store"], "cheap")
        done = self.imgsvc("upload", self.file("source", b"abc"), "--store", "slow", code=1)
        self.assertIn("there are fast, cheap", done.stderr)
        self.assertEqual(len(self.api.images), 1)

    def test_stores(self) -> None:
        """Stores are shown for people, and with --json as the server sends them."""
        self.assertEqual(json.loads(self.imgsvc("stores", "--json").stdout), [])
        self.api.stores = [{"id": "fast", "default": "true"}, {"id": "web", "read-only": "true", "description": "Wéb"}]
        self.assertEqual(self.imgsvc("stores").stdout, "fast  default\nweb  read-only  Wéb\n")
        self.assertEqual(json.loads(self.imgsvc("stores", "--json").stdout), self.api.stores)

    def test_one_store(self) -> None:
        """A server with one store refuses a choice, and the message says to leave the option out."""
        done = self.imgsvc("upload", self.file("source", b"abc"), "--store", "slow", code=1)
        self.assertIn("one store only, so 'slow' cannot be chosen.\nLeave out the option --store.\n", done.stderr)
        self.assertEqual(self.api.images, {})

    def test_unknown_choices(self) -> None:
        """An unknown filter or sort key of a list is refused, with the allowed ones."""
        for option, allowed in (
            *(("--status", "'queued'"), ("--member-status", "'pending'"), ("--visibility", "'public'")),
            ("--sort", "created_at"),
        ):
            done = self.imgsvc("list", option, "bogus", code=2)
            self.assertIn("'bogus' is not one of", done.stderr)
            self.assertIn(allowed, done.stderr)
        self.assertEqual(self.api.seen, [])

    def test_accept_own(self) -> None:
        """A caller that sees only itself as a member need not name its project."""
        image_id = self.api.add(b"x", name="theirs")["id"]
        self.api.members[image_id] = {"blue": "pending"}
        self.assertEqual(self.imgsvc("accept", "theirs").stderr, f"Image {image_id} (theirs) is accepted by blue.\n")
        self.assertEqual(self.api.members[image_id], {"blue": "accepted"})

    def test_no_room(self) -> None:
        """A full standard output is reported without a traceback."""
        image_id = self.api.add(b"abc")["id"]
        for arguments in (["list"], ["list", "--json"], ["download", image_id, "-o", "-"]):
            command = [sys.executable, "-m", "imgsvc.client", "--endpoint", self.endpoint, *arguments]
            with open("/dev/full", "wb") as full:
                done = subprocess.run(
                    command, env=environment(), stdout=full, stderr=subprocess.PIPE, timeout=LIMIT, check=False
                )
            self.assertEqual((done.returncode, done.stderr), (6, b"standard output: No space left on device\n"))

    def test_examples_without_output(self) -> None:
        """The examples end without a traceback when nobody reads their output, or when it is full."""
        image_id = self.api.add(bytes(100_000))["id"]
        full = os.open("/dev/full", os.O_WRONLY)
        reader, unread = os.pipe()
        os.close(reader)
        for descriptor in (full, unread):
            self.addCleanup(os.close, descriptor)
        for name, arguments, said in (
            ("list_images.py", (), ""),
            ("download_range.py", (image_id, "0", "99999"), "bytes 0-99999/100000\n"),
            ("upload_image.py", (str(self.file("source", b"abc")),), ""),
        ):
            for descriptor, why in ((full, "standard output: No space left on device\n"), (unread, "")):
                done = subprocess.run(
                    [sys.executable, ROOT / "examples" / name, self.endpoint, *arguments],
                    env=environment() | {"PYTHONUNBUFFERED": ""},
                    stdout=descriptor,
                    stderr=subprocess.PIPE,
                    timeout=LIMIT,
                    check=False,
                )
                messages = re.sub(r"(\r\d+ %)+\n", "", done.stderr.decode())  # without the progress of the upload
                self.assertEqual((done.returncode, messages), (1, said + why), name)

    def test_full_disk(self) -> None:
        """A full disk ends a download, which continues when there is room."""
        content = os.urandom(4_000_000)
        image_id = self.api.add(content)["id"]
        mount = self.folder / "mount"
        mount.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "imgsvc-test", str(mount)], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", str(mount)], check=True)
        said = self.imgsvc("download", image_id, "-o", "mount/out", code=6).stderr.splitlines()
        self.assertIn("No space left on device", said[0])
        self.assertIn("go on with --continue -o mount/out", said[1])
        self.assertNotIn("out", os.listdir(mount))
        subprocess.run(["mount", "-o", "remount,size=8m", str(mount)], check=True)
        self.imgsvc("download", image_id, "-o", "mount/out", "--continue")
        self.assertEqual((mount / "out").read_bytes() == content, True)

    def test_unreadable(self) -> None:
        """A file in a format that the API lacks, or that changes its length, is reported, and no image stays."""
        done = self.imgsvc("upload", self.file("source", b"QED\0" + bytes(1_000_000)), code=6)
        self.assertIn("source: is in the format qed", done.stderr)
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
        """A download that fails verification keeps its data under another name."""
        image_id = self.api.add(b"abc")["id"]
        self.api.faults.send_wrong = True
        done = self.imgsvc("download", image_id, "-o", "out", code=4)
        self.assertIn("kept as out.bad", done.stderr)
        self.assertEqual(sorted(os.listdir(self.folder)), ["out.bad"])
        self.imgsvc("download", image_id, "-o", "-", code=4)

    def test_hostile_format(self) -> None:
        """No value from the server leads to another folder."""
        image_id = self.api.add(b"abc", disk_format="/../../x")["id"]
        self.imgsvc("download", image_id)
        self.assertEqual(os.listdir(self.folder), [f"{image_id}._______x"])

    def test_closed_output(self) -> None:
        """The command ends without a traceback when the reader of its output has gone."""
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
        """An image cannot be written to a closed standard output."""
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
        """A file whose name is not UTF-8 becomes an image with a UTF-8 name."""
        path = os.path.join(os.fsencode(self.folder), b"\xff.img")
        with open(path, "wb"):
            pass
        self.imgsvc("upload", os.fsdecode(path))
        [image] = self.api.images.values()
        self.assertEqual(image["name"], "\ufffd.img")

    def test_endpoint_variables(self) -> None:
        """The endpoint and the credentials are read from the environment."""
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


IN_THE_IMPORTS = """
import os, runpy, signal, sys
class Interrupting:
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] not in {{"imgsvc", *sys.stdlib_module_names}}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
{begin}
"""
"""Runs a command that is interrupted when it imports the first module that belongs neither to Python nor to imgsvc."""


class InterruptionTests(CommandTestCase):
    def test_interrupted_at_the_start(self) -> None:
        """Ctrl-C during the imports ends a command at once, without output."""
        for begin in (
            "from imgsvc.entry import client; client()",
            "from imgsvc.entry import admin; admin()",
            "runpy.run_module('imgsvc.client', run_name='__main__', alter_sys=True)",
        ):
            done = subprocess.run(
                [sys.executable, "-c", IN_THE_IMPORTS.format(begin=begin), "--help"],
                cwd=self.folder,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=LIMIT,
                check=False,
                preexec_fn=heed_interrupts,
            )
            self.assertEqual((done.returncode, done.stdout, done.stderr), (130, "", ""), begin)

    def test_nobody_reads_the_messages(self) -> None:
        """The exit code tells what happened, also when standard error is closed, full, or a pipe that nobody reads."""
        for end in ("2>&-", "2>/dev/full", "2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}"):
            script = f'"$0" -m imgsvc.client --endpoint http://127.0.0.1:1 list {end}'
            done = subprocess.run(
                ["bash", "-c", script, sys.executable],
                cwd=self.folder,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=LIMIT,
                check=False,
            )
            self.assertEqual((done.returncode, done.stdout, done.stderr), (3, "", ""), end)

    def test_progress(self) -> None:
        """The progress is shown on a terminal, but not on a pipe."""
        image_id = self.api.add(bytes(3_000_000))["id"]
        terminal = Terminal(self, "download", image_id, "-o", "out")
        self.assertEqual(terminal.end(), 0)
        self.assertIn(b"Downloading    0 %  [                   ]  0 B of 3.0 MB", terminal.shown)
        self.assertIn(b"Verifying  100 %  [###################]  3.0 MB of 3.0 MB", terminal.shown)
        self.assertEqual(terminal.shown.count(b"\r\n"), 2)
        self.assertNotIn("%", self.imgsvc("download", image_id, "-o", "out").stderr)

    def begin_download(self) -> tuple[str, bytes, Terminal]:
        """Begin a download that hangs after some bytes of its only piece."""
        content = os.urandom(5_000_000)
        image_id = self.api.add(content)["id"]
        self.api.faults.stall_downloads_after = 2_000_000
        terminal = Terminal(self, "download", image_id, "-o", "out")
        terminal.read_until(b"MB of 5.0 MB")
        self.api.faults.stall_downloads_after = None
        return image_id, content, terminal

    def test_interrupted_download(self) -> None:
        """Ctrl-C keeps the received data and says how to continue. That fetches only the rest."""
        for number in (signal.SIGINT, signal.SIGTERM):
            image_id, content, terminal = self.begin_download()
            terminal.process.send_signal(number)
            self.assertEqual(terminal.end(), 128 + number)
            self.assertNotIn("out", os.listdir(self.folder))
            self.assertIn(b"go on with --continue -o out", terminal.shown)
            self.assertIn(b"Interrupted.", terminal.shown)
            self.assertNotIn(b"Traceback", terminal.shown)
            self.imgsvc("download", image_id, "-o", "out", "--continue")
            self.assertEqual((self.folder / "out").read_bytes() == content, True)
            begin = int(self.api.seen[-1].headers["range"].removeprefix("bytes=").split("-")[0])
            self.assertGreater(begin, 0)
            self.assertEqual(os.listdir(self.folder), ["out"])
            os.unlink(self.folder / "out")

    def test_killed_download(self) -> None:
        """A killed download can be continued too."""
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
        self.assertEqual(terminal.end(), 130)
        self.assertLess(terminal.shown.index(b"Interrupted."), terminal.shown.index(b"was deleted again"))
        self.assertNotIn(b"Traceback", terminal.shown)
        self.assertEqual(self.api.images, {})

    def test_interrupted_at_the_end(self) -> None:
        """An image that is active when Ctrl-C comes is not deleted."""
        self.api.faults.saving = 10_000
        terminal = Terminal(self, "upload", self.file("source", b"abc"))
        wait_for(lambda: any(seen.method == "GET" for seen in self.api.seen), "the question for the image")
        terminal.process.send_signal(signal.SIGINT)
        terminal.read_until(b"Interrupted.")
        self.api.faults.saving = 0
        self.assertEqual(terminal.end(), 130)
        self.assertIn(b"is active all the same", terminal.shown)
        self.assertEqual([image["status"] for image in self.api.images.values()], ["active"])

    def test_interrupted_pipe(self) -> None:
        """Ctrl-C ends an upload whose standard input is silent."""
        ours, theirs = os.pipe()
        terminal = Terminal(self, "upload", "-", "--disk-format", "raw", stdin=ours)
        os.close(ours)
        self.addCleanup(os.close, theirs)
        os.write(theirs, bytes(1000))
        terminal.read_until(b"1.0 kB")
        terminal.process.send_signal(signal.SIGINT)
        self.assertEqual(terminal.end(), 130)
        self.assertIn(b"was deleted again", terminal.shown)
        self.assertEqual(self.api.images, {})

    def test_terminal_as_input(self) -> None:
        """A terminal as standard input is refused."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        self.addCleanup(os.close, theirs)
        terminal = Terminal(self, "upload", "-", stdin=theirs)
        self.assertEqual(terminal.end(), 2)
        self.assertIn(b"Standard input is a terminal", terminal.shown)

    def test_interrupted_twice(self) -> None:
        """A second Ctrl-C does not wait for a server that does not answer the cleanup."""
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
    """The memory of the process does not depend on the size of the image."""

    BOUND = 24 * MEBIBYTE

    def peak(self, *arguments: str | Path) -> int:
        done = self.python("-m", "tests.client.measured", self.folder / "peak", "--endpoint", self.endpoint, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return int((self.folder / "peak").read_text()) * 1024

    def test_upload(self) -> None:
        """Uploading 1 GiB takes hardly more memory than uploading one byte."""
        small = self.peak("upload", self.file("small", b"x"))
        path = self.file("large", b"")
        os.truncate(path, 1024 * MEBIBYTE)
        self.assertLess(self.peak("upload", path) - small, self.BOUND)

    def test_download(self) -> None:
        """Downloading 1 GiB takes hardly more memory than downloading one byte."""
        size = 1024 * MEBIBYTE
        zeros = "cd573cfaace07e7949bc0c46028904ff"
        image_id = self.api.add()["id"]
        self.api.fill(image_id, Data(size, None, zeros, ""))
        small_id = self.api.add(b"x")["id"]
        small = self.peak("download", small_id, "-o", "small")
        self.assertLess(self.peak("download", image_id, "-o", "large") - small, self.BOUND)
        os.unlink(self.folder / "large")
