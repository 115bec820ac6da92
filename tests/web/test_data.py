"""The bytes of images over HTTP."""

from __future__ import annotations

from hashlib import md5, sha512

from tests.support.server import ServerTestCase


class UploadTests(ServerTestCase):
    """PUT /v2/images/{image_id}/file"""

    def test_whole(self) -> None:
        """All bytes stored: 204, and the image says what they are."""
        image = self.server.image()
        answer = self.server.put(image["id"], b"bytes of a disk")
        self.assertEqual((answer.status, answer.body), (204, b""))
        shown = self.server.show(image["id"])
        self.assertEqual(shown["status"], "active")
        self.assertEqual(shown["size"], 15)
        self.assertEqual(shown["checksum"], md5(b"bytes of a disk").hexdigest())
        self.assertEqual(shown["os_hash_value"], sha512(b"bytes of a disk").hexdigest())
        self.assertEqual(self.server.request("GET", f"/v2/images/{image['id']}/file").body, b"bytes of a disk")
