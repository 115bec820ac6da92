"""HEAD gives the response of GET without its body."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from imgsvc.errors import ObjectMissing, StoreUnavailable
from tests.support.server import Answer
from tests.web.location_rigs import V21
from tests.web.rigs import ADMIN, BEHIND_PROXY, MEMBER, READER, STRANGER, THREE_STORES, ApiTestCase

DATA = bytes(range(256)) * 4
NAMESPACE = {
    "namespace": "known",
    "visibility": "public",
    "properties": {"known": {"type": "string", "title": "P"}},
    "objects": [{"name": "known"}],
    "tags": [{"name": "known"}],
    "resource_type_associations": [{"name": "OS::R"}],
}


class HeadTestCase(ApiTestCase):
    """An image of a member with the data DATA."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": THREE_STORES, "identity": BEHIND_PROXY}

    def setUp(self) -> None:
        super().setUp()
        self.image = self.made(name="disk")
        self.assertEqual(self.server.put(self.image, DATA, **MEMBER).status, 204)
        self.path = f"/v2/images/{self.image}/file"

    def made(self, **fields: Any) -> str:
        """The id of a new image."""
        document = json.dumps({"disk_format": "raw", "container_format": "bare", **fields}).encode()
        image_id: str = self.server.request("POST", "/v2/images", MEMBER, document).json["id"]
        return image_id

    def both(self, path: str, who: dict[str, str] = MEMBER, **headers: str) -> Answer:
        """The response to GET. That to HEAD is the same, except the body."""
        lines = {**who, "X-OpenStack-Request-ID": "same", "Accept": "application/json", **headers}
        got, head = (self.server.request(method, path, lines) for method in ("GET", "HEAD"))
        for answer in (got, head):
            del answer.headers["date"]  # of which the second may be the next one
        self.assertEqual((head.status, head.headers, head.body), (got.status, got.headers, b""), (path, headers))
        return got


