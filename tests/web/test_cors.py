"""Cross-origin requests, as browsers send them."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.errors import ConfigurationError
from imgsvc.web.cors import Cors
from tests.support.description import Description
from tests.support.server import Answer
from tests.web.rigs import BEHIND_PROXY, MEMBER, ONE_STORE, ApiTestCase

DASHBOARD = "https://dashboard.example"
FROM_DASHBOARD = {"Origin": DASHBOARD}
PREFLIGHT = {
    **FROM_DASHBOARD,
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "content-type,x-auth-token",
}


def words(text: str) -> set[str]:
    """The members of a list in a header, in lower case."""
    return {word.strip().lower() for word in text.split(",")}


class CorsTestCase(ApiTestCase):
    """A server whose callers need an identity, with one allowed origin."""

    origins: ClassVar[list[str]] = [DASHBOARD, "http://localhost:8080"]
    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "identity": BEHIND_PROXY,
        "server": {"cors_origins": origins},
    }

    def cors(self, answer: Answer) -> set[str]:
        """The names of the CORS headers of a response, and `vary`."""
        return {name for name in answer.headers if name.startswith("access-control-") or name == "vary"}


class PreflightTests(CorsTestCase):
    """The requests that a browser sends before it lets a page act."""

    def test_every_path(self) -> None:
        """Each is answered with 200 without a token, for any path."""
        for path in (
            "/v2/images",
            "/v2/images/x/file",
            "/v2/nothing",
            "/",
            "/versions",
            "/healthcheck",
            "/v2.9/images",
        ):
            answer = self.server.request("OPTIONS", path, PREFLIGHT)
            self.assertEqual((answer.status, answer.body), (200, b""), path)
            self.assertEqual(answer.headers["content-length"], "0")
            self.assertEqual(answer.headers["access-control-allow-origin"], DASHBOARD)
            self.assertEqual(answer.headers["access-control-allow-credentials"], "true")
            self.assertEqual(answer.headers["vary"], "Origin")
            self.assertEqual(
                words(answer.headers["access-control-allow-methods"]), {"get", "put", "post", "delete", "patch"}
            )
            self.assertLessEqual(
                {"content-type", "x-auth-token", "x-image-meta-store", "x-openstack-image-size", "range"},
                words(answer.headers["access-control-allow-headers"]),
            )
            self.assertEqual(answer.headers["access-control-max-age"], "3600")

    def test_described_headers(self) -> None:
        """A page may send every header that the description has, except Content-Range; it has Range instead."""
        allowed = words(self.server.request("OPTIONS", "/v2/images", PREFLIGHT).headers["access-control-allow-headers"])
        described = {
            parameter["name"].lower()
            for operation in Description(self.server.document).operations().values()
            for parameter in operation.get("parameters", ())
            if parameter.get("in") == "header"  # those of all are referred to
        }
        self.assertIn("x-openstack-append", described)
        self.assertEqual(described - allowed, {"content-range"})

    def test_request_id(self) -> None:
        """The response has a request id, like every response below /v2."""
        self.assertIn("x-openstack-request-id", self.server.request("OPTIONS", "/v2/images", PREFLIGHT).headers)

    def test_no_identity_headers(self) -> None:
        """A page may not send the identity headers of a proxy."""
        answer = self.server.request("OPTIONS", "/v2/images", PREFLIGHT)
        allowed = words(answer.headers["access-control-allow-headers"])
        self.assertEqual({name for name in allowed if "role" in name or "identity" in name or "project" in name}, set())

    def test_other_origins(self) -> None:
        """Pages of other origins get no CORS headers, so browsers refuse them."""
        for origin in ("https://evil.example", f"{DASHBOARD}.evil.example", "http://dashboard.example", "null", "*"):
            answer = self.server.request("OPTIONS", "/v2/images", {**PREFLIGHT, "Origin": origin})
            self.assertEqual((answer.status, self.cors(answer)), (200, {"vary"}), origin)

    def test_no_origin(self) -> None:
        """An OPTIONS request without an Origin is 200, without CORS headers."""
        answer = self.server.request("OPTIONS", "/v2/images")
        self.assertEqual((answer.status, self.cors(answer)), (200, {"vary"}))

    def test_connection_is_kept(self) -> None:
        """The connection is kept for the request itself."""
        connection = self.server.connect()
        lines = "".join(f"{name}: {value}\r\n" for name, value in PREFLIGHT.items())
        for _ in range(2):
            connection.send(f"OPTIONS /v2/images HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        self.assertEqual([answer.status for answer in connection.answers()], [200, 200])
        self.assertFalse(connection.closed)


class RequestTests(CorsTestCase):
    """The requests of pages."""

    def assert_readable(self, answer: Answer) -> None:
        """The page may read the response, and the headers that it needs."""
        self.assertEqual(answer.headers["access-control-allow-origin"], DASHBOARD)
        self.assertEqual(answer.headers["access-control-allow-credentials"], "true")
        self.assertEqual(answer.headers["vary"], "Origin")
        self.assertLessEqual(
            {
                "x-openstack-request-id",
                "openstack-image-import-methods",
                "openstack-image-store-ids",
                "location",
                "content-md5",
            },
            words(answer.headers["access-control-expose-headers"]),
        )

    def image(self) -> str:
        answer = self.server.request(
            "POST", "/v2/images", {**MEMBER, **FROM_DASHBOARD}, b'{"disk_format": "raw", "container_format": "bare"}'
        )
        self.assert_readable(answer)
        return str(answer.json["id"])

    def test_upload(self) -> None:
        """A dashboard uploads an image from the browser."""
        image = self.image()
        self.assertEqual(self.server.request("OPTIONS", f"/v2/images/{image}/file", PREFLIGHT).status, 200)
        answer = self.server.put(image, b"bytes", **MEMBER, **FROM_DASHBOARD, **{"X-Auth-Token": "t"})
        self.assertEqual(answer.status, 204)
        self.assert_readable(answer)
        answer = self.server.request("GET", f"/v2/images/{image}/file", {**MEMBER, **FROM_DASHBOARD})
        self.assertEqual(answer.body, b"bytes")
        self.assert_readable(answer)

    def test_early_refusal(self) -> None:
        """The page can read a refusal that comes long before the end of the body."""
        image = self.image()
        self.server.put(image, b"bytes", **MEMBER)
        connection = self.begin_put(
            image, 1 << 30, b"more", *(f"{name}: {value}" for name, value in {**MEMBER, **FROM_DASHBOARD}.items())
        )
        answer = connection.answers()[-1]
        self.assertEqual((answer.status, answer.headers["connection"]), (409, "close"))
        self.assert_readable(answer)

    def test_errors(self) -> None:
        """Pages may read errors, also those without a token."""
        for path, headers, status in (
            ("/v2/images", {}, 401),
            ("/v2/images/x", MEMBER, 404),
            ("/v2/nothing", MEMBER, 404),
            ("/v2/images?limit=x", MEMBER, 400),
            ("/", {}, 300),
            ("/healthcheck", {}, 200),
        ):
            answer = self.server.request("GET", path, {**headers, **FROM_DASHBOARD})
            self.assertEqual(answer.status, status)
            self.assert_readable(answer)
        self.assertEqual(self.server.request("HEAD", "/healthcheck", FROM_DASHBOARD).status, 204)
        self.assert_readable(self.server.request("DELETE", "/v2/images", {**MEMBER, **FROM_DASHBOARD}))

    def test_others(self) -> None:
        """Requests of no page, or of other pages, are answered as usual. `Vary` tells caches to keep the responses
        apart.
        """
        for headers in ({}, {"Origin": "https://evil.example"}):
            answer = self.server.request("GET", "/v2/images", {**MEMBER, **headers})
            self.assertEqual((answer.status, self.cors(answer)), (200, {"vary"}))


class AnyOriginTests(CorsTestCase):
    """`*` allows pages of all origins."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "server": {"cors_origins": ["*"]}}

    def test_without_credentials(self) -> None:
        """They may use the API, but without credentials, which browsers do not allow together with `*`."""
        for method, status in (("OPTIONS", 200), ("GET", 200)):
            answer = self.server.request(method, "/v2/images", {**PREFLIGHT, "Origin": "https://anybody.example"})
            self.assertEqual((answer.status, answer.headers["access-control-allow-origin"]), (status, "*"))
            self.assertNotIn("access-control-allow-credentials", answer.headers)
            self.assertNotIn("vary", answer.headers)

    def test_no_page(self) -> None:
        """Requests of no page get no CORS headers."""
        self.assertEqual(self.cors(self.server.request("GET", "/v2/images")), set())


