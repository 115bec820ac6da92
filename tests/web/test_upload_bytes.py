"""Uploads whose data arrives, completely or not."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Any, ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.server import MemoryServer
from tests.web.rigs import BEHIND_PROXY, MEMBER, MEMORY, ONE_STORE, ApiTestCase, chunked

QCOW2 = (
    b"QFI\xfb" + struct.pack(">IQIIQIIQQIIQQQQII", 3, 0, 0, 16, 1 << 30, 0, 1, 196608, 65536, 1, 0, 0, 0, 0, 0, 4, 112)
).ljust(1024, b"\0")
"""The header of an empty disk of 1 GiB."""
QCOW2_ON_A_BACKING_FILE = QCOW2[:8] + struct.pack(">QI", 512, 11) + QCOW2[20:]

CHUNKED = {"Transfer-Encoding": "chunked"}
SIZE = "X-OpenStack-Image-Size"


class WholeTests(ApiTestCase):
    """All data arrives."""

    def assert_active(self, image_id: str, data: bytes) -> None:
        """The image has this data, and the right fields."""
        shown = self.show(image_id)
        self.assertEqual(shown["status"], "active")
        self.assertEqual(shown["size"], len(data))
        self.assertEqual(shown["checksum"], hashlib.md5(data).hexdigest())
        self.assertEqual(shown["os_hash_algo"], "sha512")
        self.assertEqual(shown["os_hash_value"], hashlib.sha512(data).hexdigest())
        answer = self.server.request("GET", f"/v2/images/{image_id}/file")
        self.assertEqual((answer.status, answer.body), (200, data))
        self.assertEqual(self.server.store().calls.count("finalize_writer"), 1)

    def test_length(self) -> None:
        """A body with a Content-Length."""
        image = self.server.image()["id"]
        answer = self.server.put(image, b"bytes of a disk")
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertTrue(answer.headers["x-openstack-request-id"].startswith("req-"))
        self.assert_active(image, b"bytes of a disk")

    def test_late(self) -> None:
        """A body that comes after its head, in parts."""
        image = self.server.image()["id"]
        connection = self.begin_put(image, 15)
        for piece in (b"bytes ", b"of a ", b"disk"):
            connection.send(piece)
        self.assertEqual(self.final_status(connection), 204)
        self.assert_active(image, b"bytes of a disk")

    def test_chunks(self) -> None:
        """A body in chunks."""
        image = self.server.image()["id"]
        answer = self.server.put(image, chunked(b"bytes ", b"of", b" a disk"), **CHUNKED)
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assert_active(image, b"bytes of a disk")

    def test_announced(self) -> None:
        """An announced size that is right, with any framing."""
        image = self.server.image()["id"]
        self.assertEqual(self.server.put(image, chunked(b"bytes"), **CHUNKED, **{SIZE: "5"}).status, 204)
        self.assert_active(image, b"bytes")

    def test_zero_is_unknown(self) -> None:
        """An announced size of 0 means unknown."""
        image = self.server.image()["id"]
        self.assertEqual(self.server.put(image, b"bytes", **{SIZE: "0"}).status, 204)
        self.assert_active(image, b"bytes")

    def test_nothing(self) -> None:
        """An empty body makes an active image of size 0 in every format, as Nova needs for snapshots of volumes."""
        for disk_format, virtual_size in (("raw", 0), ("qcow2", None), ("vmdk", None), ("ami", None)):
            for headers, body in (({}, b""), (CHUNKED, chunked())):
                self.server.store().calls.clear()
                image = self.server.image(disk_format=disk_format)["id"]
                self.assertEqual(self.server.put(image, body, **headers).status, 204)
                self.assert_active(image, b"")
                self.assertEqual(self.show(image)["virtual_size"], virtual_size)

    def test_nothing_at_all(self) -> None:
        """A PUT without a length and without chunks has an empty body."""
        image = self.server.image()["id"]
        headers = {"Content-Type": "application/octet-stream"}
        self.assertEqual(self.server.request("PUT", f"/v2/images/{image}/file", headers).status, 204)
        self.assert_active(image, b"")

    def test_qcow2(self) -> None:
        """The virtual size is that of the disk. In other containers it is unknown."""
        image = self.server.image(disk_format="qcow2")["id"]
        self.assertEqual(self.server.put(image, QCOW2).status, 204)
        self.assert_active(image, QCOW2)
        self.assertEqual(self.show(image)["virtual_size"], 1 << 30)
        image = self.server.image(disk_format="qcow2", container_format="ova")["id"]
        self.assertEqual(self.server.put(image, b"no qcow2").status, 204)
        self.assertEqual(self.show(image)["virtual_size"], None)

    def test_raw(self) -> None:
        """The virtual size of a raw image is its size."""
        image = self.server.image()["id"]
        self.server.put(image, b"bytes")
        self.assertEqual(self.show(image)["virtual_size"], 5)

    @settings(derandomize=True, deadline=None, max_examples=40)
    @given(st.lists(st.binary(min_size=1, max_size=3000), max_size=8), st.data())
    def test_any_pieces(self, pieces: list[bytes], data: st.DataObject) -> None:
        """The image has its data, however the body is split into chunks, and these into segments."""
        image = self.server.image()["id"]
        body = chunked(*pieces)
        connection = self.server.connect()
        connection.send(self.put_headers(image, "Transfer-Encoding: chunked"))
        position = 0
        while position < len(body):
            step = data.draw(st.integers(1, max(1, len(body) - position)))
            connection.send(body[position : position + step])
            position += step
        self.assertEqual(self.final_status(connection), 204)
        whole = self.server.request("GET", f"/v2/images/{image}/file").body
        self.assertEqual(whole, b"".join(pieces))
        self.assertEqual(self.server.request("DELETE", f"/v2/images/{image}").status, 204)


class SizeTests(ApiTestCase):
    """Data that is longer or shorter than announced."""

    def test_too_few(self) -> None:
        """Fewer bytes than announced are 400 at the end."""
        for headers, body in (({}, b"data"), (CHUNKED, chunked(b"data"))):
            image = self.server.image()["id"]
            self.assertEqual(self.server.put(image, body, **headers, **{SIZE: "5"}).status, 400)
            self.assert_queued(image)
        self.assert_undone(image)

    def test_none(self) -> None:
        """No bytes, where some were announced, are 400."""
        image = self.server.image()["id"]
        self.assertEqual(self.server.put(image, chunked(), **CHUNKED, **{SIZE: "5"}).status, 400)
        self.assert_undone(image)

    def test_too_many(self) -> None:
        """More bytes than announced are 400 at the first byte too many."""
        image = self.server.image()["id"]
        connection = self.server.connect()
        connection.send(self.put_headers(image, "Transfer-Encoding: chunked", f"{SIZE}: 5"))
        connection.send(chunked(b"12345", end=False))
        self.assertIsNone(self.final_status(connection))
        connection.send(chunked(b"6", end=False))
        self.assertEqual(self.final_status(connection), 400)
        self.assert_undone(image)


class FormatTests(ApiTestCase):
    """Data that does not have the declared format."""

    def test_refused(self) -> None:
        """Data in another format than declared, and unsafe data, is 415."""
        for disk_format, data in (
            ("qcow2", b"not qcow2 at all" * 100),
            ("qcow2", QCOW2_ON_A_BACKING_FILE),
            ("vmdk", QCOW2),
            ("ami", QCOW2),
        ):
            image = self.server.image(disk_format=disk_format)["id"]
            self.assertEqual(self.server.put(image, data).status, 415, disk_format)
            self.assert_queued(image)
            self.assert_nothing_kept()

    def test_other_containers(self) -> None:
        """In containers other than `bare`, data that is unsafe in the declared format is 415. Other formats are
        accepted.
        """
        for container, disk_format, data, status in (
            *(("ovf", "qcow2", QCOW2_ON_A_BACKING_FILE, 415), ("docker", "qcow2", QCOW2_ON_A_BACKING_FILE, 415)),
            *(("ami", "qcow2", QCOW2_ON_A_BACKING_FILE, 415), ("ovf", "qcow2", QCOW2[:300], 415)),
            *(("ovf", "qcow2", QCOW2, 204), ("ovf", "vmdk", QCOW2, 204), ("docker", "raw", b"tar" * 1000, 204)),
            *(("ova", "qcow2", QCOW2_ON_A_BACKING_FILE, 204), ("compressed", "qcow2", QCOW2_ON_A_BACKING_FILE, 204)),
            *(("ovf", "raw", QCOW2_ON_A_BACKING_FILE, 204), ("bare", "raw", QCOW2_ON_A_BACKING_FILE, 204)),
        ):
            image = self.server.image(disk_format=disk_format, container_format=container)["id"]
            self.assertEqual(self.server.put(image, data).status, status, f"{container} {disk_format}")
            if status == 415:
                self.assert_queued(image)
            elif container != "bare":
                self.assertIsNone(self.show(image)["virtual_size"])

    def test_again(self) -> None:
        """After a refusal the right data is accepted."""
        image = self.server.image(disk_format="qcow2")["id"]
        self.assertEqual(self.server.put(image, b"not qcow2").status, 415)
        self.assertEqual(self.server.put(image, QCOW2).status, 204)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file").body, QCOW2)


class UncheckedFormatTests(ApiTestCase):
    """`check_format = false`"""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "images": {"check_format": False}}

    def test_taken(self) -> None:
        """Any data is accepted."""
        image = self.server.image(disk_format="vmdk")["id"]
        self.assertEqual(self.server.put(image, QCOW2_ON_A_BACKING_FILE).status, 204)


class DisguisedTests(ApiTestCase):
    """`refuse_disguised = true`"""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "images": {"refuse_disguised": True}}

    def test_refused(self) -> None:
        """A raw disk that has another format is 415, in every container."""
        for container in ("bare", "ovf", "docker"):
            image = self.server.image(disk_format="raw", container_format=container)["id"]
            self.assertEqual(self.server.put(image, QCOW2).status, 415)
            self.assert_queued(image)
            self.assertEqual(self.server.put(image, b"\x55\xaa" * 1000).status, 204)


class LimitTests(ApiTestCase):
    """Limits that are exceeded by data of unannounced size."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": {"local": {**MEMORY, "capacity": 3000}},
        "images": {"size_cap": 2000},
        "quotas": {"user_storage": 1500},
        "identity": BEHIND_PROXY,
    }

    def made(self, headers: dict[str, str]) -> str:
        """Create an image."""
        made: str = self.server.request(
            "POST", "/v2/images", headers, b'{"disk_format": "raw", "container_format": "bare"}'
        ).json["id"]
        return made

    def begin(self, headers: dict[str, str]) -> tuple[str, Any]:
        """Begin an upload in chunks."""
        image = self.made(headers)
        connection = self.server.connect()
        lines = [f"{name}: {value}" for name, value in headers.items()]
        connection.send(self.put_headers(image, "Transfer-Encoding: chunked", *lines))
        return image, connection

    def assert_refused_at(self, size: int, headers: dict[str, str]) -> None:
        """So many bytes are accepted, and one more is 413."""
        image, connection = self.begin(headers)
        connection.send(chunked(bytes(size), end=False))
        self.assertIsNone(self.final_status(connection))
        connection.send(chunked(b"x", end=False))
        self.assertEqual(self.final_status(connection), 413)
        self.assert_queued(image, **headers)
        self.assert_nothing_kept()

    def test_user_storage(self) -> None:
        """More than the rest of the owner's storage at the beginning of the upload."""
        self.assert_refused_at(1500, MEMBER)

    def test_size_cap(self) -> None:
        """More than the size cap. Images without an owner count for no storage."""
        owner = {**MEMBER, "X-Roles": "admin"}
        del owner["X-Project-Id"]
        self.assert_refused_at(2000, owner)

    def test_user_storage_is_checked_again(self) -> None:
        """Of two uploads that fit one by one, but not together, the one that ends later is 413."""
        (first, one), (second, two) = self.begin(MEMBER), self.begin(MEMBER)
        for connection in (one, two):
            connection.send(chunked(bytes(1000), end=False))
        one.send(b"0\r\n\r\n")
        self.assertEqual(self.final_status(one), 204)
        two.send(b"0\r\n\r\n")
        self.assertEqual(self.final_status(two), 413)
        self.assertEqual(self.show(first, MEMBER)["status"], "active")
        self.assert_queued(second, **MEMBER)
        self.server.request("DELETE", f"/v2/images/{first}", MEMBER)
        self.assert_nothing_kept()
        self.assertEqual(self.server.put(second, b"again", **MEMBER).status, 204)


