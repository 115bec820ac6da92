"""Behaviour that all routes share, and the routes that describe the server."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from attrs import evolve
from twisted.internet.address import IPv4Address

from tests.support.server import Answer
from tests.web.rigs import ADMIN, BEHIND_PROXY, MEMBER, THREE_STORES, ApiTestCase, identity

ONE = ["v2.15", "v2.9", "v2.17", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0"]
SEVERAL = ["v2.15", "v2.13", "v2.12", "v2.11", "v2.10", "v2.9", "v2.8", *ONE[2:]]
ABSENT = "11111111-2222-3333-4444-555555555555"
MISSING = f"/v2/images/{ABSENT}"


class AppTestCase(ApiTestCase):
    """Tests of single requests."""

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        """The response to a GET."""
        return self.server.request("GET", path, headers)

    def head_of(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, and everything after them."""
        connection = self.server.connect()
        connection.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head, _, rest = connection.received.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        return int(lines[0].split()[1]), headers, rest


class ErrorBodyTests(AppTestCase):
    """The body of an error has the type that the client asks for."""

    def test_html(self) -> None:
        """Browsers, and clients that accept any type, such as glanceclient, get a page."""
        for accept in (
            "*/*",
            "text/html",
            "text/*",
            "application/json;q=0.5, text/html",
            "text/html,application/xml;q=0.9,*/*;q=0.8",
        ):
            answer = self.get(MISSING, {"Accept": accept})
            self.assertEqual((answer.status, answer.headers["content-type"]), (404, "text/html; charset=UTF-8"), accept)
            text = answer.body.decode()
            for part in ("<title>404 Not Found</title>", "<h1>404 Not Found</h1>", f"{ABSENT}.<br /><br />"):
                self.assertIn(part, text)

    def test_json(self) -> None:
        """Clients that ask for JSON get three strings."""
        for accept in (
            "application/json",
            "application/*",
            "application/json, text/plain",
            "text/html;q=0.1, application/json",
            "",  # openstacksdk, which does not read plain text
        ):
            answer = self.get(MISSING, {"Accept": accept})
            self.assertEqual(answer.headers["content-type"], "application/json", accept)
            self.assertEqual(
                answer.json,
                {"message": f"No image found with ID {ABSENT}.", "code": "404 Not Found", "title": "Not Found"},
            )

    def test_text(self) -> None:
        """Clients that ask for nothing, or for another type, get plain text."""
        for headers in (
            {},
            {"Accept": "text/plain"},
            {"Accept": "application/octet-stream"},
            {"Accept": ";;"},
        ):
            answer = self.get(MISSING, headers)
            self.assertEqual(answer.headers["content-type"], "text/plain; charset=UTF-8", headers)
            self.assertEqual(answer.body.decode(), f"404 Not Found\n\nNo image found with ID {ABSENT}.\n")

    def test_markup(self) -> None:
        """The page shows what the client sent as text, not as markup."""
        answer = self.get("/v2/images/<script>", {"Accept": "*/*"})
        self.assertEqual(answer.status, 404)
        self.assertNotIn(b"<script>", answer.body)
        self.assertIn(b"&lt;script&gt;", answer.body)

    def test_other_text(self) -> None:
        """Text that is not ASCII is encoded as UTF-8 in every kind of body."""
        for accept in ("*/*", "application/json", "text/plain"):
            answer = self.get("/v2/images/%C3%BC", {"Accept": accept})
            self.assertIn("\u00fc", answer.body.decode("utf-8"))
            self.assertEqual(answer.headers["content-length"], str(len(answer.body)))

    def test_no_error_without_type(self) -> None:
        """Every error has a Content-Type, and none has a Retry-After."""
        image = self.server.image()["id"]
        for method, path, body in (
            ("GET", "/v2/nothing", None),
            ("PUT", "/v2/images", b"x"),
            ("POST", "/v2/images", b"x"),
            ("GET", "/v2/images?limit=x", None),
            ("PUT", f"/v2/images/{image}/file", b"x"),
        ):
            answer = self.server.request(method, path, None, body)
            self.assertGreaterEqual(answer.status, 400)
            self.assertTrue(answer.headers["content-type"])
            self.assertNotIn("retry-after", answer.headers)

    def test_fault_of_the_server(self) -> None:
        """An unexpected exception is 500. It is logged, and the client learns nothing about it."""
        catalogue: Any = self.server.server.core.catalogue
        catalogue.image = lambda image_id: 1 // 0
        answer = self.get(MISSING)
        self.assertEqual(answer.status, 500)
        self.assertNotIn(b"zero", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class RoutingTests(AppTestCase):
    """Paths and methods."""

    def test_unknown(self) -> None:
        """Unknown paths below /v2 are 404, and so are paths with a slash at the end."""
        image = self.server.image()["id"]
        for path in (
            *("/v2", "/v2/", "/v2/nothing", "/v2/images/", f"/v2/images/{image}/", f"/v2/images/{image}/file/"),
            *(
                f"/v2/images/{image}/nothing",
                "/v2//images",
                "/v2/schemas",
                "/v2/schemas/nothing",
                "/v2/IMAGES",
                "/v2/v2/images",
            ),
        ):
            self.assertEqual(self.get(path).status, 404, path)
        for path in ("/v2/images/", f"/v2/images/{image}/"):
            self.assertEqual(self.server.request("DELETE", path).status, 404)
        self.assertEqual(self.status(image), "queued")

    def test_wrong_method(self) -> None:
        """A known path with another method is 405, with the allowed methods."""
        for path, allowed in (
            ("/v2/images", "GET, HEAD, POST"),
            (MISSING, "DELETE, GET, HEAD, PATCH"),
            (f"{MISSING}/file", "GET, HEAD, PUT"),
            ("/v2/schemas/image", "GET, HEAD"),
            ("/v2/schemas/images", "GET, HEAD"),
            ("/v2/info/import", "GET, HEAD"),
            ("/v2/info/stores", "GET, HEAD"),
        ):
            for method in {"GET", "HEAD", "POST", "PUT", "DELETE"} - set(allowed.split(", ")):
                status, headers, _ = self.head_of(method, path)
                self.assertEqual((status, headers.get("allow")), (405, allowed), f"{method} {path}")

    def test_unknown_method(self) -> None:
        """A method that HTTP does not define is 501 on an unknown path, and 405 on a known one."""
        self.assertEqual(self.server.request("BREW", "/v2/nothing").status, 501)
        self.assertEqual(self.server.request("BREW", "/v2/images").status, 405)

    def test_not_utf8(self) -> None:
        """A path that is not UTF-8 is 400 with the usual body of an error, and the connection is kept."""
        for path in ("/%ff", "/v2/%ff", "/v2/images/%ff/file", "/v2/images/%C0%80"):
            answer = self.get(path, {"Accept": "application/json"})
            self.assertEqual((answer.status, answer.json["message"]), (400, "The path is not UTF-8."))
            self.assertNotIn("connection", answer.headers)
            self.assertEqual("x-openstack-request-id" in answer.headers, path.startswith("/v2"))


class VersionTests(AppTestCase):
    """The versions, and their aliases for v2."""

    def assert_document(self, answer: Answer, ids: list[str], base: str = "http://imgsvc-test") -> None:
        """The response lists these ids."""
        versions = answer.json["versions"]
        self.assertEqual([version["id"] for version in versions], ids)
        self.assertEqual([version["id"] for version in versions if version["status"] == "CURRENT"], ["v2.17"])
        self.assertEqual({version["status"] for version in versions}, {"CURRENT", "SUPPORTED"})
        links = [[{"rel": "self", "href": f"{base}/v2/"}]] * len(ids)
        self.assertEqual([version["links"] for version in versions], links)
        self.assertEqual(answer.headers["content-type"], "application/json")

    def test_document(self) -> None:
        """/versions is 200 for any method, every path outside the versions is 300, and both have the list."""
        for method in ("GET", "POST", "PUT", "DELETE"):
            answer = self.server.request(method, "/versions")
            self.assertEqual(answer.status, 200)
            self.assert_document(answer, ONE)
        for path in (
            "/",
            "/foo",
            "/v1/images",
            "/v3",
            "/v2.8/images",
            "/v2.99",
            "/images",
            "//v2",
            "//v2/images",
            "/v2;x/images",
            "/%76/x",
        ):
            answer = self.get(path)
            self.assertEqual(answer.status, 300, path)
            self.assert_document(answer, ONE)

    def test_aliases(self) -> None:
        """Every listed version serves as v2."""
        image = self.server.image()["id"]
        for version in ONE:
            answer = self.get(f"/{version}/images/{image}")
            self.assertEqual((answer.status, answer.json["self"]), (200, f"/v2/images/{image}"))
        self.assertEqual(self.server.request("DELETE", f"/v2.9/images/{image}").status, 204)

    def test_accept(self) -> None:
        """A media type chooses the version, and then the path has none. /versions and /healthcheck ignore it."""
        image = self.server.image()["id"]
        for accept in ("application/vnd.openstack.images-v2", "application/vnd.openstack.images-v2.5"):
            self.assertEqual(self.get(f"/images/{image}", {"Accept": accept}).status, 200)
            self.assertEqual(self.get("/nothing", {"Accept": accept}).status, 404)
            self.assertEqual(self.get("/versions", {"Accept": accept}).status, 200)
            self.assertEqual(self.get("/healthcheck", {"Accept": accept}).status, 200)

    def test_version_header(self) -> None:
        """Headers that choose a microversion have no effect."""
        self.assertEqual(self.get("/v2/images", {"OpenStack-API-Version": "image 9"}).status, 200)


class SeveralStoresTests(AppTestCase):
    """A server with several stores and a public address."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": THREE_STORES,
        "identity": BEHIND_PROXY,
        "server": {"public_endpoint": "https://images.example/"},
    }

    def test_versions(self) -> None:
        """More versions are listed, with links to the public address."""
        answer = self.get("/versions")
        self.assertEqual([version["id"] for version in answer.json["versions"]], SEVERAL)
        self.assertEqual(answer.json["versions"][0]["links"][0]["href"], "https://images.example/v2/")
        self.assertEqual(self.get("/v2.8/images", MEMBER).status, 200)

    def test_stores(self) -> None:
        """Everybody sees the stores in brief."""
        self.assertEqual(
            self.get("/v2/info/stores", MEMBER).json,
            {
                "stores": [
                    {"id": "cheap", "description": "slow disks"},
                    {"id": "fast", "default": "true"},
                    {"id": "far"},
                ]
            },
        )
        self.assertEqual(self.get("/v2/info/stores").status, 401)
        self.assertEqual(self.server.request("GET", "/v2/info/stores", MEMBER, b"x").status, 400)

    def test_detail(self) -> None:
        """Administrators and services see details."""
        self.assertEqual([self.get("/v2/info/stores/detail", who).status for who in ({}, MEMBER)], [401, 403])
        for who in (ADMIN, identity("nova", "service")):
            stores = self.get("/v2/info/stores/detail", who).json["stores"]
            self.assertEqual(
                stores[0], {"id": "cheap", "description": "slow disks", "type": "memory", "weight": 1, "properties": {}}
            )
            self.assertEqual([store["weight"] for store in stores], [1, 0, 7])

    def test_read_only(self) -> None:
        """A store that takes no images is marked as read-only."""
        store = self.server.store("far").inner
        store.info = evolve(store.info, read_only=True)
        stores = self.get("/v2/info/stores", MEMBER).json["stores"]
        self.assertEqual([store.get("read-only") for store in stores], [None, None, "true"])

    def test_open_paths(self) -> None:
        """/versions and /healthcheck need no identity. Every path below /v2 does, also unknown ones, before any other
        check.
        """
        self.assertEqual(
            [self.get(path).status for path in ("/versions", "/", "/healthcheck", "/v1")], [200, 300, 200, 300]
        )
        for method, path in (
            *(
                ("GET", "/v2"),
                ("GET", "/v2/nothing"),
                ("GET", "/v2.5/nothing"),
                ("PUT", "/v2/images"),
                ("GET", "/v2/images"),
            ),
            *(("GET", "/v2/schemas/image"), ("GET", "/v2/info/import"), ("DELETE", MISSING), ("HEAD", MISSING)),
        ):
            self.assertEqual(self.head_of(method, path)[0], 401, path)

    def test_other_peers(self) -> None:
        """Identity headers are ignored if the peer is not the proxy."""
        connection = self.server.connect(IPv4Address("TCP", "10.0.0.1", 1))
        lines = "".join(f"{name}: {value}\r\n" for name, value in ADMIN.items())
        connection.send(f"GET /v2/images HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        self.assertEqual(self.final_status(connection), 401)


class OneStoreTests(AppTestCase):
    """A server with one store."""

    def test_stores(self) -> None:
        """`/v2/info/stores` is 404."""
        for path in ("/v2/info/stores", "/v2/info/stores/detail"):
            self.assertEqual(self.get(path).status, 404)

    def test_import(self) -> None:
        """No import method is offered."""
        self.assertEqual(self.get("/v2/info/import").json["import-methods"]["value"], [])


class RequestIdTests(AppTestCase):
    """`X-Openstack-Request-Id`"""

    def request_id(self, path: str, **headers: str) -> tuple[int, str]:
        """Status and request id of a response."""
        answer = self.get(path, headers)
        return answer.status, answer.headers["x-openstack-request-id"]

    def test_new(self) -> None:
        """Every response below /v2 has a request id, errors too."""
        ids = set()
        for path in ("/v2/images", MISSING, "/v2/nothing", "/v2.5/images", "/v2/images/"):
            _, request_id = self.request_id(path)
            self.assertTrue(re.fullmatch("req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", request_id))
            ids.add(request_id)
        self.assertEqual(len(ids), 5)

    def test_given(self) -> None:
        """The client's own id is used, with the prefix."""
        for given, wanted in (("req-abc", "req-abc"), ("abc", "req-abc"), ("x" * 64, "req-" + "x" * 64)):
            self.assertEqual(self.request_id("/v2/images", **{"X-OpenStack-Request-ID": given}), (200, wanted))
        self.assertEqual(self.request_id(MISSING, **{"X-OpenStack-Request-ID": "abc"}), (404, "req-abc"))

    def test_too_long(self) -> None:
        """An id that is too long is 431, and not repeated."""
        for given in ("x" * 65, "req-" + "x" * 61):
            for path in ("/v2/images", "/v2/nowhere"):
                status, request_id = self.request_id(path, **{"X-OpenStack-Request-ID": given})
                self.assertEqual(status, 431)
                self.assertLess(len(request_id), 64)
