"""The real daemon, with two workers, on each kind of database: many concurrent requests, and a database that fails."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import Any, ClassVar
from uuid import uuid4

from tests.daemon.rig import DaemonTestCase
from tests.support.daemon import Daemon
from tests.support.databases import PASSWORD, DatabaseServer, mariadb, postgresql
from tests.support.waiting import PATIENCE

CLIENTS = 40
PATCH = "application/openstack-images-v2.1-json-patch"
ADMIN = (sys.executable, "-c", "from imgsvc.admin.command import main; main()")


class DatabaseTestCase(DaemonTestCase):
    """Daemons on a new database of a server, or on SQLite."""

    server: ClassVar[Callable[[], DatabaseServer] | None] = None

    def setUp(self) -> None:
        super().setUp()
        self.toml = '[server]\nworkers = 2\nreaper_interval = "1 s"\nupload_lease = "5 s"\n'
        if self.server is not None:
            self.database = self.server().new_database()
            self.addCleanup(lambda: self.server().drop_database(self.database))
            self.toml += f'[database]\nurl = "{self.server().url(self.database)}"\nconnect_timeout = "2 s"\n'

    def admin(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run imgsvc-admin with the configuration of the daemons."""
        path = self.folder / "admin.toml"
        path.write_text(self.toml)
        command = [*ADMIN, "--config", str(path), "--data", str(self.folder / "daemon" / "data"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)

    def serving(self) -> Daemon:
        """A daemon whose two workers both serve."""
        if self.server is not None:
            upgraded = self.admin("database", "upgrade")
            self.assertEqual(upgraded.returncode, 0, upgraded.stderr)
        daemon = self.daemon(self.toml)
        self.wait(lambda: daemon.log().count(": imgsvc ") == 2, "two workers")
        return daemon


class Load:
    """Requests to a daemon, and their expected effects.

    Every request adds something that no other does. All that was answered with success must be there at the end.
    """

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.properties: dict[str, set[str]] = {}
        self.tags: dict[str, set[str]] = {}
        self.members: dict[str, set[str]] = {}
        self.data: dict[str, bytes] = {}
        self.queued: set[str] = set()
        self.deleted: set[str] = set()

    def share(self, image_id: str) -> None:
        """Let `mixed` change this image."""
        for kept in (self.properties, self.tags, self.members):
            kept[image_id] = set()

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> int:
        """Send a request. Returns its status."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": kind}
        status, _, answer = self.daemon.request(method, path, headers, data)
        self.statuses[method, status] += 1
        if status >= 500 and status != 503:
            log = self.daemon.log()
            raise AssertionError(f"{method} {path}: {status} {answer!r}\n{log[log.find('Traceback') :][:10_000]}")
        return status

    def mixed(self, number: int, chance: random.Random) -> None:
        """Send one request of any kind, or some for a new image."""
        image_id = chance.choice(list(self.properties))
        name = f"n{number}"
        match number % 8:
            case 0:
                change = [{"op": "add", "path": f"/{name}", "value": name}]
                if self.ask("PATCH", f"/v2/images/{image_id}", change, PATCH) == 200:
                    self.properties[image_id].add(name)
            case 1:
                if self.ask("PUT", f"/v2/images/{image_id}/tags/{name}") == 204:
                    self.tags[image_id].add(name)
            case 2:
                if self.ask("POST", f"/v2/images/{image_id}/members", {"member": name}) == 200:
                    self.members[image_id].add(name)
            case 3:
                self.ask("GET", "/v2/images?limit=5")
            case 4 | 5:
                self.ask("GET", f"/v2/images/{image_id}")
            case 6:
                self.create_and_fill(number)
            case 7:
                new = str(uuid4())
                if self.create(new) == 201 and self.ask("DELETE", f"/v2/images/{new}") == 204:
                    self.deleted.add(new)

    def create(self, image_id: str) -> int:
        """Create an image. Returns the status."""
        fields = {"id": image_id, "disk_format": "raw", "container_format": "bare"}
        return self.ask("POST", "/v2/images", fields)

    def create_and_fill(self, number: int) -> None:
        """Create an image with some data."""
        new, data = str(uuid4()), b"%d" % number * 100
        if self.create(new) != 201:
            return
        if self.ask("PUT", f"/v2/images/{new}/file", data, "application/octet-stream") == 204:
            self.data[new] = data
        else:
            self.queued.add(new)


class LoadTests(DatabaseTestCase):
    """Many requests of all kinds at once."""

    def test_mixed(self) -> None:
        """Of 1,000 requests none fails, and no success is lost."""
        daemon = self.serving()
        load = Load(daemon)
        for _ in range(6):
            load.share(daemon.image())
        chance = random.Random(1)
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda number: load.mixed(number, chance), range(800)))
        self.assertGreaterEqual(sum(load.statuses.values()), 1000)
        self.assertEqual({status for _, status in load.statuses} - {200, 201, 204}, set(), load.statuses)
        self.check(load)
        self.assertEqual(daemon.stop(), 0)
        self.assertNotIn("Traceback", daemon.log())

    def check(self, load: Load) -> None:
        """All that was answered with success is there."""
        daemon = load.daemon
        for image_id, names in load.properties.items():
            shown = daemon.show(image_id)
            self.assertEqual({name for name in shown if name.startswith("n") and name[1:].isdigit()}, names)
            self.assertEqual(set(shown["tags"]), load.tags[image_id])
            members = json.loads(daemon.request("GET", f"/v2/images/{image_id}/members")[2])["members"]
            self.assertEqual({member["member_id"] for member in members}, load.members[image_id])
        for image_id, data in load.data.items():
            shown = daemon.show(image_id)
            self.assertEqual((shown["status"], shown["size"]), ("active", len(data)))
            self.assertEqual(shown["checksum"], hashlib.md5(data).hexdigest())
        for image_id in load.deleted:
            self.assertEqual(daemon.request("GET", f"/v2/images/{image_id}")[0], 404)

    def test_one_winner(self) -> None:
        """Of 20 uploads to one image one succeeds, and the image has its data."""
        daemon = self.serving()
        for _ in range(3):
            image_id = daemon.image()
            put = partial(daemon.put, image_id)
            with ThreadPoolExecutor(20) as pool:
                statuses = list(pool.map(put, [b"%02d" % number for number in range(20)]))
            self.assertEqual(Counter(statuses), {204: 1, 409: 19})
            self.assertEqual(daemon.get(image_id), b"%02d" % statuses.index(204))
            self.assertEqual(daemon.show(image_id)["status"], "active")


class LoadOnPostgreSQLTests(LoadTests):
    """The same tests on PostgreSQL."""

    server = staticmethod(postgresql)


class LoadOnMariaDBTests(LoadTests):
    """The same tests on MariaDB."""

    server = staticmethod(mariadb)


class FaultTests(DatabaseTestCase):
    """A server whose connections are cut, and that is down for a while."""

    server = staticmethod(postgresql)

    def under_load(self, load: Load, disturb: Callable[[], None]) -> None:
        """Call `disturb` while requests come, from before the call to after it."""
        chance, over = random.Random(2), Event()

        def client(first: int) -> None:
            number = first
            while not over.is_set():
                load.mixed(number, chance)
                number += 16

        with ThreadPoolExecutor(16) as pool:
            clients = [pool.submit(client, number) for number in range(16)]
            self.wait(lambda: sum(load.statuses.values()) > 100, "requests")
            try:
                disturb()
                answered = sum(load.statuses.values())
                self.wait(lambda: sum(load.statuses.values()) > answered + 100, "requests")
            finally:
                over.set()
            for each in clients:
                each.result()

    def loaded(self) -> Load:
        """A load on a new daemon."""
        load = Load(self.serving())
        for _ in range(4):
            load.share(load.daemon.image())
        return load

    def test_cut(self) -> None:
        """Requests whose connections are cut succeed, except those in the middle of a commit."""
        load = self.loaded()
        cut: list[int] = []

        def disturb() -> None:
            for _ in range(5):
                cut.append(self.server().cut_connections(self.database))
                time.sleep(0.1)  # for new connections
            self.wait(lambda: cut.append(self.server().cut_connections(self.database)) or sum(cut) > 10, "cuts")

        self.under_load(load, disturb)
        statuses: Counter[int] = Counter()
        for (_, status), number in load.statuses.items():
            statuses[status] += number
        # 410: on a slow machine an upload may outlast its lease; 413: an image has all its tags.
        self.assertLessEqual(set(statuses), {200, 201, 204, 409, 410, 413, 503})
        self.assertLess(statuses[503], sum(cut))
        self.check_kept(load)

    def test_restart(self) -> None:
        """While the server is down, requests soon get 503. When it is back, they succeed."""
        load = self.loaded()

        def disturb() -> None:
            self.server().stop()
            answered = sum(load.statuses.values())
            self.wait(lambda: sum(load.statuses.values()) > answered + 50, "answers")
            self.server().start()

        self.under_load(load, disturb)
        statuses = {status for _, status in load.statuses}
        self.assertLessEqual(statuses, {200, 201, 204, 404, 409, 410, 413, 503})
        self.assertIn(503, statuses)
        self.check_kept(load)

    def check_kept(self, load: Load) -> None:
        """All successes are kept, uploads without success are undone, and no later request fails."""
        daemon = load.daemon
        for image_id, names in load.properties.items():
            shown = daemon.show(image_id)
            self.assertLessEqual(names, set(shown))
            self.assertLessEqual(load.tags[image_id], set(shown["tags"]))
        for image_id, data in load.data.items():
            self.assertEqual((daemon.show(image_id)["status"], daemon.get(image_id)), ("active", data))
        for image_id in load.queued:
            self.wait(lambda image_id=image_id: daemon.show(image_id)["status"] != "saving", "the end of an upload")
        self.assertNotIn("Traceback", daemon.log())
        self.assertNotIn(PASSWORD, daemon.log())
        self.assertEqual(daemon.stop(), 0)

    def test_silent(self) -> None:
        """A server that does not respond holds nobody up for longer than the time-out of a statement."""
        self.toml += 'statement_timeout = "1 s"\n'
        daemon = self.serving()
        image_id = daemon.image()
        process = self.server().process
        assert process is not None
        self.freeze(True)
        self.addCleanup(self.freeze, False)
        self.assertEqual(daemon.request("GET", f"/v2/images/{image_id}", timeout=PATIENCE)[0], 503)
        self.freeze(False)
        self.wait(lambda: daemon.request("GET", f"/v2/images/{image_id}")[0] == 200, "an answer")

    def freeze(self, frozen: bool) -> None:
        """Stop all processes of the server, or let them go on."""
        self.server().freeze(frozen)


class FaultOnMariaDBTests(FaultTests):
    """The same tests on MariaDB."""

    server = staticmethod(mariadb)


class StartTests(DatabaseTestCase):
    """Faults that prevent a start."""

    server = staticmethod(postgresql)

    def refused(self) -> str:
        """The output of a daemon that does not start."""
        try:
            self.daemon(self.toml)
        except AssertionError as error:
            return str(error)
        return self.fail("it starts")

    def test_no_tables(self) -> None:
        """Without tables the daemon does not start, and says which command creates them."""
        log = self.refused()
        self.assertIn("there are no tables yet: run `imgsvc-admin database upgrade`", log)
        self.assertNotIn("Traceback", log)
        self.assertNotIn(PASSWORD, log)

    def test_away(self) -> None:
        """Without the server the daemon does not start, and names the cause without the password."""
        self.toml = self.toml.replace(str(self.server().folder), "/nowhere")
        log = self.refused()
        self.assertIn("No such file or directory", log)
        self.assertNotIn("Traceback", log)
        self.assertNotIn(PASSWORD, log)

    def test_admin(self) -> None:
        """The version is shown before and after the upgrade. Errors are one line without the password."""
        version = self.admin("database", "version")
        self.assertEqual(version.returncode, 1)
        self.assertTrue(version.stdout.startswith("empty, needed 0"), version)
        self.assertEqual(self.admin("database", "upgrade").stdout.split()[:2], ["empty", "->"])
        self.assertEqual(self.admin("database", "upgrade").stdout.split()[1], "already")
        self.assertEqual(self.admin("database", "version").returncode, 0)
        self.toml = self.toml.replace(str(self.server().folder), "/nowhere")
        failed = self.admin("database", "upgrade")
        self.assertEqual((failed.returncode, failed.stdout, failed.stderr.count("\n")), (1, "", 1))
        self.assertNotIn(PASSWORD, failed.stderr)


class StartOnMariaDBTests(StartTests):
    """The same tests on MariaDB."""

    server = staticmethod(mariadb)
