"""Tests of `imgsvc-admin check`."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.admin.command import imgsvc_admin
from imgsvc.catalogue import Schema
from imgsvc.hashing.choose import choose_hasher
from imgsvc.stores.mark import Mark
from tests.support.certificates import write_certificate


class CheckTests(SynchronousTestCase):
    """Its findings. It changes nothing."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.data = self.folder / "data"

    def check(self, toml: str = "") -> tuple[int, dict[str, str]]:
        """The status, and the finding about each thing."""
        config = self.folder / "imgsvc.toml"
        config.write_text(toml)
        before = self.everything()
        result = CliRunner().invoke(imgsvc_admin, ["--config", str(config), "--data", str(self.data), "check"])
        self.assertEqual(self.everything(), before)
        lines = result.output.splitlines()
        return result.exit_code, dict(line.split(": ", 1) for line in lines)

    def everything(self) -> dict[str, tuple[int, bytes]]:
        """Everything in the folder: names, permissions and contents."""
        return {
            str(path): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
            for path in self.folder.rglob("*")
        }

    def assert_bad(self, name: str, pattern: str, toml: str) -> None:
        """Only this is reported as bad."""
        status, found = self.check(toml)
        self.assertEqual(status, 1, found)
        self.assertEqual([each for each in found if not found[each].startswith("ok: ")], [name], found)
        self.assertRegex(found[name], f"^NOT OK: {pattern}")

    def upgrade(self) -> None:
        self.data.mkdir()
        upgraded = CliRunner().invoke(imgsvc_admin, ["--data", str(self.data), "database", "upgrade"])
        self.assertEqual(upgraded.exit_code, 0, upgraded.output)

    def test_nothing_yet(self) -> None:
        """Before the first start all is well, and nothing is created."""
        status, found = self.check()
        self.assertEqual(status, 0, found)
        names = (
            "data folder",
            "listener tcp:9292:interface=127.0.0.1",
            "policy",
            "digests",
            "configuration",
            "database",
            "store local",
            "There is no catalogue yet",
        )
        self.assertEqual(tuple(found), names)
        self.assertEqual(found["database"], f"ok: {self.data}/imgsvc.sqlite, which the daemon makes")

    def test_all_there(self) -> None:
        """Existing things are named, also the version of the database."""
        self.upgrade()
        (self.data / "images").mkdir()
        status, found = self.check()
        self.assertEqual(status, 0, found)
        self.assertEqual(found["database"], f"ok: {self.data}/imgsvc.sqlite, version {Schema.head}")
        self.assertEqual(found["store local"], f"ok: {self.data}/images")

    def test_digests(self) -> None:
        """It says what computes digests and how fast, and why that is not the accelerator."""
        speed = r"on one core \d+ MB/s of one stream"
        pattern = rf"^ok: hashlib \(images\.accelerated_hashing = false\), {speed}$"
        self.assertRegex(self.check("[images]\naccelerated_hashing = false\n")[1]["digests"], pattern)
        choice = choose_hasher(True)
        together = rf", \d+ MB/s of {choice.hasher.lanes} streams together" if choice.hasher.lanes > 1 else ""
        self.assertRegex(self.check()[1]["digests"], rf"^ok: {re.escape(str(choice))}, {speed}{together}$")

    def test_configuration(self) -> None:
        """An invalid configuration file is reported in one line."""
        config = self.folder / "imgsvc.toml"
        config.write_text("server.portt = 1")
        result = CliRunner().invoke(imgsvc_admin, ["--config", str(config), "check"])
        self.assertEqual(result.exit_code, 1)
        self.assertRegex(result.output, r"^Error: server\.portt: no such option.*\n$")

    def test_stores(self) -> None:
        """Invalid options of a store are reported with the configuration, and its folder separately."""
        self.assert_bad_stores('kind = "tape"', "configuration", r"stores\.local\.kind")
        (self.folder / "file").write_text("")
        self.assert_bad(
            "store local", ".*/file is not a folder", f'[stores.local]\nkind = "file"\npath = "{self.folder}/file"'
        )

    def assert_bad_stores(self, options: str, name: str, pattern: str) -> None:
        status, found = self.check(f"[stores.local]\n{options}\n")
        self.assertEqual(status, 1)
        self.assertRegex(found[name], f"^NOT OK: {pattern}")

    def test_stores_of_one_process(self) -> None:
        """Stores that several processes cannot share are reported, also reserved ones."""
        for more in ("", '[stores.b]\nkind = "file"\n[stores]\ndefault = "b"\n'):
            purpose = 'purpose = "cache"\n' if more else ""
            toml = f'[server]\nworkers = 2\n[stores.a]\nkind = "memory"\n{purpose}{more}'
            pattern = r"server\.workers = 2: must be 1 with stores\.a of kind memory"
            self.assert_bad("configuration", pattern, toml)

    def test_marks(self) -> None:
        """A folder with a foreign mark, or without a mark although images must be there, is bad. Nothing is changed."""
        self.upgrade()
        images, mark = self.data / "images", self.data / "images" / ".imgsvc-lock"
        with closing(sqlite3.connect(self.data / "imgsvc.sqlite")) as database, database:
            database.execute("INSERT INTO catalogue_identity (key, catalogue_id) VALUES (1, 'mine')")
        images.mkdir()
        own, other = Mark("mine", "local"), Mark("another", "local")
        for content in (b"", own.encode()):
            mark.write_bytes(content)
            self.assertEqual(self.check()[0], 0)
        mark.write_bytes(other.encode())
        self.assert_bad("store local", ".*/images has the mark of store local of catalogue another: is it mounted", "")
        mark.unlink()
        self.assertEqual(self.check()[0], 0)
        with closing(sqlite3.connect(self.data / "imgsvc.sqlite")) as database, database:
            columns = "resource_id, store_id, name, lease_id"
            database.execute(f"INSERT INTO lease_objects ({columns}) VALUES ('one', 'local', 'one', 'two')")
        before = self.everything()
        self.assert_bad("store local", ".*/images has no mark, and 1 objects must be there: is it mounted", "")
        images.rmdir()
        self.assert_bad("store local", ".*/images has no mark, and 1 objects must be there: is it mounted", "")
        images.mkdir()
        self.assertEqual(self.everything().keys(), before.keys() | {str(self.folder / "imgsvc.toml")})

    def test_data_folder(self) -> None:
        """A file in the place of the data folder is reported."""
        self.data.write_text("")
        status, found = self.check()
        self.assertEqual(status, 1)
        self.assertRegex(found["data folder"], "^NOT OK: .*/data is not a folder$")

    def test_audit(self) -> None:
        """The file of the audit, if there is one, or the folder in which it will be."""
        status, found = self.check('[audit]\noutput = "file"\n')
        self.assertEqual((status, found["audit"]), (0, f"ok: {self.data}/audit.log, which the daemon makes"))
        (self.folder / "who.log").touch()
        status, found = self.check(f'[audit]\noutput = "file"\nfile = "{self.folder}/who.log"\n')
        self.assertEqual((status, found["audit"]), (0, f"ok: {self.folder}/who.log"))
        self.assert_bad("audit", r".*is not a folder$", '[audit]\noutput = "file"\nfile = "none/audit.log"\n')
        self.assert_bad("audit", r".*may not be written", f'[audit]\noutput = "file"\nfile = "{self.folder}"\n')
        self.assertNotIn("audit", self.check()[1])

    def test_policy(self) -> None:
        """An invalid policy does not hide other faults."""
        self.data.mkdir()
        (self.data / "policy.yaml").write_text('"get_image": "rule:absent"')
        self.assert_bad("policy", ".*get_image", 'policy.file = "policy.yaml"')
        status, found = self.check('policy.file = "policy.yaml"\nimages.schema_file = "absent"\n')
        self.assertEqual(status, 1)
        self.assertRegex(found["configuration"], "^NOT OK: .*absent")

    def test_certificate(self) -> None:
        """A listener with a valid certificate is well, and one with an invalid certificate is not."""
        pem = self.folder / "server.pem"
        write_certificate(pem)
        listen = f"ssl:9292:interface=127.0.0.1:privateKey={pem}"
        toml = f'server.listen = ["{listen}"]'
        status, found = self.check(toml)
        self.assertEqual((status, found[f"listener {listen}"]), (0, "ok: its certificate and key can be used"))
        pem.write_text("broken")
        status, found = self.check(toml)
        self.assertEqual(status, 1)
        self.assertIn("NOT OK: server.listen", found[f"listener {listen}"])

    def test_database(self) -> None:
        """A database of a later version, and a file that is not a database, are reported."""
        self.upgrade()
        file = self.data / "imgsvc.sqlite"
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        self.assert_bad("database", rf".*9999.* needed {Schema.head}", "")
        os.truncate(file, 0)
        file.write_bytes(b"no database" * 1000)
        self.assert_bad("database", ".*file is not a database", "")
