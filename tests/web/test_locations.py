"""`/v2/images/{image_id}/locations`: images that are registered by their location."""

from __future__ import annotations

from typing import Any, ClassVar

from imgsvc.errors import StoreUnavailable
from tests.support.network import Exchange, WebSite
from tests.web.location_rigs import DATA, HOST, SERVICE, URL, WITH_SERVICE, LocationTestCase, digest
from tests.web.rigs import ADMIN, DATA_FIELDS, MEMBER, MEMORY, READER, STRANGER

ABSENT = "11111111-2222-3333-4444-555555555555"


class AddTests(LocationTestCase):
    """Requests that succeed."""

    def test_without_validation(self) -> None:
        """202 without a body. The image is active at once, and gets its digests later."""
        self.site.holding = True
        image = self.made()
        answer = self.post(image, URL)
        self.assertEqual((answer.status, answer.body), (202, b""))
        shown = self.shown(image)
        self.assertEqual(
            ("active", len(DATA), "sha512", None, None),
            tuple(shown[name] for name in ("status", "size", "os_hash_algo", "os_hash_value", "checksum")),
        )
        self.assertTrue(shown["os_glance_import_task"])
        self.site.release()
        self.network.advance(0)
        shown = self.shown(image)
        self.assertEqual((digest("md5"), digest("sha512")), (shown["checksum"], shown["os_hash_value"]))
        self.assertNotIn("os_glance_import_task", shown)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", MEMBER).body, DATA)

    def test_empty_validation(self) -> None:
        """An empty validation_data counts as none."""
        image = self.made()
        self.assertEqual(self.post(image, {"url": URL, "validation_data": {}}).status, 202)
        self.assertEqual(self.shown(image)["os_hash_value"], digest("sha512"))

    def test_validation(self) -> None:
        """With a digest the image is `importing` and nobody gets its data, until the digest was verified."""
        for algorithm in ("md5", "sha1", "sha256", "sha512"):
            image, value = self.made(), digest(algorithm)
            self.site.holding = True
            data = {"os_hash_algo": algorithm, "os_hash_value": value.upper()}
            self.assertEqual(self.post(image, {"url": URL, "validation_data": data}).status, 202)
            shown = self.shown(image)
            self.assertEqual(("importing", None), (shown["status"], shown["checksum"]))
            self.assertTrue(shown["os_glance_import_task"])
            self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", MEMBER).status, 204)
            self.site.release()
            self.network.advance(0)
            shown = self.shown(image)
            self.assertEqual(
                ("active", digest("md5"), algorithm, value, len(DATA)),
                tuple(shown[name] for name in ("status", "checksum", "os_hash_algo", "os_hash_value", "size")),
            )
            self.assertNotIn("os_glance_import_task", shown)

    def test_wrong_digest(self) -> None:
        """The image is queued again, without digests, size or location, and takes other data."""
        image = self.made()
        data = {"os_hash_algo": "sha256", "os_hash_value": digest("sha256", b"other")}
        self.assertEqual(self.post(image, {"url": URL, "validation_data": data}).status, 202)
        shown = self.shown(image)
        self.assertEqual("queued", shown["status"])
        self.assertEqual({None}, {shown[name] for name in DATA_FIELDS})
        self.assertEqual([], shown["locations"])
        self.assertNotIn("os_glance_import_task", shown)
        self.assertEqual(self.server.put(image, b"mine", **MEMBER).status, 204)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", MEMBER).body, b"mine")

    def test_who(self) -> None:
        """Members of the owning project, administrators and services may add locations."""
        for who in (MEMBER, ADMIN, SERVICE, WITH_SERVICE):
            image = self.made(visibility="community")
            self.assertEqual(self.post(image, URL, who).status, 202)
            self.assertEqual(self.shown(image)["status"], "active")

    def test_fragment(self) -> None:
        """A fragment is kept, and distinguishes URLs. It is not sent."""
        image = self.located(f"{URL}#1")
        add = {"op": "add", "path": "/locations/-", "value": {"url": f"{URL}#2", "metadata": {}}}
        self.assertEqual(self.patch(image, add).status, 200)
        self.assertEqual(self.urls(image), [f"{URL}#1", f"{URL}#2"])
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", MEMBER).body, DATA)
        self.assertEqual({exchange.line.split()[1] for exchange in self.network.exchanges}, {"/disk"})

    def test_own_object(self) -> None:
        """A service may give the object of a store that has the image's id."""
        for who in (SERVICE, WITH_SERVICE):
            image = self.made(visibility="community")
            self.assertEqual(self.post(image, self.stored(image), who).status, 202)
            shown = self.shown(image)
            self.assertEqual(("active", digest("md5")), (shown["status"], shown["checksum"]))
            self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", MEMBER).body, DATA)
            self.assertEqual(self.server.request("DELETE", f"/v2/images/{image}", ADMIN).status, 204)
        self.assert_nothing_kept()

    def test_head_is_not_known(self) -> None:
        """The size is found without HEAD too, and no byte of the body is waited for."""
        self.site.head = False
        image = self.located()
        self.assertEqual((self.shown(image)["size"], self.shown(image)["checksum"]), (len(DATA), digest("md5")))

    def test_deleted(self) -> None:
        """The image is deleted, and the site is not asked."""
        image = self.located()
        asked = len(self.site.asked)
        self.assertEqual(self.server.request("DELETE", f"/v2/images/{image}", MEMBER).status, 204)
        self.assertEqual(len(self.site.asked), asked)
        self.server.run_reaper()
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}", ADMIN).status, 404)


