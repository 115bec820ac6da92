"""Downloads of images."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from contextlib import closing
from datetime import datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, ClassVar

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import globalLogPublisher

from imgsvc.errors import ObjectMissing, StoreUnavailable
from tests.support.server import Answer
from tests.web.rigs import (
    ADMIN,
    BEHIND_PROXY,
    MEMBER,
    ONE_STORE,
    READER,
    STRANGER,
    THREE_STORES,
    ApiTestCase,
)

DATA = bytes(range(256)) * 4
ABSENT = "11111111-2222-3333-4444-555555555555"


class DownloadTestCase(ApiTestCase):
    """Tests with an image whose data is DATA."""

    def setUp(self) -> None:
        super().setUp()
        self.image = self.server.image()["id"]
        self.assertEqual(self.server.put(self.image, DATA).status, 204)

    def get(self, headers: dict[str, str] | None = None, image_id: str | None = None) -> Answer:
        """Download."""
        return self.server.request("GET", f"/v2/images/{image_id or self.image}/file", headers)


class WholeTests(DownloadTestCase):
    """Requests without a range."""

    def test_headers(self) -> None:
        """200 with the type, the length and the MD5 in hex."""
        answer = self.get()
        self.assertEqual((answer.status, answer.body), (200, DATA))
        self.assertEqual(answer.headers["content-type"], "application/octet-stream")
        self.assertEqual(answer.headers["content-length"], "1024")
        self.assertEqual(answer.headers["content-md5"], hashlib.md5(DATA).hexdigest())
        self.assertEqual(answer.headers["accept-ranges"], "bytes")
        self.assertNotIn("content-range", answer.headers)

    def test_nothing(self) -> None:
        """An image of size 0 is 200 with a length of 0."""
        image = self.server.image()["id"]
        self.server.put(image, b"")
        answer = self.get(image_id=image)
        self.assertEqual((answer.status, answer.headers["content-length"], answer.body), (200, "0", b""))
        self.assertEqual(answer.headers["content-md5"], hashlib.md5(b"").hexdigest())

    def test_no_data(self) -> None:
        """204 for an image that waits for data or is receiving it, whatever range is requested."""
        image = self.server.image()["id"]
        for headers in (None, {"Range": "bytes=0-4"}, {"Range": "x"}, {"Content-Range": "bytes */5"}):
            self.assertEqual(self.get(headers, image).status, 204)
        upload = self.begin_put(image, 4, b"da")
        answer = self.get(image_id=image)
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertNotIn("etag", answer.headers)
        upload.lose()

    def test_only_copy_missing(self) -> None:
        """503 with the reason if the store does not have the object: a client would take an empty response for the
        image.
        """
        self.server.store().fail("reader", ObjectMissing("local", "the object is not there."))
        answer = self.get()
        self.assertEqual(answer.status, 503)
        self.assertIn(f"Image {self.image}: its data is missing".encode(), answer.body)
        for name in ("etag", "content-md5", "last-modified"):
            self.assertNotIn(name, answer.headers)

    def test_nothing_missing(self) -> None:
        """204 for an image of size 0 that the store does not have, because it is empty."""
        image = self.server.image()["id"]
        self.server.put(image, b"")
        self.server.store().fail("reader", ObjectMissing("local", "the object is not there."))
        answer = self.get(image_id=image)
        self.assertEqual((answer.status, answer.body), (204, b""))
        for name in ("etag", "content-md5", "content-length", "last-modified"):
            self.assertNotIn(name, answer.headers)

    def test_other_size(self) -> None:
        """503 before the first byte if the object has another size, whatever part is requested."""
        objects = self.server.store().inner._objects
        kept = objects[self.image]
        for data in (DATA[:-1], DATA + b"x"):
            objects[self.image] = evolve(kept, data=data)
            for headers in (None, {"Range": "bytes=0-4"}):
                self.assertEqual(self.get(headers).status, 503)
        objects[self.image] = kept
        self.assertEqual(self.get().body, DATA)

    def test_absent(self) -> None:
        """404 for an image that does not exist, or was deleted."""
        self.server.request("DELETE", f"/v2/images/{self.image}")
        for image_id in (ABSENT, self.image, "x" * 100, "%C3%BC"):
            self.assertEqual(self.get(image_id=image_id).status, 404)

    def test_body(self) -> None:
        """A request with a body is 400."""
        answer = self.server.request("GET", f"/v2/images/{self.image}/file", body=b"x")
        self.assertEqual(answer.status, 400)
        self.assertEqual(self.server.request("GET", f"/v2/images/{self.image}/file", body=b"").status, 200)


class ConditionalTests(DownloadTestCase):
    """Conditional requests."""

    def test_caches(self) -> None:
        """Caches get an ETag, and must revalidate each time."""
        changed = datetime.fromisoformat(self.server.show(self.image)["updated_at"])
        for headers, status in ({}, 200), ({"Range": "bytes=0-1"}, 206), ({"If-None-Match": "*"}, 304):
            answer = self.get(headers)
            self.assertEqual((answer.status, answer.headers["cache-control"]), (status, "no-cache"))
            self.assertEqual(parsedate_to_datetime(answer.headers["last-modified"]), changed)
            self.assertIn("etag", answer.headers)

    def test_if_none_match(self) -> None:
        """304 without a body for clients that have the bytes."""
        etag = self.get().headers["etag"]
        self.assertRegex(etag, '^"[0-9a-f]{64}"$')
        for value in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            answer = self.get({"If-None-Match": value})
            self.assertEqual((answer.status, answer.headers.get("etag"), answer.body), (304, etag, b""), value)
            self.assertNotIn("content-md5", answer.headers)
        self.assertEqual(self.get({"If-None-Match": '"other"'}).status, 200)
        self.assertEqual(self.get({"If-None-Match": etag, "Range": "bytes=0-1"}).status, 304)
        self.assertEqual(self.get({"If-None-Match": f'{etag}\r\nIf-None-Match: "other"'}).status, 304)
        for value in ("", "other", etag.strip('"'), '"*"', f'"{etag}'):
            self.assertEqual(self.get({"If-None-Match": value}).status, 200, value)

    def test_if_match(self) -> None:
        """412 for clients that want other bytes, without the headers of the data. A weak tag never matches."""
        etag = self.get().headers["etag"]
        for value in (etag, "*", f'"other", {etag}', f'"other"\r\nIf-Match: {etag}'):
            self.assertEqual(self.get({"If-Match": value}).status, 200, value)
        for value in ('"other"', f"W/{etag}", "", "other"):
            answer = self.get({"If-Match": value, "Range": "bytes=0-1", "If-None-Match": etag})
            self.assertEqual(answer.status, 412, value)
            self.assertNotIn("etag", answer.headers)
        self.assertEqual(self.get({"If-Match": etag, "If-None-Match": etag}).status, 304)

    def test_dates(self) -> None:
        """A date is compared in whole seconds, and only if there are no tags and it can be parsed."""
        answer = self.get()
        same, etag = answer.headers["last-modified"], answer.headers["etag"]
        changed = parsedate_to_datetime(same)
        before, after = (format_datetime(changed + timedelta(seconds=count), usegmt=True) for count in (-1, 1))
        for headers, status in (
            ({"If-Modified-Since": same}, 304),
            ({"If-Modified-Since": after}, 304),
            ({"If-Modified-Since": before}, 200),
            ({"If-Modified-Since": same, "If-None-Match": '"other"'}, 200),
            ({"If-Unmodified-Since": same}, 200),
            ({"If-Unmodified-Since": before}, 412),
            ({"If-Unmodified-Since": before, "If-Match": etag}, 200),
            ({"If-Unmodified-Since": before, "If-Modified-Since": same}, 412),
            ({"If-Unmodified-Since": "x", "If-Modified-Since": "Mon, 01 Jan 99999999999999 00:00:00 GMT"}, 200),
        ):
            self.assertEqual(self.get(headers).status, status, headers)

    def test_no_tag(self) -> None:
        """For an image without digests only `*` matches."""
        with closing(sqlite3.connect(self.folder / "imgsvc.sqlite")) as connection, connection:
            connection.execute("UPDATE images SET checksum = NULL, os_hash_algo = NULL, os_hash_value = NULL")
        for headers, status in (
            ({"If-None-Match": '"x"'}, 200),
            ({"If-None-Match": "*"}, 304),
            ({"If-Match": '"x"'}, 412),
            ({"If-Match": "*"}, 200),
            ({"If-Range": '"x"', "Range": "bytes=0-1"}, 200),
        ):
            answer = self.get(headers)
            self.assertEqual(answer.status, status, headers)
            self.assertNotIn("etag", answer.headers)

    def test_if_range(self) -> None:
        """The range if the bytes are the same, otherwise all of them."""
        etag = self.get().headers["etag"]
        self.assertEqual(self.get({"If-Range": etag, "Range": "bytes=0-1"}).status, 206)
        for value in ('"other"', f"W/{etag}", "Tue, 24 Nov 2026 08:00:00 GMT", "x"):
            answer = self.get({"If-Range": value, "Range": "bytes=0-1"})
            self.assertEqual((answer.status, answer.body), (200, DATA), value)

    def test_same_bytes_same_tag(self) -> None:
        """The tag depends on the bytes only."""
        other = self.server.image()["id"]
        self.server.put(other, DATA)
        self.assertEqual(self.get().headers["etag"], self.get(image_id=other).headers["etag"])


class RangeTests(DownloadTestCase):
    """`Range`, and the old form `Content-Range`."""

    def assert_part(self, headers: dict[str, str], start: int, stop: int) -> None:
        """The response is this part of DATA."""
        answer = self.get(headers)
        self.assertEqual((answer.status, answer.body), (206, DATA[start:stop]), headers)
        self.assertEqual(answer.headers["content-range"], f"bytes {start}-{stop - 1}/1024")
        self.assertEqual(answer.headers["content-length"], str(stop - start))
        self.assertEqual(answer.headers["content-md5"], hashlib.md5(DATA).hexdigest())

    def assert_unsatisfiable(self, headers: dict[str, str], image_id: str | None = None, size: int = 1024) -> None:
        """The response is 416 with the size."""
        answer = self.get(headers, image_id)
        self.assertEqual(answer.status, 416, headers)
        self.assertEqual(answer.headers["content-range"], f"bytes */{size}")
        self.assertNotIn("content-md5", answer.headers)

    def test_parts(self) -> None:
        """Every form of one range."""
        for value, start, stop in (
            ("bytes=0-0", 0, 1),
            ("bytes=5-9", 5, 10),
            ("bytes=1023-1023", 1023, 1024),
            ("bytes=1020-5000", 1020, 1024),
            ("bytes=1000-9223372036854775807", 1000, 1024),
            ("bytes=1000-99999999999999999999999999", 1000, 1024),
            ("bytes=-99999999999999999999999999", 0, 1024),
            ("bytes=0-", 0, 1024),
            ("bytes=1000-", 1000, 1024),
            ("bytes=-1", 1023, 1024),
            ("bytes=-1024", 0, 1024),
            ("bytes=-5000", 0, 1024),
            ("bytes=-0", 0, 1024),
            ("BYTES=5-9", 5, 10),
            ("bytes = 5-9", 5, 10),
            ("bytes=005-009", 5, 10),
        ):
            self.assert_part({"Range": value}, start, stop)

    def test_unsatisfiable(self) -> None:
        """Ranges that cannot be parsed, or begin beyond the end."""
        for value in (
            *(
                "bytes=5-2",
                "items=0-5",
                "bytes=a-b",
                "bytes=",
                "bytes=-",
                "bytes=+1-2",
                "bytes",
                "",
                "5-9",
                "bytes=5",
                "bytes=--5",
            ),
            *(
                "bytes=1024-",
                "bytes=1024-2000",
                "bytes=99999999999999999999-",
                "bytes=0x1-2",
                "bytes=1.5-2",
                "bytes=+1-2",
            ),
            "bytes 0-5",
        ):
            self.assert_unsatisfiable({"Range": value})

    def test_several(self) -> None:
        """More than one range is 400."""
        for value in ("bytes=0-1,3-4", "bytes=0-1, 3-4", "bytes=0-,", "x,y", "bytes=0-1\r\nRange: bytes=3-4"):
            self.assertEqual(self.get({"Range": value}).status, 400, value)

    def test_blanks(self) -> None:
        """A header with thousands of blanks is parsed quickly."""
        blanks = " " * 15_000
        began = time.process_time()
        for value in (f"bytes={blanks}x", f"bytes=1{blanks}x", f"bytes{blanks}x"):
            self.assert_unsatisfiable({"Range": value})
        self.assert_unsatisfiable({"Content-Range": f"bytes{blanks}x"})
        self.assertLess(time.process_time() - began, 0.5)

    def test_of_nothing(self) -> None:
        """An image of size 0 has no ranges."""
        image = self.server.image()["id"]
        self.server.put(image, b"")
        for value in ("bytes=0-", "bytes=0-0", "bytes=-5", "bytes=-0"):
            self.assert_unsatisfiable({"Range": value}, image, 0)

    def test_content_range(self) -> None:
        """The old form of a request for a part."""
        for value, start, stop in (
            ("bytes 0-0/*", 0, 1),
            ("bytes 5-9/1024", 5, 10),
            ("bytes 5-9/10", 5, 10),
            ("bytes 1000-1023/*", 1000, 1024),
            ("Bytes 5-9/*", 5, 10),
        ):
            self.assert_part({"Content-Range": value}, start, stop)

    def test_content_range_unsatisfiable(self) -> None:
        """Ranges that cannot be parsed, or end beyond the image."""
        for value in (
            *("bytes 1024-1025/2000", "bytes 1000-1024/*", "bytes 2-30/10", "bytes 5-2/*", "bytes */1024", "bytes 5-9"),
            *("items 5-9/*", "bytes=5-9", "", "bytes -5/*", "bytes 5-/*"),
        ):
            self.assert_unsatisfiable({"Content-Range": value})

    def test_range_counts(self) -> None:
        """Content-Range is ignored if there is a Range."""
        self.assert_part({"Range": "bytes=0-1", "Content-Range": "bytes 5-9/*"}, 0, 2)
        self.assert_part({"Range": "bytes=0-1", "Content-Range": "x"}, 0, 2)

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(
        st.sampled_from([0, 1, 2, 10, 1000]),
        st.one_of(
            st.tuples(st.integers(0, 1100), st.none() | st.integers(0, 1100)).map(
                lambda pair: f"bytes={pair[0]}-{'' if pair[1] is None else pair[1]}"
            ),
            st.integers(0, 1100).map(lambda length: f"bytes=-{length}"),
            st.text("bytes=-0123456789 ", max_size=12).map(str.strip),
        ),
    )
    def test_against_oracle(self, size: int, header: str) -> None:
        """Any range of any size gives the same as a model that looks at each byte."""
        sizes = self.__dict__.setdefault("sizes", {})
        if size not in sizes:
            sizes[size] = self.server.image()["id"]
            self.server.put(sizes[size], DATA[:size])
        answer = self.get({"Range": header}, sizes[size])
        wanted = wanted_bytes(header, size)
        if wanted is None:
            self.assertEqual((answer.status, answer.headers["content-range"]), (416, f"bytes */{size}"))
        else:
            self.assertEqual((answer.status, answer.body), (206, bytes(DATA[index] for index in wanted)))
            self.assertEqual(answer.headers["content-range"], f"bytes {wanted[0]}-{wanted[-1]}/{size}")


def wanted_bytes(header: str, size: int) -> list[int] | None:
    """The bytes that a Range header names, found by looking at each byte; None if there are none."""
    form = re.fullmatch("bytes *= *([0-9]*) *- *([0-9]*)", header)
    if form is None or form.group(1) == form.group(2) == "":
        return None
    first, last = (int(text) if text else None for text in form.groups())
    if first is None:
        return [index for index in range(size) if last == 0 or size - index <= (last or 0)] or None
    return [index for index in range(size) if first <= index and (last is None or index <= last)] or None


class PermissionTests(ApiTestCase):
    """Which callers may download."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "identity": BEHIND_PROXY}

    def made(self, visibility: str) -> str:
        """An image of the project blue, with data."""
        body = b'{"disk_format": "raw", "container_format": "bare", "visibility": "%s", "owner": "blue"}'
        answer = self.server.request("POST", "/v2/images", ADMIN, body % visibility.encode())
        made: str = answer.json["id"]
        self.assertEqual(self.server.put(made, b"data", **ADMIN).status, 204)
        return made

    def get(self, image_id: str, who: dict[str, str]) -> int:
        """The status of a download."""
        return self.server.request("GET", f"/v2/images/{image_id}/file", who).status

    def test_each(self) -> None:
        """Members may download, readers may not. Strangers may download what everybody sees."""
        for visibility, stranger in (("public", 200), ("community", 200), ("shared", 404), ("private", 404)):
            image = self.made(visibility)
            statuses = [self.get(image, who) for who in (MEMBER, READER, ADMIN, STRANGER, {})]
            self.assertEqual(statuses, [200, 403, 200, stranger, 401], visibility)

    def test_deactivated(self) -> None:
        """Only administrators download a deactivated image, not even its owner."""
        image = self.made("public")
        with sqlite3.connect(self.folder / "imgsvc.sqlite") as connection:
            connection.execute("UPDATE images SET status = 'deactivated' WHERE id = ?", (image,))
        connection.close()
        self.assertEqual([self.get(image, who) for who in (MEMBER, STRANGER, ADMIN)], [403, 403, 200])