class RouteTests(HeadTestCase):
    """All routes that take GET take HEAD."""

    def test_every_route(self) -> None:
        """Status and headers are those of GET."""
        self.server.request("POST", f"/v2/images/{self.image}/members", MEMBER, b'{"member": "red"}')
        self.server.request("POST", "/v2/metadefs/namespaces", ADMIN, json.dumps(NAMESPACE).encode())
        names = {"image_id": self.image, "member_id": "red", "namespace": "known", "name": "known"}
        paths = [route.path for route in self.server.site.resource.routes if route.method == "GET"]
        for path in paths:
            for name, value in names.items():
                path = path.replace(f"<{name}>", value)
            if path != "/healthcheck":
                answer = self.both(path, ADMIN)
                self.assertEqual(answer.status, 200, path)
                self.assertEqual(answer.headers["content-length"], str(len(answer.body)), path)

    def test_errors(self) -> None:
        """Refusals are those of GET too."""
        absent = "/v2/images/00000000-0000-4000-8000-000000000000"
        for path, who, status in (
            *((absent, MEMBER, 404), (f"{absent}/file", MEMBER, 404), ("/v2/nothing", MEMBER, 404)),
            *((f"/v2/images/{self.image}", STRANGER, 404), (f"/v2/images/{self.image}", {}, 401)),
            *(("/v2/images?limit=x", MEMBER, 400), ("/v2/info/stores/detail", MEMBER, 403), ("/", MEMBER, 300)),
            ("/v2/%ff", MEMBER, 400),
        ):
            self.assertEqual(self.both(path, who).status, status, path)

    def test_not_there(self) -> None:
        """405 if there is no GET."""
        answer = self.server.request("HEAD", f"/v2/images/{self.image}/tags/x", MEMBER)
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "DELETE, PUT"))

    def test_body(self) -> None:
        """400 with a body."""
        for path in (self.path, "/v2/images"):
            self.assertEqual(self.server.request("HEAD", path, MEMBER, b"x").status, 400)

    def test_connection(self) -> None:
        """The connection is kept, and later responses have their bodies."""
        connection = self.server.connect()
        lines = "".join(f"{name}: {value}\r\n" for name, value in MEMBER.items())
        for method in ("HEAD", "HEAD", "GET"):
            connection.send(f"{method} {self.path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        heads = connection.received.split(b"\r\n\r\n", 3)
        self.assertTrue(all(head.startswith(b"HTTP/1.1 200 ") for head in heads[:3]))
        self.assertEqual(heads[3], DATA)


class DataTests(HeadTestCase):
    """The data of an image."""

    def test_whole(self) -> None:
        """The response has all that a download tool asks before it begins."""
        answer = self.both(self.path)
        self.assertEqual((answer.status, answer.body), (200, DATA))
        names = ("content-length", "accept-ranges", "etag", "last-modified", "content-md5", "content-disposition")
        self.assertEqual([name for name in names if name not in answer.headers], [])
        self.assertEqual((answer.headers["content-length"], answer.headers["accept-ranges"]), ("1024", "bytes"))

    def test_parts(self) -> None:
        """Ranges and conditions."""
        etag = self.both(self.path).headers["etag"]
        for headers, status in (
            ({"Range": "bytes=1-9"}, 206),
            ({"Range": "bytes=1024-"}, 416),
            ({"Range": "bytes=0-1,3-4"}, 400),
            ({"Range": "bytes=1-9", "If-Range": '"other"'}, 200),
            ({"If-None-Match": etag}, 304),
            ({"If-Match": '"other"'}, 412),
        ):
            self.assertEqual(self.both(self.path, **headers).status, status, headers)

    def test_who(self) -> None:
        """Callers that may download get a response, and nobody else."""
        for who, status in ((ADMIN, 200), (READER, 403), (STRANGER, 404), ({}, 401)):
            self.assertEqual(self.both(self.path, who).status, status)
        self.assertEqual(self.both(f"{self.path}?prefer=cheap").status, 200)
        self.assertEqual(self.both(f"{self.path}?prefer=none").status, 400)

    def test_states(self) -> None:
        """204 without data; 403 while the image is deactivated."""
        self.assertEqual(self.both(f"/v2/images/{self.made()}/file").status, 204)
        self.server.request("POST", f"/v2/images/{self.image}/actions/deactivate", MEMBER)
        self.assertEqual(self.both(self.path).status, 403)

    def test_not_read(self) -> None:
        """The object is opened, not read, and closed again."""
        opened: list[Any] = []
        store = self.server.store("fast")
        inner = store.inner.reader

        class Watched:
            """Counts the calls of a reader."""

            def __init__(self, reader: Any) -> None:
                self.reader, self.done = reader, []
                self.length = reader.length
                opened.append(self)

            def startProducing(self, consumer: Any) -> Any:
                self.done.append("start")
                return self.reader.startProducing(consumer)

            def stopProducing(self) -> None:
                self.done.append("stop")
                self.reader.stopProducing()

        def reader(*given: Any) -> Any:
            return inner(*given).addCallback(Watched)

        self.patch(store.inner, "reader", reader)
        self.assertEqual(self.server.request("HEAD", self.path, MEMBER).status, 200)
        self.assertEqual([each.done for each in opened], [["stop"]])

    def test_store_away(self) -> None:
        """A missing object, or a store that does not answer, gives the status of GET."""
        for error in (ObjectMissing("fast", "the object is not there."), StoreUnavailable("fast", "it is away.")):
            self.server.store("fast").fail("reader", error)
            self.both(self.path)
        self.assertEqual(self.server.request("HEAD", self.path, MEMBER).status, 503)


class NameTests(HeadTestCase):
    """`Content-Disposition`"""

    def name(self, name: str | None, **fields: Any) -> str:
        """The file name for the data of an image with this name."""
        image = self.made(name=name, **fields)
        self.server.put(image, DATA, **MEMBER)
        return self.both(f"/v2/images/{image}/file").headers["content-disposition"].replace(image, "ID")

    def test_sent(self) -> None:
        """The header is sent with the whole data and with parts, and with nothing else."""
        for headers, sent in (({}, True), ({"Range": "bytes=0-1"}, True), ({"Range": "bytes=5000-"}, False)):
            answer = self.both(self.path, **headers)
            self.assertEqual("content-disposition" in answer.headers, sent)
        self.assertEqual(self.name("disk"), 'attachment; filename="disk.raw"')

    def test_changed(self) -> None:
        """It has the current name of the image."""
        patch = b'[{"op": "replace", "path": "/name", "value": "other.img"}]'
        self.server.request("PATCH", f"/v2/images/{self.image}", {**MEMBER, "Content-Type": V21}, patch)
        self.assertEqual(self.both(self.path).headers["content-disposition"], 'attachment; filename="other.img"')

    def test_unnamed(self) -> None:
        """Without a name it has the id."""
        for name in (None, "", "  ", "...", "\u202e"):
            self.assertEqual(self.name(name), 'attachment; filename="ID.raw"')