class RefusalTests(LocationTestCase):
    """Requests that are refused and change nothing."""

    def refused(self, status: int, image_id: str, document: Any, who: dict[str, str] | None = None) -> str:
        """The text of a refusal. The image is as before, and no site was asked."""
        before = self.shown(image_id)
        asked = len(self.site.asked)
        answer = self.post(image_id, document, who)
        self.assertEqual((answer.status, document), (status, document))
        self.assert_unchanged(image_id, before)
        self.assertEqual(len(self.site.asked), asked)
        return answer.body.decode()

    def test_schema(self) -> None:
        """400 without a URL, or with an invalid validation_data."""
        value = digest("sha256")
        wrong: list[Any] = [
            {},
            {"url": ""},
            {"url": 1},
            {"url": URL, "validation_data": 1},
            *(
                {"url": URL, "validation_data": data}
                for data in (
                    {"os_hash_algo": "sha256"},
                    {"os_hash_value": value},
                    {"os_hash_algo": "sha384", "os_hash_value": digest("sha384")},
                    {"os_hash_algo": "sha256", "os_hash_value": value[1:]},
                    {"os_hash_algo": "sha256", "os_hash_value": value + "00"},
                    {"os_hash_algo": "sha256", "os_hash_value": "z" * 64},
                    {"os_hash_algo": "sha256", "os_hash_value": value + "\n"},
                    {"os_hash_algo": "sha256", "os_hash_value": None},
                    {"os_hash_algo": "sha256", "os_hash_value": value, "checksum": digest("md5")},
                )
            ),
        ]
        image = self.made()
        for document in wrong:
            self.refused(400, image, document)
        for body in (b"", b"{", b"[]", b'"url"'):
            self.assertEqual(
                self.server.request("POST", f"/v2/images/{image}/locations", MEMBER, body).status, 400, body
            )

    def test_who(self) -> None:
        """401, 403 and 404, each before anything else is checked."""
        image, shared = self.made(), self.made(visibility="community")
        self.refused(401, image, URL, {})
        for who in (STRANGER, READER):
            self.refused(403, shared, URL, who)
        self.refused(404, image, URL, STRANGER)
        self.assertEqual(self.post(ABSENT, URL).status, 404)

    def test_what_only_services_give(self) -> None:
        """Only services may give URLs of our stores, and of no store. All others get 403, administrators too."""
        image = self.made()
        for url in (f"memory:///{image}", "file:///etc/passwd", "ftp://images.test/disk", "cinder://volume"):
            for who in (MEMBER, ADMIN):
                self.refused(403, image, url, who)

    def test_no_other_object(self) -> None:
        """400 for an object that is not the image's own, or does not exist, also from services."""
        other = self.uploaded()
        image = self.made(visibility="community")
        for url in (f"memory:///{other}", f"memory:///{image}", "file:///etc/passwd", "swift+config://x/y/z"):
            self.refused(400, image, url, SERVICE)
        self.assertEqual(self.server.request("GET", f"/v2/images/{other}/file", MEMBER).body, DATA)

    def test_guarded(self) -> None:
        """400 for URLs that the guard refuses, before and after the look-up of the name."""
        image = self.made()
        for url in (
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://[::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://169.254.169.254/latest/meta-data",
            "http://user:secret@images.test/disk",
            "http://images.test:22/disk",
            "http://images.test#@127.0.0.1/disk",
        ):
            text = self.refused(400, image, url)
            self.assertNotIn("secret", text)
        self.network.names["inside.test"] = ["10.1.2.3", "fe80::1"]
        self.refused(400, image, "http://inside.test/")
        self.assertEqual(self.network.connected, [])

    def test_formats(self) -> None:
        """400 for an image without formats."""
        for field in ("disk_format", "container_format"):
            self.refused(400, self.made(**{field: None}), URL)

    def test_status(self) -> None:
        """409 for an image that is not queued."""
        active, importing = self.uploaded(), self.made()
        self.refused(409, active, URL)
        self.assertEqual(self.server.request("POST", f"/v2/images/{active}/actions/deactivate", ADMIN).status, 204)
        self.refused(409, active, URL)
        self.site.holding = True
        data = {"os_hash_algo": "md5", "os_hash_value": digest("md5")}
        self.assertEqual(self.post(importing, {"url": URL, "validation_data": data}).status, 202)
        self.refused(409, importing, URL)

    def test_upload_under_way(self) -> None:
        """409 for an image that is receiving data, and the other way round."""
        image = self.made()
        lines = tuple(f"{name}: {value}" for name, value in MEMBER.items())
        connection = self.begin_put(image, 10, b"half.", *lines)
        self.refused(409, image, URL)
        connection.send(b"whole")
        self.assertEqual(self.final_status(connection), 204)
        self.assertEqual(self.server.put(self.located(), b"data", **MEMBER).status, 409)

    def test_nothing_there(self) -> None:
        """400: no such object, no bytes in it, no size, no server, or no such name."""
        image = self.made()
        before = self.shown(image)
        for url in ("http://images.test/nothing", "http://images.test/empty"):
            self.assertEqual(self.post(image, url).status, 400, url)
        self.network.names["down.test"] = ["93.184.215.15"]
        for url in ("http://down.test/", "http://nowhere.test/"):
            self.assertEqual(self.post(image, url).status, 400, url)
        for status in (301, 403, 500, 503):
            self.site.status = status
            self.assertEqual(self.post(image, URL).status, 400, status)
        self.network.servers[HOST, 80] = lambda exchange: (
            exchange.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
            exchange.close(),
        )
        self.assertEqual(self.post(image, URL).status, 400)
        self.assert_unchanged(image, before)

    def test_one_text(self) -> None:
        """The response does not tell which names exist in the server's network."""
        image = self.made()
        self.network.names |= {"down.test": ["93.184.215.15"], "inside.test": ["10.0.0.1"]}
        names = ("down", "inside", "nowhere")
        texts = {self.post(image, f"http://{name}.test/").body for name in names}
        self.assertEqual(len(texts), 1, texts)
        self.network.names["images.test"] = ["10.0.0.1"]
        self.assertEqual({self.post(image, URL).body}, texts)

    def test_silent_server(self) -> None:
        """400 if the server has not answered in time."""
        image = self.made()
        self.network.silent.add(HOST)
        connection = self.begin("POST", f"/v2/images/{image}/locations", {"url": URL})
        self.assertIsNone(self.final_status(connection))
        self.network.pump([1] * 31)
        self.assertEqual(self.final_status(connection), 400)

    def test_changed_meanwhile(self) -> None:
        """An image that another request changes while its location is measured is looked up again."""
        image = self.made()
        held: list[Any] = []
        self.network.servers[HOST, 80] = held.append
        connection = self.begin("POST", f"/v2/images/{image}/locations", {"url": URL})
        self.assertEqual(self.server.put(image, b"first", **MEMBER).status, 204)
        self.site(held[0])
        self.network.advance(0)
        self.assertEqual(self.final_status(connection), 409)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", MEMBER).body, b"first")


