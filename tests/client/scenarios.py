"""Scenarios of the command and the examples, for any Image API."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[2]
LIMIT = 120

if TYPE_CHECKING:
    Base = SynchronousTestCase
else:
    Base = object


def environment() -> dict[str, str]:
    """The environment of this process, changed so that children import this tree and ignore the user's settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "IMGSVC_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def qcow2(size: int) -> bytes:
    """The first bytes of a qcow2 disk of `size` bytes: header of version 3, 64 KiB clusters, no backing file."""
    header = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, 0, 0, 16, size, 0, 1, 196608, 65536, 1, 0, 0)
    return (header + struct.pack(">QQQII", 0, 0, 0, 4, 104)).ljust(262144, b"\0")


class ClientProcesses(Base):
    """Runs the command and the examples. Mixed into a test case that sets `endpoint` in setUp, then calls prepare."""

    endpoint: str

    def prepare(self) -> None:
        """Create the folder that the children work in."""
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def python(
        self, *arguments: str | Path, text: bool = True, given: bytes | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL if given is None else None,
            input=given if given is None or not text else given.decode("latin-1"),
            capture_output=True,
            text=text,
            encoding="latin-1" if given is not None and text else None,
            timeout=LIMIT,
        )

    def imgsvc(
        self, *arguments: str | Path, code: int = 0, text: bool = True, given: bytes | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command, which must end with `code`. given: its standard input."""
        done = self.python("-m", "imgsvc.client", "--endpoint", self.endpoint, *arguments, text=text, given=given)
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stderr!r}")
        return done

    def example(self, name: str, *arguments: str | Path) -> str:
        done = self.python(ROOT / "examples" / name, self.endpoint, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def upload(self, content: bytes, *options: str) -> str:
        return self.imgsvc("upload", self.file("source", content), *options).stdout.strip()

    def document(self, image_id: str) -> dict[str, object]:
        return json.loads(self.imgsvc("show", image_id, "--json").stdout)


class ClientScenarios(ClientProcesses):
    """Tests for every Image API. Mixed in like ClientProcesses."""

    def test_round_trip(self) -> None:
        """A file is uploaded and downloaded unchanged, by id and by name."""
        content = os.urandom(5_000_001)
        image_id = self.upload(content, "--name", "round trip")
        done = self.imgsvc("download", "round trip")
        self.assertIn("sha512 matches", done.stderr)
        self.assertEqual((self.folder / f"{image_id}.raw").read_bytes() == content, True)
        self.imgsvc("download", image_id, "-o", "other", "--connections", "2")
        self.assertEqual((self.folder / "other").read_bytes() == content, True)
        self.assertEqual(self.imgsvc("download", image_id, "-o", "-", text=False).stdout == content, True)
        self.assertEqual(sorted(os.listdir(self.folder)), sorted(["source", f"{image_id}.raw", "other"]))

    def test_large(self) -> None:
        """An image of several pieces is downloaded over several connections."""
        path = self.file("source", b"")
        with path.open("r+b") as file:
            for offset in range(0, 80_000_000, 7_000_000):
                file.seek(offset)
                file.write(os.urandom(100_000))
        image_id = self.imgsvc("upload", path).stdout.strip()
        self.imgsvc("download", image_id, "-o", "copy")
        self.assertEqual((self.folder / "copy").read_bytes() == path.read_bytes(), True)

    def test_fields(self) -> None:
        """The image has the values of the options."""
        options = "--name n --tag a --tag b --property os_distro=debian --property empty= --visibility private"
        options += " --min-disk 3 --min-ram 512 --container-format bare"
        image = self.document(self.upload(qcow2(1 << 30), *options.split()))
        self.assertEqual((image["name"], sorted(image["tags"])), ("n", ["a", "b"]))  # type: ignore[call-overload]
        self.assertEqual((image["os_distro"], image["empty"], image["visibility"]), ("debian", "", "private"))
        self.assertEqual((image["min_disk"], image["min_ram"]), (3, 512))
        self.assertEqual((image["disk_format"], image["container_format"]), ("qcow2", "bare"))
        self.assertEqual((image["status"], image["size"]), ("active", 262144))

    def test_empty(self) -> None:
        """An empty file becomes an active, empty image."""
        image_id = self.upload(b"")
        self.assertEqual((self.document(image_id)["size"], self.document(image_id)["status"]), (0, "active"))
        self.imgsvc("download", image_id, "-o", "empty")
        self.assertEqual((self.folder / "empty").read_bytes(), b"")

    def test_standard_input(self) -> None:
        """Data from a pipe becomes an image in the format of its first bytes."""
        content = qcow2(1 << 30) + os.urandom(3_000_000)
        for options, disk_format in (([], "qcow2"), (["--disk-format", "qcow2", "--name", "piped"], "qcow2")):
            done = self.imgsvc("upload", "-", *options, given=content)
            image = self.document(done.stdout.strip())
            self.assertEqual((image["status"], image["size"]), ("active", len(content)))
            self.assertEqual((image["disk_format"], image["name"]), (disk_format, "piped" if options else None))
            self.assertIn("verified", done.stderr)
        fetched = self.imgsvc("download", str(image["id"]), "-o", "-", text=False).stdout
        self.assertEqual(fetched == content, True)

    def test_empty_input(self) -> None:
        """A pipe without data creates no image."""
        done = self.imgsvc("upload", "-", given=b"", code=6)
        self.assertEqual((done.stdout, done.stderr), ("", "standard input: ended before its first byte\n"))
        self.assertEqual(json.loads(self.imgsvc("list", "--json").stdout), [])

    def test_folder(self) -> None:
        """If the output is a folder, the file is written into it. A missing folder is reported."""
        image_id = self.upload(b"abc")
        (self.folder / "images").mkdir()
        for output in ("images", "images/"):
            self.assertIn(f"images/{image_id}.raw", self.imgsvc("download", image_id, "-o", output).stderr)
            self.assertEqual((self.folder / "images" / f"{image_id}.raw").read_bytes(), b"abc")
        done = self.imgsvc("download", image_id, "-o", "missing/", code=6)
        self.assertEqual(done.stderr, "missing/: there is no such folder\n")

    def test_continue_what_is_there(self) -> None:
        """A complete file with the right data is reported as such, and one with wrong data is replaced."""
        image_id = self.upload(b"abc" * 1000)
        self.imgsvc("download", image_id, "-o", "out")
        before = os.stat(self.folder / "out").st_ino
        done = self.imgsvc("download", image_id, "-o", "out", "--continue")
        self.assertIn("is in out already: 3.0 kB, sha512 matches. Nothing was fetched.", done.stderr)
        self.assertEqual(os.stat(self.folder / "out").st_ino, before)
        self.file("out", b"abd" * 1000)
        self.assertNotIn("already", self.imgsvc("download", image_id, "-o", "out", "--continue").stderr)
        self.assertEqual((self.folder / "out").read_bytes(), b"abc" * 1000)

    def test_unknown_store(self) -> None:
        """A store that the server cannot use is reported, and no image is created."""
        done = self.imgsvc("upload", self.file("source", b"x"), "--store", "nowhere", code=1)
        self.assertIn("'nowhere'", done.stderr)
        self.assertEqual(json.loads(self.imgsvc("list", "--json").stdout), [])

    def test_deactivate(self) -> None:
        """Images are deactivated and reactivated, also by name."""
        image_id = self.upload(b"x", "--name", "resting")
        for command, status in (("deactivate", "deactivated"), ("reactivate", "active")):
            done = self.imgsvc(command, "resting")
            self.assertEqual(done.stderr, f"Image {image_id} (resting) is {status}.\n")
            self.assertEqual(self.document(image_id)["status"], status)
        self.assertIn("was not deactivated", self.imgsvc("deactivate", "nobody", code=1).stderr)

    def test_sharing(self) -> None:
        """An image is shared with projects, their statuses are listed, and one project is removed."""
        image_id = self.upload(b"x", "--name", "ours", "--visibility", "shared")
        self.assertIn("shared with no project", self.imgsvc("members", "ours").stderr)
        self.imgsvc("share", "ours", "blue", "red")
        self.assertIn("(409)", self.imgsvc("share", "ours", "red", "green", code=1).stderr)
        self.imgsvc("accept", "ours", "--project", "blue")
        self.imgsvc("reject", "ours", "--project", "red")
        done = self.imgsvc("accept", "ours", code=2)
        self.assertIn("Say with --project who answers", done.stderr)
        self.assertIn("red", self.imgsvc("unshare", image_id, "red").stderr)
        lines = [line.split() for line in self.imgsvc("members", "ours").stdout.splitlines()]
        self.assertEqual(
            sorted((line[0], line[-1]) for line in lines[1:]), [("accepted", "blue"), ("pending", "green")]
        )
        members = json.loads(self.imgsvc("members", image_id, "--json").stdout)
        self.assertEqual({member["member_id"] for member in members}, {"blue", "green"})
        self.assertIn("(404)", self.imgsvc("unshare", image_id, "red", code=1).stderr)

    def test_chosen_id(self) -> None:
        """A chosen id is used. An image that has data takes no other data, and is not harmed."""
        image_id = str(uuid.uuid4())
        self.assertEqual(self.upload(b"once", "--id", image_id), image_id)
        done = self.imgsvc("upload", self.file("again", b"twice"), "--id", image_id, code=1)
        self.assertIn("409", done.stderr)
        self.assertEqual(self.imgsvc("download", image_id, "-o", "-").stdout, "once")

    def test_protected(self) -> None:
        """A protected image is not deleted."""
        image_id = self.upload(b"x", "--protected")
        self.assertIs(self.document(image_id)["protected"], True)
        self.assertIn("403", self.imgsvc("delete", image_id, code=1).stderr)

    def test_update(self) -> None:
        """The image gets the values of the options. Everything else stays."""
        before = "--name old --tag a --tag b --property one=1 --property two=2"
        image_id = self.upload(b"x", *before.split())
        options = "--name new --visibility private --protected --hidden --min-disk 3 --min-ram 512 --owner somebody"
        options += " --property one=3 --property a/b~c= --remove-property two --tag c --tag d/e --remove-tag a"
        self.assertIn(image_id, self.imgsvc("update", "old", *options.split()).stderr)
        image = self.document(image_id)
        expected = {
            **{"name": "new", "visibility": "private", "protected": True, "os_hidden": True, "owner": "somebody"},
            **{"min_disk": 3, "min_ram": 512, "one": "3", "a/b~c": "", "tags": ["b", "c", "d/e"], "status": "active"},
        }
        self.assertEqual({key: image[key] for key in expected}, expected)
        self.assertNotIn("two", image)
        self.imgsvc("update", image_id, "--unprotected", "--unhidden", "--name", "")
        image = self.document(image_id)
        self.assertEqual((image["protected"], image["os_hidden"], image["name"]), (False, False, ""))
        self.imgsvc("delete", image_id)

    def test_update_refused(self) -> None:
        """Removing a missing property or tag is refused, and so is a change of a missing image."""
        image_id = self.upload(b"x", "--name", "same")
        done = self.imgsvc("update", image_id, "--name", "other", "--remove-property", "absent", code=1)
        self.assertIn("409", done.stderr)
        self.assertIn("404", self.imgsvc("update", image_id, "--remove-tag", "absent", code=1).stderr)
        self.imgsvc("update", "nobody", "--name", "x", code=1)

    def test_list(self) -> None:
        """Images are listed by name and status, with a limit, for people and for programs."""
        ids = {self.upload(b"x", "--name", "twin") for _ in range(3)}
        table = self.imgsvc("list", "--name", "twin").stdout.splitlines()
        self.assertEqual({line.split()[0] for line in table[1:]}, ids)
        documents = json.loads(self.imgsvc("list", "--json", "--status", "active", "--name", "twin").stdout)
        self.assertEqual({document["id"] for document in documents}, ids)
        self.assertEqual(len(json.loads(self.imgsvc("list", "--limit", "2", "--json").stdout)), 2)
        done = self.imgsvc("list", "--json", "--name", "nobody")
        self.assertEqual((done.stdout, done.stderr), ("[]\n", ""))
        done = self.imgsvc("list", "--name", "nobody")
        self.assertEqual((done.stdout, done.stderr), ("", "No image fits.\n"))
        self.assertIn("Several images", self.imgsvc("show", "twin", code=1).stderr)

    def test_list_filters(self) -> None:
        """Images are listed by visibility, owner, tags, properties and name, in any order. Hidden images are
        listed separately.
        """
        options = "--name a:b --tag one --tag two --property os_distro=debian"
        first = self.upload(b"x", *options.split())
        options = "--name c --tag one --visibility private --property os_distro=fedora"
        second = self.upload(b"xx", *options.split())
        hidden = self.upload(b"xxx", "--name", "h")
        self.imgsvc("update", hidden, "--hidden", "--owner", "somebody")
        for options, wanted in (
            ("--name a:b", [first]),
            ("--tag one --sort name", [first, second]),
            ("--tag one --tag two", [first]),
            ("--property os_distro=fedora", [second]),
            ("--visibility private", [second]),
            ("--visibility all --sort size:desc", [second, first]),
            ("--sort size,name:desc", [first, second]),
            ("--hidden", [hidden]),
            ("--hidden --owner somebody", [hidden]),
            ("--owner nobody", []),
        ):
            found = json.loads(self.imgsvc("list", "--json", *options.split()).stdout)
            self.assertEqual([image["id"] for image in found], wanted, options)
        heading, line, _ = self.imgsvc("list", "--long", "--sort", "name").stdout.splitlines()
        self.assertEqual(heading.split()[4:], ["VISIBILITY", "PROTECTED", "CREATED", "OWNER", "TAGS", "NAME"])
        self.assertEqual([word for word in line.split() if word in ("no", "one,two", "a:b")], ["no", "one,two", "a:b"])
        self.assertEqual(line.index("a:b"), heading.index("NAME"))

    def test_show(self) -> None:
        """All fields are shown, one per line."""
        image_id = self.upload(b"x", "--property", "color=red")
        lines = dict(line.split(None, 1) for line in self.imgsvc("show", image_id).stdout.splitlines())
        self.assertEqual(
            (lines["id"], lines["color"], lines["status"], lines["size"]), (image_id, "red", "active", "1")
        )

    def test_delete(self) -> None:
        """Images are deleted. A missing one does not prevent the deletion of the others."""
        ids = [self.upload(b"x", "--name", name) for name in ("old", "odd")]
        missing = str(uuid.uuid4())
        said = self.imgsvc("delete", "old", missing, ids[1], code=1).stderr.splitlines()
        self.assertEqual(
            [said[0], said[2]], [f"Image {ids[0]} (old) was deleted.", f"Image {ids[1]} (odd) was deleted."]
        )
        self.assertIn(f"Image {missing} was not deleted. There is no image", said[1])
        for image_id in ids:
            self.imgsvc("show", image_id, code=1)

    def test_stores(self) -> None:
        """Stores are listed, or a message says that there is only one."""
        done = self.imgsvc("stores")
        self.assertTrue(done.stdout or "one store only" in done.stderr)

    def test_no_such_image(self) -> None:
        """A missing image is refused, and no file is left."""
        done = self.imgsvc("download", "nobody", code=1)
        self.assertEqual((done.stdout, done.stderr), ("", "There is no image with the id or name 'nobody'.\n"))
        self.assertEqual(os.listdir(self.folder), [])

    def test_usage(self) -> None:
        """A wrong command line is reported before anything is sent."""
        for arguments in (
            ["upload", "missing"],
            ["upload", str(self.file("f", b"")), "--property", "nonsense"],
            ["upload", str(self.file("f", b"")), "--property", "size=3"],
            ["upload", str(self.file("f", b"")), "--visibility", "none"],
            ["download", "x", "-o", "-", "--continue"],
            ["update", "x"],
            ["update", "x", "--property", "size=3"],
            ["update", "x", "--remove-property", "name"],
            ["update", "x", "--property", "a=1", "--remove-property", "a"],
            ["update", "x", "--tag", "a", "--remove-tag", "a"],
            ["update", "x", "--min-ram", "-1"],
            ["delete"],
            ["-H", "nonsense", "list"],
            ["list", "--sort", "color"],
            ["list", "--sort", "name:up"],
            ["list", "--property", "limit=3"],
            ["list", "--property", "size_min=3"],
            ["list", "--visibility", "none"],
            ["share", "x"],
            ["upload", str(self.file("f", b"")), "--retries", "-1"],
        ):
            self.imgsvc(*arguments, code=2)
        for endpoint in ("localhost", "http://", "http://host:port"):
            self.imgsvc("--endpoint", endpoint, "list", code=2)

    def test_unreachable(self) -> None:
        """An unreachable server is reported with its address."""
        done = self.python("-m", "imgsvc.client", "--endpoint", "http://127.0.0.1:1", "list")
        self.assertEqual(done.returncode, 3)
        self.assertIn("http://127.0.0.1:1", done.stderr)

    def test_local_file(self) -> None:
        """A folder that cannot be written is reported with its name."""
        image_id = self.upload(b"x")
        done = self.imgsvc("download", image_id, "-o", "missing/file", code=6)
        self.assertIn("missing/file.part: No such file or directory", done.stderr)

    def test_example_upload(self) -> None:
        """The example uploads a file."""
        image_id, status, size, *_ = self.example("upload_image.py", self.file("f", b"abc"), "mine").split()
        self.assertEqual((status, size, self.document(image_id)["name"]), ("active", "3", "mine"))

    def test_example_range(self) -> None:
        """The example downloads the range."""
        image_id = self.upload(b"0123456789")
        self.assertEqual(self.example("download_range.py", image_id, "2", "5"), "2345")

    def test_example_list(self) -> None:
        """The example lists images with the digests of their data."""
        image_id = self.upload(b"abc", "--name", "listed")
        [line] = self.example("list_images.py", "name=listed").splitlines()
        digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        self.assertEqual(line, f"{image_id} active 3 {digest} listed")
