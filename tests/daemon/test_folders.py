"""The permissions and durability of files that the daemon creates, and the folders of a failed start."""

from __future__ import annotations

import os
import re
import socket
import stat
from pathlib import Path

from tests.daemon.rig import DaemonTestCase, Transfer, twistd


class PermissionTests(DaemonTestCase):
    """A umask that allows everybody to read."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(os.umask, os.umask(0o022))

    def test_private(self) -> None:
        """Nobody but the owner may read the database, its logs, the images and the locks, or enter the folders."""
        daemon = self.daemon()
        image_id, coming = daemon.image(), daemon.image()
        self.assertEqual(daemon.put(image_id, b"x" * 1000), 204)
        upload = Transfer(daemon, coming, 1000).send(b"x")
        self.wait_for_status(daemon, coming, "saving")
        found = {str(path.relative_to(daemon.data)): path for path in [daemon.data, *daemon.data.rglob("*")]}
        for name in (".", "imgsvc.sqlite", "imgsvc.sqlite-wal", "imgsvc.sqlite-shm", f"images/{image_id}"):
            self.assertIn(name, found)
        for name, path in found.items():
            expected = 0o700 if path.is_dir() else 0o600
            self.assertEqual(oct(stat.S_IMODE(path.stat().st_mode)), oct(expected), name)
        upload.socket.close()

    def test_shared(self) -> None:
        """With file_perm, others may read the images of a store that has its own folder."""
        images = self.folder / "deep" / "images"
        daemon = self.daemon(f'[stores.local]\nkind = "file"\npath = "{images}"\nfile_perm = "0640"\n')
        image_id = daemon.image()
        self.assertEqual(daemon.put(image_id, b"x" * 1000), 204)
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (images.parent, images, images / image_id)]
        self.assertEqual(modes, [0o710, 0o710, 0o640])

    def test_folders_of_the_operator(self) -> None:
        """Existing folders keep their permissions."""
        data = self.folder / "daemon" / "data"
        (data / "images").mkdir(parents=True)
        for folder in (data, data / "images"):
            folder.chmod(0o2775)
        self.daemon()
        self.assertEqual({stat.S_IMODE(path.stat().st_mode) for path in (data, data / "images")}, {0o2775})


class DurabilityTests(DaemonTestCase):
    """New folders survive a power failure."""

    def test_parents_are_synced(self) -> None:
        """The parent of a new folder is flushed to the disk before the first response."""
        trace = self.folder / "trace"
        data, images = self.folder / "new" / "data", self.folder / "other" / "images"
        self.daemon(
            f'[stores.local]\nkind = "file"\npath = "{images}"\n',
            data=data,
            wrap=("strace", "-f", "-y", "-o", str(trace), "-e", "trace=mkdir,fsync"),
        )
        text = trace.read_text()
        for folder in (data.parent, data, images.parent, images):
            made = text.index(f'mkdir("{folder}"')
            self.assertRegex(text[made:], rf"fsync\(\d+<{re.escape(str(folder.parent))}>", str(folder))


class FailedStartTests(DaemonTestCase):
    """A start that fails leaves no folder behind."""

    def refused(self, toml: str, *arguments: str) -> None:
        (self.folder / "imgsvc.toml").write_text(toml)
        before = set(self.folder.rglob("*"))
        status, text = twistd(self.folder, "--config", "imgsvc.toml", "--data", "new/data", *arguments)
        self.assertEqual(status, 1, text)
        self.assertNotIn("Traceback", text)
        self.assertEqual(set(self.folder.rglob("*")), before, text)

    def test_address_in_use(self) -> None:
        """Another process listens on the port."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            self.refused("", "--listen", f"tcp:{other.getsockname()[1]}:interface=127.0.0.1")

    def test_configuration(self) -> None:
        """An option has an invalid value."""
        self.refused('[stores.local]\nkind = "tape"\n')
        self.refused("", "--listen", "nonsense")

    def test_store(self) -> None:
        """A second store cannot be created, after the catalogue and the first store."""
        (self.folder / "file").write_text("")
        stores = (
            '[stores]\ndefault = "a"\n[stores.a]\nkind = "file"\npath = "../b/a"\n[stores.b]\nkind = "file"\npath = '
        )
        for workers in (1, 2):
            self.refused(
                f'[server]\nworkers = {workers}\n{stores}"{self.folder}/file/images"\n',
                *("--listen", "tcp:0:interface=127.0.0.1"),
            )

    def test_what_was_there(self) -> None:
        """Existing files stay."""
        (self.folder / "new" / "data" / "images").mkdir(parents=True)
        Path(self.folder / "new" / "data" / "imgsvc.sqlite").write_bytes(b"no database" * 100)
        self.refused("", "--listen", "tcp:0:interface=127.0.0.1")
