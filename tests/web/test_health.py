"""`/healthcheck`"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any, ClassVar

from attrs import evolve
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred

from imgsvc.errors import CatalogueUnavailable, ObjectMissing, StoreAway, StoreUnavailable
from tests.support.server import Answer, Connection, parse_answer
from tests.web.rigs import MEMORY, ONE_STORE, THREE_STORES, ApiTestCase

INSIDER = IPv4Address("TCP", "10.1.1.1", 1)
STRANGER = IPv4Address("TCP", "10.2.2.2", 1)


class HealthTestCase(ApiTestCase):
    """Tests of single requests."""

    def get(self, accept: str | None = None, path: str = "/healthcheck", method: str = "GET") -> Answer:
        """The response."""
        return self.server.request(method, path, None if accept is None else {"Accept": accept})


class PlainTests(HealthTestCase):
    """Requests of a load balancer."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "server": {"disable_file": "disabled"}}

    def test_forms(self) -> None:
        """The reason has the type of the Accept header, and is plain text without one."""
        for accept, content_type, text in (
            (None, "text/plain", "OK"),
            ("", "text/plain", "OK"),
            ("*/*", "text/plain", "OK"),
            ("image/png", "text/plain", "OK"),
            ("application/json", "application/json", '{"detailed": false, "reasons": ["OK"]}'),
            ("text/html", "text/html", "<h1>OK</h1>"),
        ):
            answer = self.get(accept)
            self.assertEqual(answer.headers["content-type"], f"{content_type}; charset=UTF-8")
            self.assertIn(text, answer.body.decode())

    def test_methods(self) -> None:
        """GET is 200, HEAD 204 without a body, other methods 405."""
        answer = self.get()
        self.assertEqual((answer.status, answer.body), (200, b"OK"))
        connection = self.server.connect()
        connection.send(b"HEAD /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, rest = connection.received.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 204 "))
        self.assertEqual(rest, b"")
        answer = self.get(method="POST")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"))
        self.assertEqual(self.server.request("GET", "/healthcheck", None, b"x").status, 400)

    def test_disabled(self) -> None:
        """503 as long as the file exists, even if everything works."""
        file = self.folder / "disabled"
        file.touch()
        self.addCleanup(file.unlink, missing_ok=True)
        for path in ("/healthcheck", "/healthcheck?detail"):
            answer = self.get(path=path)
            self.assertEqual((answer.status, answer.body), (503, b"DISABLED BY FILE"))
        self.assertEqual(self.server.store().calls.count("usage"), 0)
        connection = self.server.connect()
        connection.send(b"HEAD /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, rest = connection.received.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 503 "))
        self.assertEqual(rest, b"")
        file.unlink()
        self.assertEqual(self.get().status, 200)

    def test_no_checks(self) -> None:
        """Without `?detail` no store is asked, whatever else is in the query."""
        self.server.store().fail("usage", StoreUnavailable("local", "gone"))
        for query in ("", "?", "?details", "?x=detail", "?%F0%B8=%FF&&="):
            self.assertEqual(self.get(path=f"/healthcheck{query}").status, 200)
        self.assertEqual(self.server.store().calls.count("usage"), 0)