class QuotaTests(LocationTestCase):
    """Quotas: 413."""

    images: ClassVar[dict[str, Any]] = {"size_cap": len(DATA)}
    more: ClassVar[dict[str, Any]] = {"quotas": {"user_storage": len(DATA) + 10}}

    def test_size(self) -> None:
        """The size must fit into the size cap, and into the rest of the owner's quota."""
        self.site.objects["/large"] = DATA + b"."
        image = self.made()
        self.assertEqual(self.post(image, "http://images.test/large").status, 413)
        self.assertEqual(self.post(image, URL).status, 202)
        another = self.made()
        self.assertEqual(self.post(another, URL).status, 413)
        self.assertEqual(self.shown(another)["status"], "queued")

    def test_at_once(self) -> None:
        """Of two that are measured at the same time and fit only one by one, one gets its location."""
        held: list[Exchange] = []
        self.network.servers[HOST, 80] = held.append
        images = [self.made(), self.made()]
        asked = [self.begin("POST", f"/v2/images/{image}/locations", {"url": URL}) for image in images]
        self.network.advance(0)
        for exchange in held:
            self.site(exchange)
        self.network.servers[HOST, 80] = self.site
        self.network.advance(0)
        self.assertEqual([self.final_status(connection) for connection in asked], [202, 413])
        self.assertEqual([self.shown(image)["status"] for image in images], ["active", "queued"])


