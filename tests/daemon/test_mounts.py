"""Folders of stores that are missing, or that belong to others. Nothing in them is lost, and no response is false."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.daemon.rig import DaemonTestCase, Transfer, detail
from tests.support.daemon import Daemon

DATA = b"data of an image" * 1000
QUICK = '[server]\nreaper_interval = "1 s"\nupload_lease = "2 s"\n'


class MountTestCase(DaemonTestCase):
    """A store at a mount point."""

    medium: Path
    """What is mounted, or None."""

    def on(self, folder: Path, name: str = "daemon", data: Path | None = None) -> Daemon:
        """A daemon with its images there."""
        return self.daemon(f'{QUICK}[stores.local]\nkind = "file"\npath = "{folder}"\n', name, data)

    def filled(self) -> tuple[Daemon, Path, str]:
        """A stopped daemon, the mount point of its store, and an image that is there while the medium is mounted."""
        self.medium, mount = self.mount(name="medium"), self.folder / "mount"
        self.attach(mount)
        daemon = self.on(mount)
        image_id = daemon.image()
        self.assertEqual(daemon.put(image_id, DATA), 204)
        self.assertEqual(daemon.stop(), 0)
        return daemon, mount, image_id

    def attach(self, mount: Path) -> None:
        """Mount the medium."""
        mount.mkdir(exist_ok=True)
        subprocess.run(["mount", "--bind", str(self.medium), str(mount)], check=True)
        self.addCleanup(subprocess.run, ["umount", "-lq", str(mount)], check=False)

    def detach(self, mount: Path) -> None:
        """Unmount the medium, although files of it are open."""
        subprocess.run(["umount", "-l", str(mount)], check=True)

    def get(self, daemon: Daemon, image_id: str) -> int:
        """The status of a download."""
        return daemon.request("GET", f"/v2/images/{image_id}/file")[0]

    def delete(self, daemon: Daemon, image_id: str) -> int:
        """The status of a deletion."""
        return daemon.request("DELETE", f"/v2/images/{image_id}")[0]

    def assert_away(self, daemon: Daemon, image_id: str) -> None:
        """Nothing in the store can be read, deleted or added to. All else works."""
        self.assertEqual(self.get(daemon, image_id), 503)
        self.assertEqual(self.delete(daemon, image_id), 503)
        self.assertEqual(daemon.show(image_id)["status"], "active")
        other = daemon.image()
        self.assertEqual(daemon.put(other, DATA), 503)
        self.assertEqual(daemon.show(other)["status"], "queued")
        self.assertEqual(self.delete(daemon, other), 204)
        self.assertEqual(daemon.request("GET", "/healthcheck")[0], 200)
        self.wait(lambda: "store local: AWAY" in detail(daemon), "the finding")
        self.assertEqual(daemon.request("GET", "/healthcheck?detail")[0], 503)
        self.assertIn("run `imgsvc-admin store adopt local` with the --config and --data of", daemon.log())
        self.assert_no_traceback(daemon)

    def assert_there(self, daemon: Daemon, image_id: str) -> None:
        """The store gives its images, takes others, and deletes them."""
        self.wait(lambda: "store local: OK" in detail(daemon), "the end of the finding")
        self.assertEqual(daemon.get(image_id), DATA)
        other = daemon.image()
        self.assertEqual(daemon.put(other, DATA), 204)
        self.assertEqual(self.delete(daemon, other), 204)
        self.assertEqual(self.delete(daemon, image_id), 204)
        self.assert_no_traceback(daemon)

    def adopt(self, daemon: Daemon, *options: str) -> tuple[int, str]:
        """Run `imgsvc-admin store adopt local` beside the daemon."""
        ran = subprocess.run(
            [
                sys.executable,
                *("-c", "from imgsvc.admin.command import main; main()"),
                *("--config", str(daemon.config), "--data", str(daemon.data)),
                *("store", "adopt", "local", *options),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return ran.returncode, ran.stdout


class MissingMountTests(MountTestCase):
    """A mount that is missing."""

    def test_at_the_start(self) -> None:
        """The daemon starts, and its store is back when the medium is mounted."""
        daemon, mount, image_id = self.filled()
        self.detach(mount)
        daemon.start()
        self.assert_away(daemon, image_id)
        self.assertEqual(os.listdir(mount), [])
        self.attach(mount)
        self.assert_there(daemon, image_id)
        self.wait_for_files(mount, set())

    def test_while_it_runs(self) -> None:
        """The same holds if the mount disappears later. A deletion that waits for the reaper keeps waiting."""
        daemon, mount, image_id = self.filled()
        daemon.start()
        pending = daemon.image()
        self.assertEqual(daemon.put(pending, DATA), 204)
        saving = daemon.image()
        upload = Transfer(daemon, saving, len(DATA)).send(DATA[:100])
        self.wait_for_files(mount, {image_id, pending, self.part(saving, mount).name})
        self.detach(mount)
        self.assertEqual(upload.send(DATA[100:]).status(), 503)
        self.assert_away(daemon, image_id)
        self.assertEqual(os.listdir(mount), [])
        self.assertEqual(self.delete(daemon, pending), 503)
        self.attach(mount)
        self.assert_there(daemon, image_id)
        self.assertEqual(self.delete(daemon, pending), 204)
        self.wait_for_files(mount, set())

    def test_upload_of_a_dead_process(self) -> None:
        """The image of a dead upload is queued without the mount. Its object is removed when the medium is back."""
        daemon, mount, image_id = self.filled()
        daemon.start()
        saving = daemon.image()
        upload = Transfer(daemon, saving, len(DATA)).send(DATA[:100])
        self.part(saving, mount)
        daemon.kill()
        self.assertEqual(upload.status(), 0)
        self.detach(mount)
        daemon.start()
        self.wait_for_status(daemon, saving, "queued")
        self.attach(mount)
        self.wait_for_files(mount, {image_id})
        self.assert_there(daemon, image_id)


class FolderTests(MountTestCase):
    """Folders that belong to others, or to nobody."""

    def test_two_catalogues(self) -> None:
        """Of two daemons with different databases on one folder, one has it. The other harms none of its uploads."""
        folder = self.folder / "shared"
        first = self.on(folder)
        coming, image_id = first.image(), first.image()
        self.assertEqual(first.put(image_id, DATA), 204)
        upload = Transfer(first, coming, len(DATA)).send(DATA[:100])
        self.part(coming, folder)
        second = self.on(folder, "second")
        queued = second.image()
        self.assertEqual(second.put(queued, DATA), 503)
        line = self.wait_for_log(second, "Store local is away")
        self.assertIn("has the mark of store local of catalogue", line)
        self.assertEqual(upload.send(DATA[100:]).status(), 204)
        self.assertEqual(first.get(coming), DATA)
        status, said = self.adopt(second)
        self.assertEqual(status, 1, said)
        self.assertIn("--force", said)
        self.assertEqual(first.get(image_id), DATA)

    def test_changed_path(self) -> None:
        """After its path was changed, a store does not count its images as lost. It works where its folder was
        moved to.
        """
        daemon, mount, image_id = self.filled()
        config = daemon.config.read_text()
        daemon.config.write_text(config.replace(str(mount), str(self.folder / "elsewhere")))
        daemon.start()
        self.assert_away(daemon, image_id)
        self.assertFalse((self.folder / "elsewhere").exists())
        self.attach(self.folder / "elsewhere")
        self.assert_there(daemon, image_id)

    def test_earlier_version(self) -> None:
        """A folder of an earlier version, with an empty mark, is accepted. An empty folder is not."""
        daemon, mount, image_id = self.filled()
        (mount / ".imgsvc-lock").write_bytes(b"")
        self.detach(mount)
        (mount / ".imgsvc-lock").touch()  # as an earlier version did when the mount was not there
        daemon.start()
        self.assert_away(daemon, image_id)
        self.assertEqual((mount / ".imgsvc-lock").read_bytes(), b"")
        (mount / ".imgsvc-lock").unlink()
        self.attach(mount)
        self.assert_there(daemon, image_id)
        self.assertIn(b'"store": "local"', (mount / ".imgsvc-lock").read_bytes())

    def test_folder_of_glance(self) -> None:
        """A folder that Glance has filled is used after it was adopted, while the daemon runs."""
        folder = self.folder / "glance"
        folder.mkdir()
        of_glance = "11111111-2222-3333-4444-555555555555"
        (folder / of_glance).write_bytes(DATA)
        daemon = self.on(folder)
        image_id = daemon.image()
        self.assertEqual(daemon.put(image_id, DATA), 503)
        status, said = self.adopt(daemon)
        self.assertEqual((status, said.split("\n")[0]), (0, f"{folder} has no mark."))
        self.assertIn("0 that the catalogue has in store local, 1 that it has not", said)
        self.assertEqual(daemon.put(image_id, DATA), 204)
        self.wait_for_files(folder, {of_glance, image_id})
        self.assert_there(daemon, image_id)
        self.assertEqual(self.adopt(daemon)[1].split("\n")[-2], "It is store local's own already.")

    def test_adoption_of_the_wrong_folder(self) -> None:
        """A folder with none of the images is adopted only with --force. After that the images count as lost."""
        daemon, mount, image_id = self.filled()
        self.detach(mount)
        daemon.start()
        status, said = self.adopt(daemon)
        self.assertEqual(status, 1)
        self.assertIn("is it mounted?", said)
        self.assert_away(daemon, image_id)
        self.assertEqual(self.adopt(daemon, "--force")[0], 0)
        self.wait(lambda: "store local: OK" in detail(daemon), "the end of the finding")
        self.assertEqual(self.get(daemon, image_id), 503)
        self.assertEqual(self.delete(daemon, image_id), 204)