class FullStoreTests(ApiTestCase):
    """A store that becomes full while data arrives."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": {"local": {**MEMORY, "capacity": 1000}}}

    def test_full(self) -> None:
        """The upload is 413, and its space is free again."""
        image = self.server.image()["id"]
        self.assertEqual(self.server.put(image, chunked(bytes(600), bytes(600)), **CHUNKED).status, 413)
        self.assert_undone(image)


class DigestTests(ApiTestCase):
    """`Repr-Digest` and `Content-Digest` (RFC 9530)"""

    data = b"bytes with a digest"

    def member(self, name: str, data: bytes | None = None) -> str:
        """A member of the header's dictionary."""
        digest = hashlib.new(name.replace("-", ""), self.data if data is None else data).digest()
        return f"{name}=:{base64.b64encode(digest).decode()}:"

    def put(self, *values: str, name: str = "Repr-Digest") -> tuple[str, int]:
        """Upload with one header line for each value. Returns the image's id and the status."""
        image = self.server.image()["id"]
        lines = [f"{name}: {value}" for value in values]
        connection = self.begin_put(image, len(self.data), b"", *lines)
        if self.final_status(connection) is None:
            connection.send(self.data)
        return image, self.final_status(connection) or 0

    def test_right(self) -> None:
        """Data with the right digest is accepted."""
        for name in ("Repr-Digest", "Content-Digest"):
            for algorithm in ("sha-256", "sha-512"):
                self.assertEqual(self.put(self.member(algorithm), name=name)[1], 204)
        self.assertEqual(self.put(f" {self.member('sha-256')} , {self.member('sha-512')}")[1], 204)
        unpadded = self.member("sha-256").replace("=:", ":").replace("sha-256:", "sha-256=:")
        self.assertEqual(self.put(f"{unpadded};q=1, {self.member('sha-512')}; x")[1], 204)

    def test_wrong(self) -> None:
        """Data with another digest is 400, and nothing is kept."""
        for name in ("Repr-Digest", "Content-Digest"):
            image, status = self.put(self.member("sha-256", b"others"), name=name)
            self.assertEqual(status, 400)
            self.assert_queued(image)
            self.assert_nothing_kept()
        self.assertEqual(self.put(self.member("sha-256"), name=name)[1], 204)

    def test_one_of_two_wrong(self) -> None:
        """Every given digest must be right, in one line or in several, in one header or in both."""
        right, wrong = self.member("sha-256"), self.member("sha-512", b"others")
        self.assertEqual(self.put(f"{right}, {wrong}")[1], 400)
        self.assertEqual(self.put(f"{wrong}, {right}")[1], 400)
        self.assertEqual(self.put(wrong, right)[1], 400)
        self.assertEqual(self.put(right, f"md5=:AAAA:\r\nContent-Digest: {wrong}")[1], 400)
        false = self.member("sha-256", b"others")
        self.assertEqual(self.put(f"{right}\r\nContent-Digest: {false}")[1], 400)
        self.assertEqual(self.put(f"{false}\r\nContent-Digest: {right}")[1], 400)
        self.assert_nothing_kept()

    def test_malformed(self) -> None:
        """A malformed digest is 400 before the body is requested."""
        digest = base64.b64encode(bytes(32)).decode()
        for value in (
            f"sha-256={digest}",
            f"sha-256=:{digest}",
            "sha-256",
            "sha-256=",
            "sha-256=:a:",
            "sha-256=::",
            "sha-512=:????:",
            f"sha-512=:{digest}:",
            f"{self.member('sha-256')}, sha-512=x",
        ):
            image = self.server.image()["id"]
            connection = self.begin_put(image, len(self.data), b"", f"Repr-Digest: {value}", "Expect: 100-continue")
            self.assertEqual([answer.status for answer in connection.answers()], [400], value)
            self.assert_queued(image)
        self.assert_nothing_kept()

    def test_others_are_ignored(self) -> None:
        """Other algorithms are ignored, as RFC 9530 requires."""
        for value in ("md5=:AAAA:", "sha=:x:", "unixsum=30637", "sha-256-x=:AAAA:", "", "sha-384=:AAAA:"):
            self.assertEqual(self.put(value)[1], 204, value)