class NoLocationsTests(LocationTestCase):
    """A server whose images may have no locations."""

    more: ClassVar[dict[str, Any]] = {"quotas": {"locations": 0}}

    def test_quota(self) -> None:
        """413."""
        image = self.made()
        self.assertEqual(self.post(image, URL).status, 413)
        self.assertEqual(self.shown(image)["status"], "queued")


class NoHttpStoreTests(LocationTestCase):
    """A server without a store of the kind `http`."""

    stores: ClassVar[dict[str, Any]] = {"local": MEMORY}

    def test_refused(self) -> None:
        """403, but 400 for services."""
        image = self.made(visibility="community")
        self.assertEqual(self.post(image, URL).status, 403)
        self.assertEqual(self.post(image, URL, SERVICE).status, 400)


class UnverifiedTests(LocationTestCase):
    """verify_locations = false"""

    images: ClassVar[dict[str, Any]] = {"verify_locations": False}

    def test_given(self) -> None:
        """The given digest is kept, and nothing is read."""
        image, value = self.made(), digest("sha256", b"whatever")
        data = {"os_hash_algo": "sha256", "os_hash_value": value}
        self.assertEqual(self.post(image, {"url": URL, "validation_data": data}).status, 202)
        shown = self.shown(image)
        self.assertEqual(
            ("active", None, "sha256", value, len(DATA)),
            tuple(shown[name] for name in ("status", "checksum", "os_hash_algo", "os_hash_value", "size")),
        )
        self.assertNotIn("os_glance_import_task", shown)
        self.assertEqual([line.split()[0] for line in self.site.asked], ["HEAD"])

    def test_none(self) -> None:
        """Without a digest the image has none."""
        image = self.located()
        shown = self.shown(image)
        self.assertEqual(
            ("active", None, None, None),
            tuple(shown[name] for name in ("status", "checksum", "os_hash_algo", "os_hash_value")),
        )
        answer = self.server.request("GET", f"/v2/images/{image}/file", MEMBER)
        self.assertEqual((answer.status, answer.body), (200, DATA))
        self.assertNotIn("content-md5", answer.headers)


