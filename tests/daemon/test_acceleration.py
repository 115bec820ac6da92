"""Accelerated downloads through nginx, configured as in docs/operations.md."""

from __future__ import annotations

import grp
import hashlib
import http.client
import os
import signal
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

from tests.daemon.test_proxies import DASHBOARD, Nginx
from tests.support.documents import block

SECTION = "Accelerated downloads"
FOLDER = "/srv/images"
DATA = os.urandom(300_001)
ETAG = f'"{hashlib.sha512(DATA).hexdigest()[:64]}"'
OLD, NEW = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"


@frozen
class Case:
    """A request for the data of an image, and how it is answered. by_nginx: whether nginx sends the data."""

    headers: Mapping[str, str]
    status: int
    body: bytes = field(default=b"", repr=len)
    by_nginx: bool = False
    method: str = "GET"


@frozen
class Response:
    """A response. headers: all lines except Date, with names in lower case, sorted."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = field(repr=len)


CASES = [
    Case({}, 200, DATA, by_nginx=True),
    Case({"Origin": DASHBOARD}, 200, DATA, by_nginx=True),
    Case({"X-Imgsvc-Accelerated": "of the client"}, 200, DATA, by_nginx=True),
    Case({"Range": "bytes=0-"}, 206, DATA, by_nginx=True),
    Case({"Range": "bytes=5-9"}, 206, DATA[5:10], by_nginx=True),
    Case({"Range": "bytes=300000-999999999999999999"}, 206, DATA[300_000:], by_nginx=True),
    Case({"Range": "bytes=-7"}, 206, DATA[-7:], by_nginx=True),
    Case({"Range": "bytes=-999999999999999999"}, 206, DATA, by_nginx=True),
    Case({"Range": "bytes=5-9", "If-Range": ETAG}, 206, DATA[5:10], by_nginx=True),
    Case({"Range": "bytes=5-9", "If-Range": '"other"'}, 200, DATA),
    Case({"Range": "bytes=5-9", "If-Range": NEW}, 200, DATA),
    Case({"Range": f"bytes=5-{'9' * 19}"}, 206, DATA[5:]),
    Case({"Range": f"bytes=-{'9' * 19}"}, 206, DATA),
    Case({"Range": "bytes=-0"}, 206, DATA),
    Case({"Range": "Bytes = 5 - 9"}, 206, DATA[5:10]),
    Case({"Content-Range": "bytes 5-9/*"}, 206, DATA[5:10]),
    Case({}, 200, method="HEAD"),
    Case({"Range": "bytes=5-9"}, 206, method="HEAD"),
    Case({"If-None-Match": '"other"'}, 200, DATA),
    Case({"If-Match": ETAG}, 200, DATA),
    Case({"If-Modified-Since": OLD}, 200, DATA),
    Case({"If-Unmodified-Since": NEW}, 200, DATA),
    Case({"If-None-Match": ETAG}, 304),
    Case({"If-Modified-Since": NEW, "Range": "bytes=5-9"}, 304),
]
REFUSED = [
    Case({"Range": "bytes=1-2,4-5"}, 400),
    Case({"If-Match": '"other"'}, 412),
    Case({"If-Unmodified-Since": OLD}, 412),
    Case({"Range": "bytes=300001-"}, 416),
    Case({"Range": "bytes=9-5"}, 416),
    Case({"Range": "5-9"}, 416),
]
"""Requests that get a message in the body."""


class AccelerationTests(Nginx):
    """nginx, whose account reads the files by their group. As root, it is another account than the daemon's."""

    account = "www-data"

    @property
    def toml(self) -> str:  # type: ignore[override]
        """The configuration of the document."""
        server = f'[server]\nproxy_headers = true\ncors_origins = ["{DASHBOARD}"]\n'
        text = block(SECTION, "toml").replace("[server]\n", server).replace(FOLDER, str(self.images))
        return f"[identity]\nallow_remote = true\n{text}"

    @property
    def replaced(self) -> tuple[tuple[str, str], ...]:  # type: ignore[override]
        """The text of the document."""
        return (('set $accelerated "";', block(SECTION, "nginx").replace(FOLDER, str(self.images))),)

    @property
    def images(self) -> Path:
        """The folder of the store."""
        return self.folder / "images"

    def setUp(self) -> None:
        super().setUp()
        self.folder.chmod(0o711)
        if os.geteuid() == 0:
            os.chown(self.images, -1, grp.getgrnam(self.account).gr_gid)
            self.images.chmod(self.images.stat().st_mode | stat.S_ISGID)
        self.image_id = self.server.image(name="größer")
        self.assertEqual(self.server.put(self.image_id, DATA), 204)

    def ask(self, case: Case, image_id: str) -> Response:
        """Send a request through nginx."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context)
        try:
            headers = {"X-Openstack-Request-Id": "req-of-the-client", **case.headers}
            connection.request(case.method, f"/v2/images/{image_id}/file", headers=headers)
            answer = connection.getresponse()
            lines = sorted((name.lower(), value) for name, value in answer.getheaders() if name != "Date")
            return Response(answer.status, lines, answer.read())
        finally:
            connection.close()

    def sent(self, start: int) -> str:
        """The bytes that imgsvc has sent itself, as the line in its log says that comes after byte `start`."""
        line = self.wait_for_log(self.server, f"/v2/images/{self.image_id}/file ", start)
        return line.partition("/file ")[2].split()[1]

    def configure(self, old: str, new: str) -> None:
        """Change the configuration of the running daemon."""
        text = self.server.config.read_text()
        self.assertEqual(text.count(old), 1)
        self.server.config.write_text(text.replace(old, new))
        start = self.server.log_file.stat().st_size
        self.server.signal(signal.SIGHUP)
        self.wait_for_log(self.server, "reloaded", start)

    def test_same(self) -> None:
        """Status, headers and body are the same with and without acceleration, for each kind of response."""
        empty, lost = self.server.image(), self.server.image()
        self.assertEqual(self.server.put(lost, DATA), 204)
        (self.images / lost).unlink()
        asked = [(case, self.image_id) for case in CASES + REFUSED]
        asked += [(Case({}, 204), empty), (Case({}, 503), lost), (Case({}, 404), "unknown")]
        accelerated: list[Response] = []
        for case, image_id in asked:
            start = self.server.log_file.stat().st_size
            response = self.ask(case, image_id)
            self.assertEqual(response.status, case.status, case)
            if case in CASES:
                self.assertTrue(response.body == case.body, case)
                self.assertEqual(self.sent(start), "0" if case.by_nginx else str(len(case.body)), case)
            accelerated.append(response)
        self.configure('"x-accel"', '"off"')
        for (case, image_id), response in zip(asked, accelerated, strict=True):
            start = self.server.log_file.stat().st_size
            self.assertEqual(self.ask(case, image_id), response, case)
            if case.by_nginx:
                self.assertEqual(self.sent(start), str(len(case.body)))

    def test_unreadable(self) -> None:
        """A file that nginx cannot read is sent by imgsvc, with the same headers."""
        if os.geteuid() != 0:
            self.skipTest("Only root can run nginx with another account.")
        part = Case({"Range": "bytes=5-9"}, 206)
        expected, expected_part = self.ask(CASES[0], self.image_id), self.ask(part, self.image_id)
        self.assertEqual(expected_part.status, 206)
        (self.images / self.image_id).chmod(0o600)
        self.assertEqual(self.ask(CASES[0], self.image_id), expected)
        self.assertEqual(self.ask(part, self.image_id), expected_part)
        self.assertIn("Permission denied", (self.folder / "nginx.log").read_text())

    def test_peers(self) -> None:
        """Only a request with the header of the proxy, from one of its addresses, is answered by naming a file."""
        path = f"/v2/images/{self.image_id}/file"
        status, headers, body = self.server.request("GET", path, {"X-Imgsvc-Accelerated": "x-accel"})
        self.assertEqual((status, headers["x-accel-redirect"]), (200, f"/imgsvc-files/local/{self.image_id}"))
        self.assertEqual((headers["content-length"], body), ("0", b""))
        for value in ("", "X-Accel", "x-accel, x-accel"):
            status, headers, body = self.server.request("GET", path, {"X-Imgsvc-Accelerated": value})
            self.assertEqual((status, "x-accel-redirect" in headers, body), (200, False, DATA))
        self.configure("[server]\n", '[server]\naccelerated_peers = ["unix", "192.0.2.1"]\n')
        status, headers, body = self.server.request("GET", path, {"X-Imgsvc-Accelerated": "x-accel"})
        self.assertEqual((status, "x-accel-redirect" in headers, body), (200, False, DATA))

    def test_internal(self) -> None:
        """Clients cannot ask nginx for the files themselves: imgsvc answers, which has no such path."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context)
        self.addCleanup(connection.close)
        connection.request("GET", f"/imgsvc-files/local/{self.image_id}")
        answer = connection.getresponse()
        self.assertNotIn(DATA[:100], answer.read())
        self.assertEqual(answer.status, 300)