class ContentMd5Tests(ApiTestCase):
    """`Content-MD5` (RFC 1864), also as Glance writes it."""

    data = b"bytes with a digest"

    def put(self, *values: str) -> tuple[str, int]:
        """Upload with one header line for each value. Returns the image's id and the status."""
        image = self.server.image()["id"]
        connection = self.begin_put(image, len(self.data), b"", *(f"Content-MD5: {value}" for value in values))
        if self.final_status(connection) is None:
            connection.send(self.data)
        return image, self.final_status(connection) or 0

    def written(self, data: bytes) -> tuple[str, str, str]:
        """The MD5 of data, in every accepted form."""
        digest = hashlib.md5(data, usedforsecurity=False)
        return base64.b64encode(digest.digest()).decode(), digest.hexdigest(), digest.hexdigest().upper()

    def test_right(self) -> None:
        """Data with the right MD5 is accepted."""
        for value in self.written(self.data):
            image, status = self.put(value)
            self.assertEqual(status, 204, value)
            self.assertEqual(self.show(image)["checksum"], self.written(self.data)[1])
        self.assertEqual(self.put(*self.written(self.data))[1], 204)

    def test_wrong(self) -> None:
        """Data with another MD5 is 400, and nothing is kept."""
        for value in self.written(b"others"):
            image, status = self.put(value)
            self.assertEqual(status, 400, value)
            self.assert_undone(image)
            self.server.request("DELETE", f"/v2/images/{image}")

    def test_beside_another(self) -> None:
        """Content-MD5 and the digests of RFC 9530 must all be right."""
        digest = base64.b64encode(hashlib.sha256(self.data).digest()).decode()
        right, wrong = self.written(self.data)[0], self.written(b"others")[0]
        self.assertEqual(self.put(f"{right}\r\nRepr-Digest: sha-256=:{digest}:")[1], 204)
        self.assertEqual(self.put(f"{wrong}\r\nRepr-Digest: sha-256=:{digest}:")[1], 400)
        self.assertEqual(self.put(f"{right}\r\nRepr-Digest: sha-256=:{digest[::-1][1:]}=:")[1], 400)

    def test_malformed(self) -> None:
        """A malformed MD5, or two, is 400 before the body is requested."""
        base, digits, _ = self.written(self.data)
        for value in (
            *("", "x", base[:-1], f"{base}=", base.replace("=", "A"), digits[:-1], f"{digits}0", "g" * 32),
            *(f"{base}, {base}", f":{base}:", f"{digits}\r\nContent-MD5: {'0' * 32}", "\xb2" * 32),
        ):
            image = self.server.image()["id"]
            connection = self.begin_put(image, len(self.data), b"", f"Content-MD5: {value}", "Expect: 100-continue")
            self.assertEqual([answer.status for answer in connection.answers()], [400], value)
            self.assert_queued(image)
        self.assert_nothing_kept()

    def test_nothing(self) -> None:
        """Empty data has an MD5 too."""
        image = self.server.image()["id"]
        for value, status in ((self.written(b"x")[0], 400), (self.written(b"")[0], 204)):
            connection = self.begin_put(image, 0, b"", f"Content-MD5: {value}")
            self.assertEqual(self.final_status(connection), status)