class ListTests(LocationTestCase):
    """GET"""

    def list(self, image_id: str, who: dict[str, str]) -> Any:
        """The response."""
        return self.server.request("GET", f"/v2/images/{image_id}/locations", who)

    def test_list(self) -> None:
        """Services and administrators get a JSON array."""
        image = self.located(visibility="community")
        for who in (SERVICE, ADMIN):
            answer = self.list(image, who)
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"))
            self.assertEqual(answer.json, [{"url": URL, "metadata": {"store": "web"}}])
        self.assertEqual(self.list(self.made(visibility="community"), SERVICE).json, [])

    def test_who(self) -> None:
        """403 for all others, also through a service. 404 for those who do not see the image."""
        image, private = self.located(), self.made(visibility="private")
        statuses = [self.list(image, who).status for who in ({}, MEMBER, READER, WITH_SERVICE, STRANGER)]
        self.assertEqual(statuses, [401, 403, 403, 403, 404])
        self.assertEqual(self.list(private, SERVICE).status, 404)
        self.assertEqual(self.list(ABSENT, ADMIN).status, 404)

    def test_body(self) -> None:
        """400 for a request with a body."""
        path = f"/v2/images/{self.located()}/locations"
        self.assertEqual(self.server.request("GET", path, ADMIN, b"{}").status, 400)

    def test_methods(self) -> None:
        """405 with the allowed methods."""
        path = f"/v2/images/{self.located()}/locations"
        for method in ("PUT", "DELETE", "PATCH"):
            answer = self.server.request(method, path, ADMIN)
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD, POST"))


class DownloadTests(LocationTestCase):
    """Images on a site, or in our store and on a site."""

    def get(self, image_id: str, query: str = "", **headers: str) -> Any:
        """A download by a member."""
        return self.server.request("GET", f"/v2/images/{image_id}/file{query}", {**MEMBER, **headers})

    def test_ranges(self) -> None:
        """Parts come from a server that supports ranges. From one that does not, the response is 400."""
        image = self.located()
        answer = self.get(image, Range="bytes=10-19")
        self.assertEqual((answer.status, answer.body), (206, DATA[10:20]))
        self.assertEqual(answer.headers["content-range"], f"bytes 10-19/{len(DATA)}")
        self.site.ranges = False
        self.assertEqual(self.get(image, Range="bytes=10-19").status, 400)
        self.assertEqual(self.get(image, Range="bytes=0-19").status, 400)
        self.assertEqual(self.get(image).body, DATA)

    def test_site_down(self) -> None:
        """503 as long as the site fails, or does not have the object. This does not count as a lost object."""
        image = self.located()
        for status in (500, 403):
            self.site.status = status
            self.assertEqual(self.get(image).status, 503)
        self.site.status = None
        del self.site.objects["/disk"]
        self.assertEqual(self.get(image).status, 503)
        self.assertEqual(self.server.request("GET", "/healthcheck?detail").status, 200)
        del self.network.servers[HOST, 80]
        self.assertEqual(self.get(image).status, 503)

    def test_shorter(self) -> None:
        """503 if the object has become shorter."""
        image = self.located()
        self.site.objects["/disk"] = DATA[:-1]
        self.assertEqual(self.get(image).status, 503)
        self.site.ranges = False
        self.assertEqual(self.get(image).status, 503)

    def test_moved_inside(self) -> None:
        """503 if the name has changed to an address that is not allowed."""
        image = self.located()
        self.network.names["images.test"] = ["127.0.0.1"]
        self.network.servers["127.0.0.1", 80] = WebSite({"/disk": DATA})
        self.assertEqual(self.get(image).status, 503)

    def test_next_location(self) -> None:
        """If a location fails before the first byte, the next one is read."""
        image = self.uploaded()
        self.assertEqual(
            self.patch(image, {"op": "add", "path": "/locations/-", "value": {"url": URL, "metadata": {}}}).status, 200
        )
        self.assertEqual(self.get(image).body, DATA)
        self.server.store("local").fail("reader", StoreUnavailable("local", "x"))
        self.assertEqual(self.get(image).body, DATA)
        self.site.status = 500
        self.assertEqual(self.get(image).status, 503)

    def test_breaks_off(self) -> None:
        """After the first byte the connection is cut."""
        image = self.located()

        def serve(exchange: Any) -> None:
            exchange.send(
                f"HTTP/1.1 206 x\r\nContent-Range: bytes 0-{len(DATA) - 1}/{len(DATA)}\r\n"
                f"Content-Length: {len(DATA)}\r\n\r\n".encode()
                + DATA[:100]
            )
            exchange.close()

        self.network.servers[HOST, 80] = serve
        connection = self.server.connect()
        head = "".join(f"{name}: {value}\r\n" for name, value in MEMBER.items())
        connection.send(f"GET /v2/images/{image}/file HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
        self.assertTrue(connection.received.endswith(DATA[:100]))
        self.assertTrue(connection.transport.aborting)