class FailingStoreTests(DownloadTestCase):
    """Stores that fail or do not answer."""

    down = StoreUnavailable("local", "does not answer.")

    def test_down(self) -> None:
        """503 if the store is down, without headers of the data."""
        self.server.store().fail("reader", self.down)
        answer = self.get()
        self.assertEqual(answer.status, 503)
        for name in ("etag", "content-md5", "last-modified", "accept-ranges"):
            self.assertNotIn(name, answer.headers)
        self.server.store().heal()
        self.assertEqual(self.get().status, 200)

    def broken(self, after: int, error: Exception = down) -> Any:
        """A connection with a download from a store that fails after some bytes."""
        store = self.server.store()
        store.cut_after = after
        store.fail("read", error)
        connection = self.server.connect()
        connection.send(f"GET /v2/images/{self.image}/file HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return connection

    def test_fails_before_the_first_byte(self) -> None:
        """503 if the store opens the object and then cannot read it."""
        connection = self.broken(0)
        (answer,) = connection.answers()
        self.assertEqual(answer.status, 503)
        for name in ("etag", "content-md5", "last-modified", "accept-ranges", "content-range"):
            self.assertNotIn(name, answer.headers)
        self.assertFalse(connection.transport.aborting)

    def test_fails_after_the_first_byte(self) -> None:
        """The connection is cut, and nothing is sent that could be taken for the rest."""
        connection = self.broken(100)
        self.assertTrue(connection.transport.aborting)
        head, _, body = connection.received.partition(b"\r\n\r\n")
        self.assertIn(b"content-length: 1024", head.lower())
        self.assertEqual(body, bytes(100))
        connection.lose()

    def test_whose_fault(self) -> None:
        """A failure of the store is logged as an error, a disconnection of the client is not."""
        for error, level in (self.down, "error"), (ConnectionResetError("reset"), "info"):
            events: list[Any] = []
            globalLogPublisher.addObserver(events.append)
            self.addCleanup(globalLogPublisher.removeObserver, events.append)
            self.broken(100, error).lose()
            [found] = [event["log_level"].name for event in events if "broken off" in event["log_format"]]
            self.assertEqual(found, level)

    def test_client_gone(self) -> None:
        """If the client disconnects while the store opens the object, nothing stays open."""
        store = self.server.store()
        store.hang("reader")
        connection = self.server.connect()
        connection.send(f"GET /v2/images/{self.image}/file HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        connection.lose()
        self.assertEqual(self.get({"If-None-Match": "*"}).status, 304)


class SeveralStoresTests(ApiTestCase):
    """An image with several copies."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": THREE_STORES}

    def setUp(self) -> None:
        super().setUp()
        self.image = self.server.image()["id"]
        self.server.put(self.image, b"data", **{"X-Image-Meta-Store": "cheap"})
        other = self.server.image()["id"]
        self.server.put(other, b"data", **{"X-Image-Meta-Store": "far"})
        with sqlite3.connect(self.folder / "imgsvc.sqlite") as connection:
            connection.execute("UPDATE image_locations SET image_id = ? WHERE image_id = ?", (self.image, other))
        connection.close()

    def get(self) -> int:
        """The status of a download."""
        return self.server.request("GET", f"/v2/images/{self.image}/file").status

    def test_heaviest_first(self) -> None:
        """The copy in the store with the highest weight is read."""
        self.assertEqual(self.get(), 200)
        self.assertEqual(self.server.store("far").calls.count("reader"), 1)
        self.assertEqual(self.server.store("cheap").calls.count("reader"), 0)

    def test_next(self) -> None:
        """A copy that is missing, or in a store that is down, is skipped."""
        far, cheap = self.server.store("far"), self.server.store("cheap")
        for error in (ObjectMissing("far", "x"), StoreUnavailable("far", "x")):
            far.fail("reader", error)
            self.assertEqual(self.get(), 200)
        cheap.fail("reader", ObjectMissing("cheap", "x"))
        self.assertEqual(self.get(), 503)
        far.fail("reader", ObjectMissing("far", "x"))
        self.assertEqual(self.get(), 503)
        cheap.fail("reader", StoreUnavailable("cheap", "x"))
        self.assertEqual(self.get(), 503)

    def test_shown(self) -> None:
        """The image names the stores that have it."""
        self.assertEqual(set(self.show(self.image)["stores"].split(",")), {"cheap", "far"})

    def test_store_that_is_no_more(self) -> None:
        """A copy in a store that is not configured any more cannot be read. The next copy is read, or the response is
        503.
        """
        del self.server.server.core.stores._stores["far"]
        self.assertEqual(self.get(), 200)
        del self.server.server.core.stores._stores["cheap"]
        self.assertEqual(self.get(), 503)