class CutTests(ApiTestCase):
    """Connections that end during an upload."""

    def test_before_the_end(self) -> None:
        """A client that disconnects before its body is complete leaves the image queued, and nothing is kept."""
        for lines, body in (
            (("Content-Length: 10",), b"12345"),
            (("Content-Length: 10",), b""),
            (("Transfer-Encoding: chunked",), chunked(b"12345", end=False)),
            (("Transfer-Encoding: chunked",), chunked(b"12345", end=False) + b"3\r\nab"),
            (("Transfer-Encoding: chunked",), b""),
            (("Transfer-Encoding: chunked", f"{SIZE}: 5"), chunked(b"12345", end=False)),
            (("Transfer-Encoding: chunked",), chunked(b"12345", end=False) + b"0\r\n"),
        ):
            image = self.server.image()["id"]
            connection = self.server.connect()
            connection.send(self.put_headers(image, *lines) + body)
            self.assertEqual(self.status(image), "saving")
            connection.lose()
            self.assert_queued(image)
            self.assert_nothing_kept()
            self.assertEqual(self.server.server.core.uploads.running, set())
        self.assert_undone(image)

    def test_broken_chunks(self) -> None:
        """Malformed chunks are 400."""
        image = self.server.image()["id"]
        connection = self.server.connect()
        connection.send(self.put_headers(image, "Transfer-Encoding: chunked"))
        connection.send(chunked(b"12345", end=False) + b"xyz\r\n")
        self.server.clock.advance(0)
        self.assertEqual(self.final_status(connection), 400)
        connection.lose()
        self.assert_undone(image)

    def test_silent_client(self) -> None:
        """A client that is silent for the idle time-out is cut, and its upload is undone."""
        image = self.server.image()["id"]
        connection = self.begin_put(image, 10, b"12345")
        self.server.clock.pump([1] * 61)
        self.assertTrue(connection.transport.disconnecting)
        connection.lose()
        self.assert_undone(image)

    def test_after_the_end(self) -> None:
        """If the client disconnects after its last byte, the upload is completed and the image is active."""
        image = self.server.image()["id"]
        store = self.server.store()
        store.hang("commit")
        connection = self.begin_put(image, 4, b"data")
        connection.lose()
        self.assertEqual(self.status(image), "saving")
        store.heal()
        self.assertEqual(self.status(image), "active")
        self.assertEqual(self.server.server.core.uploads.running, set())

    def test_while_the_last_block_is_written(self) -> None:
        """The same holds if the store still has to write the last bytes."""
        image = self.server.image()["id"]
        store = self.server.store()
        store.hang("write")
        connection = self.begin_put(image, 4, b"data")
        connection.lose()
        store.heal()
        self.assertEqual(self.status(image), "active")
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file").body, b"data")

    def test_before_the_store_is_ready(self) -> None:
        """A client that disconnects before the store has a writer leaves nothing."""
        image = self.server.image()["id"]
        store = self.server.store()
        store.hang("writer")
        connection = self.begin_put(image, 4, b"data")
        connection.lose()
        store.heal()
        self.assert_undone(image)

    def test_while_a_block_is_written(self) -> None:
        """If a client disconnects during a write, the write ends and the upload is undone."""
        image = self.server.image()["id"]
        store = self.server.store()
        store.hang("write")
        connection = self.begin_put(image, 2 << 20, bytes(1 << 19))
        self.server.clock.advance(0)
        connection.lose()
        store.heal()
        self.assert_undone(image)