class AnyAndListedTests(CorsTestCase):
    """Some origins with credentials, and all others without."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "server": {"cors_origins": ["*", DASHBOARD]}}

    def test_both(self) -> None:
        """Which of them applies depends on the origin, and `Vary` tells caches so."""
        for origin, allowed, credentials in ((DASHBOARD, DASHBOARD, "true"), ("https://anybody.example", "*", None)):
            answer = self.server.request("GET", "/v2/images", {"Origin": origin})
            self.assertEqual(answer.headers["access-control-allow-origin"], allowed)
            self.assertEqual(answer.headers.get("access-control-allow-credentials"), credentials)
            self.assertEqual(answer.headers["vary"], "Origin")


class OffTests(CorsTestCase):
    """Without the option there is no CORS."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE}

    def test_off(self) -> None:
        """No response has CORS headers, and OPTIONS is a method like others."""
        answer = self.server.request("OPTIONS", "/v2/images", {**PREFLIGHT, "Origin": "http://imgsvc-test"})
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD, POST"))
        self.assertEqual(self.cors(answer), set())
        answer = self.server.request("GET", "/v2/images", FROM_DASHBOARD)
        self.assertEqual((answer.status, self.cors(answer)), (403, set()))


class OriginsTests(SynchronousTestCase):
    """The values of the option."""

    def test_bad(self) -> None:
        """Values that no browser sends are refused at the start."""
        for origin in ("dashboard.example", "https://dashboard.example/", "https://", "https://x/y", ""):
            error = self.assertRaises(ConfigurationError, Cors, [origin])
            self.assertIn(f"server.cors_origins = {origin!r}", str(error))