class ReservedStoreTests(HealthTestCase):
    """Stores that clients do not see."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": {**ONE_STORE, "area": {**MEMORY, "purpose": "staging"}},
        "server": {"health_peers": ["10.1.0.0/16"]},
    }

    def test_named(self) -> None:
        """They are checked too."""
        connection = self.server.connect(INSIDER)
        connection.send(b"GET /healthcheck?detail HTTP/1.1\r\nHost: x\r\n\r\n")
        answer, _ = parse_answer(connection.received)
        self.assertEqual(answer.body.decode(), "OK\ncatalogue: OK\nstore local: OK\nstore area: OK")


class DetailTests(HealthTestCase):
    """`?detail` checks the catalogue and the stores."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": THREE_STORES,
        "server": {"health_peers": ["10.1.0.0/16", "unix"]},
    }

    def begin(self, peer: Any = INSIDER, *lines: str, method: str = "GET") -> Connection:
        """A connection that has sent the request."""
        connection = self.server.connect(peer)
        head = "".join(f"{line}\r\n" for line in lines)
        connection.send(f"{method} /healthcheck?detail HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
        return connection

    def detail(self, peer: Any = INSIDER, *lines: str) -> Answer:
        """The response to it."""
        answer, _ = parse_answer(self.begin(peer, *lines).received)
        return answer

    def test_well(self) -> None:
        """Catalogue and stores are named, in every form."""
        answer = self.detail()
        names = ["catalogue", "store cheap", "store fast", "store far"]
        self.assertEqual(
            (answer.status, answer.body.decode()), (200, "\n".join(["OK", *(f"{name}: OK" for name in names)]))
        )
        answer = self.detail(INSIDER, "Accept: application/json")
        reasons = [{"name": name, "reason": "OK"} for name in names]
        self.assertEqual((answer.status, answer.json), (200, {"detailed": True, "reasons": reasons}))
        self.assertIn(b"<h1>OK</h1><ul><li>catalogue: OK</li>", self.detail(INSIDER, "Accept: text/html").body)
        self.assertEqual(self.final_status(self.begin(method="HEAD")), 204)

    def test_store_fails(self) -> None:
        """A store that fails is 503, and its error is only logged."""
        self.server.store("far").fail("usage", StoreUnavailable("far", "/secret/path is gone"))
        answer = self.detail()
        self.assertEqual(answer.status, 503)
        self.assertEqual(answer.body.decode().split("\n")[0], "UNAVAILABLE")
        self.assertIn("store far: FAILED", answer.body.decode())
        self.assertIn("store fast: OK", answer.body.decode())
        self.assertNotIn("secret", answer.body.decode())
        self.assertEqual(self.final_status(self.begin(method="HEAD")), 503)

    def test_store_away(self) -> None:
        """A store whose medium is away is 503 and named as away. Without `detail` the response is 200."""
        self.server.store("far").fail("usage", StoreAway("far", "x"))
        answer = self.detail()
        self.assertEqual(answer.status, 503)
        self.assertIn("store far: AWAY", answer.body.decode())
        self.assertEqual(self.get().status, 200)

    def uploaded(self, data: bytes = b"data") -> str:
        """An image in the default store, `fast`."""
        image: str = self.server.image()["id"]
        self.assertEqual(self.server.put(image, data).status, 204)
        return image

    def found(self) -> tuple[int, list[str]]:
        """Status and findings, a second later."""
        self.server.clock.advance(1)
        answer = self.detail()
        return answer.status, [line for line in answer.body.decode().split("\n")[1:] if not line.endswith(": OK")]

    def test_object_missing(self) -> None:
        """A missing object that a download wanted is reported until it is back, or its image is deleted."""
        images = [self.uploaded() for _ in range(3)]
        store = self.server.store("fast").inner
        objects = dict(store._objects)
        store._objects.clear()
        self.assertEqual(self.found(), (200, []))
        for image in images:
            self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file").status, 503)
        told = (503, ["store fast: OBJECTS MISSING"])
        self.assertEqual(self.found(), told)
        self.assertEqual(self.get().status, 200)
        store._objects[images[0]] = objects[images[0]]
        self.assertEqual(self.found(), told)
        self.assertEqual(self.server.request("DELETE", f"/v2/images/{images[1]}").status, 204)
        self.assertEqual(self.found(), told)
        store._objects[images[2]] = evolve(objects[images[2]], data=b"dat")
        self.assertEqual(self.found(), told)
        store._objects[images[2]] = objects[images[2]]
        self.assertEqual(self.found(), (200, []))

    def test_copy_missing(self) -> None:
        """It is also reported if another store has a copy."""
        image = self.uploaded()
        cheap, fast = self.server.store("cheap"), self.server.store("fast")
        cheap.inner._objects[image] = fast.inner._objects[image]
        statement = (
            "INSERT INTO image_locations (image_id, store_id, url, metadata) SELECT image_id, 'cheap', url, '{}'"
        )
        with closing(sqlite3.connect(self.folder / "imgsvc.sqlite")) as connection, connection:
            connection.execute(f"{statement} FROM image_locations")
        cheap.fail("reader", ObjectMissing("cheap", "x"))
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file").status, 200)
        self.assertEqual(self.found(), (200, []))  # it exists when it is checked
        self.server.request("GET", f"/v2/images/{image}/file")
        cheap.inner._objects.clear()
        self.assertEqual(self.found(), (503, ["store cheap: OBJECTS MISSING"]))

    def test_catalogue_fails(self) -> None:
        """A database that does not answer is reported."""

        def check() -> Deferred[None]:
            raise CatalogueUnavailable("locked")

        self.patch(self.server.server.core.catalogue._database, "read", lambda _: check())
        answer = self.detail(INSIDER, "Accept: application/json")
        self.assertEqual((answer.status, answer.json["reasons"][0]), (503, {"name": "catalogue", "reason": "FAILED"}))

    def test_store_hangs(self) -> None:
        """A hanging store is waited for only so long, asked once, and reported as well after it has answered."""
        store = self.server.store("far")
        store.hang("usage")
        for _ in range(3):
            connection = self.begin()
            self.assertIsNone(self.final_status(connection))
            self.server.clock.advance(5.1)
            answer, _ = parse_answer(connection.received)
            self.assertEqual(answer.status, 503)
            self.assertIn("store far: NO ANSWER", answer.body.decode())
            self.server.clock.advance(1.1)
        self.assertEqual(store.calls.count("usage"), 1)
        self.assertEqual(self.server.store("fast").calls.count("usage"), 3)
        store.heal()
        self.assertEqual(self.detail().status, 200)

    def test_at_once(self) -> None:
        """All checks run at once, and requests that come meanwhile wait for the same result, or disconnect."""
        for name in ("far", "fast"):
            self.server.store(name).hang("usage")
        waiting = [self.begin() for _ in range(5)]
        self.assertEqual([self.server.store(name).calls.count("usage") for name in ("far", "fast", "cheap")], [1, 1, 1])
        for connection in waiting[:2]:
            connection.lose()
        self.server.clock.advance(5.1)
        self.assertEqual([self.final_status(connection) for connection in waiting], [None, None, 503, 503, 503])

    def test_all_leave(self) -> None:
        """If nobody waits any more, the check continues, and its result is kept."""
        self.server.store("far").hang("usage")
        self.begin().lose()
        self.server.clock.advance(1)
        self.server.store("far").heal()
        self.assertEqual(self.detail().status, 200)
        self.assertEqual(self.server.store("fast").calls.count("usage"), 1)

    def test_kept(self) -> None:
        """A result is used again for a second."""
        store = self.server.store("far")
        for _ in range(10):
            self.detail()
            self.detail(STRANGER)
        self.assertEqual(store.calls.count("usage"), 1)
        store.fail("usage", StoreUnavailable("far", "gone"))
        self.assertEqual(self.detail().status, 200)
        self.server.clock.advance(1)
        self.assertEqual(self.detail().status, 503)
        self.assertEqual(store.calls.count("usage"), 2)

    def test_strangers(self) -> None:
        """Other clients learn whether all is well, but not what fails. Clients of a proxy are such clients."""
        self.server.store("far").fail("usage", StoreUnavailable("far", "gone"))
        for peer, lines in (
            (STRANGER, ()),
            (INSIDER, ("X-Forwarded-For: 10.1.1.2",)),
            (INSIDER, ("Via: 1.1 proxy",)),
            (INSIDER, ("Forwarded: for=10.1.1.2",)),
        ):
            answer = self.detail(peer, *lines)
            self.assertEqual((answer.status, answer.body), (503, b"UNAVAILABLE"))
            answer = self.detail(peer, "Accept: application/json", *lines)
            self.assertEqual(answer.json, {"detailed": False, "reasons": ["UNAVAILABLE"]})
        self.assertIn(b"store far", self.detail(UNIXAddress(None)).body)