class DeletedTests(ApiTestCase):
    """Images that are deleted while their data arrives."""

    def test_at_the_end(self) -> None:
        """The upload is 410 at its end, and its data is deleted."""
        image = self.server.image()["id"]
        connection = self.begin_put(image, 4, b"da")
        self.assertEqual(self.server.request("DELETE", f"/v2/images/{image}").status, 204)
        connection.send(b"ta")
        self.assertEqual(self.final_status(connection), 410)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}").status, 404)
        self.assert_nothing_kept()

    def test_at_the_next_renewal(self) -> None:
        """A long upload ends when its lease is renewed, not at its end."""
        image = self.server.image()["id"]
        connection = self.begin_put(image, 1000, b"da")
        self.server.request("DELETE", f"/v2/images/{image}")
        self.assertIsNone(self.final_status(connection))
        self.server.clock.advance(21)
        self.assertEqual(self.final_status(connection), 410)
        self.assert_nothing_kept()
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}").status, 404)

    def test_id_stays_taken(self) -> None:
        """Neither the upload nor the id can be used again."""
        image = self.server.image()["id"]
        connection = self.begin_put(image, 4, b"da")
        self.server.request("DELETE", f"/v2/images/{image}")
        connection.send(b"ta")
        body = b'{"id": "%s"}' % image.encode()
        self.assertEqual(self.server.request("POST", "/v2/images", body=body).status, 409)


class TwoProcessesTests(ApiTestCase):
    """Two servers with one catalogue."""

    def test_taken_over(self) -> None:
        """An upload that another process has taken over is 410, and does not touch the data of its successor."""
        image = self.server.image()["id"]
        slow = self.begin_put(image, 4, b"sl")
        self.server.expire_leases()
        self.server.run_reaper()
        self.assertEqual(self.status(image), "queued")
        self.assertEqual(self.server.put(image, b"fast").status, 204)
        slow.send(b"ow")
        self.assertIn(self.final_status(slow), (410, 503))
        self.assertEqual(self.status(image), "active")
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file").body, b"fast")

    def test_same_status_for_all(self) -> None:
        """Each process sees the changes of the other at once."""
        other = MemoryServer(self.folder, {"stores": ONE_STORE})
        self.addCleanup(other.stop)
        image = self.server.image()["id"]
        connection = self.begin_put(image, 4, b"da")
        self.assertEqual(other.put(image, b"data").status, 409)
        connection.send(b"ta")
        self.assertEqual(other.show(image)["status"], "active")
