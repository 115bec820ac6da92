"""Helpers for the tests of locations."""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar

from tests.support.network import WebSite
from tests.support.server import Answer, Connection, fired
from tests.web.rigs import ADMIN, BEHIND_PROXY, MEMBER, MEMORY, ApiTestCase, identity

HOST = "93.184.215.14"
"""An address that the guard allows."""
DATA = bytes(range(256)) * 40
URL, OTHER_URL = "http://images.test/disk", "http://images.test/copy"
SERVICE = identity("services", "service", "reader")
"""A user of another project with the role of a service."""
WITH_SERVICE = {**MEMBER, "X-Service-Identity-Status": "Confirmed", "X-Service-Roles": "service"}
"""A member whose request is passed on by a service."""
V21 = "application/openstack-images-v2.1-json-patch"


def digest(algorithm: str, data: bytes = DATA) -> str:
    """The digest of the data in hex."""
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()


class LocationTestCase(ApiTestCase):
    """A server with a memory store `local` and an http store `web`, which reads from the site `images.test`."""

    stores: ClassVar[dict[str, Any]] = {"default": "local", "local": MEMORY, "web": {"kind": "http"}}
    images: ClassVar[dict[str, Any]] = {}
    more: ClassVar[dict[str, Any]] = {}
    """More tables of the configuration."""

    def setUp(self) -> None:
        type(self).tables = {
            "stores": self.stores,
            "identity": BEHIND_PROXY,
            "images": {"show_locations": True, "show_direct_url": True, **self.images},
            **self.more,
        }
        super().setUp()
        self.network = self.server.network
        self.network.names["images.test"] = [HOST]
        self.site = self.network.servers[HOST, 80] = WebSite({"/disk": DATA, "/copy": DATA, "/empty": b""})

    def made(self, who: dict[str, str] | None = None, **fields: Any) -> str:
        """The id of a new image of a member."""
        document = {"disk_format": "raw", "container_format": "bare", **fields}
        answer = self.server.request("POST", "/v2/images", who or MEMBER, json.dumps(document).encode())
        self.assertEqual(answer.status, 201, answer.body)
        image_id: str = answer.json["id"]
        return image_id

    def uploaded(self, data: bytes = DATA, **headers: str) -> str:
        """The id of a member's image with data."""
        image = self.made()
        self.assertEqual(self.server.put(image, data, **MEMBER, **headers).status, 204)
        return image

    def begin(self, method: str, path: str, document: Any, **headers: str) -> Connection:
        """A connection on which a member has sent a request that may take a while."""
        body = json.dumps(document).encode()
        lines = {"Host": "imgsvc-test", **MEMBER, "Content-Length": str(len(body)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        connection = self.server.connect()
        connection.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        return connection

    def post(self, image_id: str, document: Any, who: dict[str, str] | None = None) -> Answer:
        """POST a location, or only a URL."""
        document = {"url": document} if isinstance(document, str) else document
        body = json.dumps(document).encode()
        return self.server.request("POST", f"/v2/images/{image_id}/locations", MEMBER if who is None else who, body)

    def located(self, url: str = URL, **fields: Any) -> str:
        """The id of an active image whose data is on the site."""
        image = self.made(**fields)
        self.assertEqual(self.post(image, url).status, 202)
        return image

    def stored(self, image_id: str) -> str:
        """The URL of an object in our store that has the image's id, but was not uploaded."""
        store = self.server.store("local").inner
        writer = fired(store.writer(image_id, "0", None))
        fired(writer.write([DATA]))
        location = fired(writer.commit())
        fired(writer.finalize())
        url: str = location.url
        return url

    def patch(self, image_id: str, *operations: dict[str, Any], who: dict[str, str] | None = None) -> Answer:
        """PATCH the image."""
        headers = {**(MEMBER if who is None else who), "Content-Type": V21}
        return self.server.request("PATCH", f"/v2/images/{image_id}", headers, json.dumps(operations).encode())

    def shown(self, image_id: str, who: dict[str, str] | None = None) -> dict[str, Any]:
        """The image as an administrator sees it, or another caller."""
        document: dict[str, Any] = self.show(image_id, ADMIN if who is None else who)
        return document

    def urls(self, image_id: str) -> list[str]:
        """The URLs of its locations."""
        return [location["url"] for location in self.shown(image_id)["locations"]]

    def assert_unchanged(self, image_id: str, before: dict[str, Any]) -> None:
        """The image has not changed."""
        self.assertEqual(before, self.shown(image_id))
