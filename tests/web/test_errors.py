"""The table of errors, the bodies of errors, and the refusals that all routes share."""

from __future__ import annotations

import inspect
import re
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from imgsvc import errors
from imgsvc.web.errors import STATUS, error_body, status_of
from imgsvc.web.routes import OpenRoute, Route
from tests.web.rigs import ADMIN, BEHIND_PROXY, THREE_STORES, ApiTestCase

WITHOUT = {errors.ImgsvcError, errors.StoreError, errors.ConfigurationError}
"""Two base classes that are never raised, and errors that occur before there is a client."""


class Unheard(errors.ImgsvcError):
    """An error that is not in the table."""


class Special(errors.StoreFull):
    """A subclass of an error in the table."""


class TableTests(SynchronousTestCase):
    """The status of each error."""

    def test_all(self) -> None:
        """Every error of the domain has a status of 400 to 503, of its own or of its nearest ancestor, and none
        is 500.
        """
        for _, kind in inspect.getmembers(errors, inspect.isclass):
            if kind not in WITHOUT:
                self.assertTrue(any(parent in STATUS for parent in kind.__mro__), kind)
        self.assertTrue(all(400 <= status <= 503 and status != 500 for status in STATUS.values()))

    def test_kin(self) -> None:
        """The nearest ancestor in the table counts. An error without one is 500."""
        self.assertEqual(status_of(Special("local", "x")), 413)
        self.assertEqual(status_of(errors.UnknownStore("x", ("a",))), 400)
        self.assertEqual(status_of(Unheard()), 500)


class BodyTests(SynchronousTestCase):
    """The body of an error, by the Accept header."""

    def test_kinds(self) -> None:
        """HTML comes first, then JSON. Clients that accept neither, or have no Accept header, get plain text."""
        html, json, text = "text/html; charset=UTF-8", "application/json", "text/plain; charset=UTF-8"
        for accept, kind in (
            ("*/*", html),
            ("text/html", html),
            ("text/*", html),
            ("application/json", json),
            ("application/json, */*;q=0.5", json),
            ("application/*", json),
            ("*/*;q=0.1, application/json;q=0.9", json),
            ("text/html;q=0, application/json;q=0.1", json),
            ("text/html;q=0.5, application/json;q=0.5", html),
            (None, text),
            ("text/plain", text),
            ("application/octet-stream", text),
            ("image/png, application/xml", text),
            ("application/json;q=0", text),
            ("nonsense", text),
            ("application/json" + ", a/b;q=0.1" * 90, json),
            ("application/json" + ", a/b;q=0.1" * 1000, text),
        ):
            self.assertEqual(error_body(accept, 404, "It is not here.")[1], kind, accept)

    def test_readable(self) -> None:
        """Markup is escaped. Quotes are not, because clients show them to their users unchanged."""
        body, _ = error_body("*/*", 404, "There is no 'a' & <b>.")
        self.assertIn(b"There is no 'a' &amp; &lt;b&gt;.<br />", body)

    def test_types(self) -> None:
        """Every body has one of the types that tempest accepts, and is not empty."""
        allowed = re.compile(r"(application/json|text/plain|text/html)(;\s*charset=utf-8)?", re.IGNORECASE)
        for accept in (None, "", "*/*", "application/json", "text/plain", "image/png"):
            body, kind = error_body(accept, 409, "x")
            self.assertTrue(allowed.fullmatch(kind), kind)
            self.assertTrue(body)

    def test_glanceclient(self) -> None:
        """glanceclient accepts any type, and calls get() on each value of a JSON object. So it must not get JSON."""
        body, kind = error_body("*/*", 409, "Image x is active.")
        self.assertTrue(kind.startswith("text/html"))
        self.assertFalse(body.lstrip().startswith(b"{"))


class RouteTestCase(ApiTestCase):
    """Tests of all routes."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": THREE_STORES, "identity": BEHIND_PROXY}

    def routes(self) -> list[Route | OpenRoute]:
        """The routes of the server."""
        routes: list[Route | OpenRoute] = self.server.site.resource.routes
        self.assertGreater(len(routes), 15)
        return routes

    def path(self, route: Route | OpenRoute) -> str:
        """A path of the route, with identifiers that do not exist."""
        return re.sub(r"<[^>]+>", "11111111-2222-3333-4444-555555555555", route.path)

    def status_of(self, route: Route | OpenRoute, *lines: str, body: bytes = b"") -> int | None:
        """The status of the response to a request with these headers."""
        connection = self.server.connect()
        head = "".join(f"{line}\r\n" for line in (*lines, *(f"{name}: {value}" for name, value in ADMIN.items())))
        start = f"{route.method} {self.path(route)} HTTP/1.1\r\nHost: x\r\n"
        connection.send(f"{start}{head}\r\n".encode() + body)
        status = self.final_status(connection)
        connection.lose()
        return status


class UnexpectedBodyTests(RouteTestCase):
    """Bodies in requests that take none (Image API: "unexpected body")."""

    def test_refused(self) -> None:
        """Every route without a body answers 400 to a length over 0, and to a body in chunks, also an empty one."""
        for route in self.routes():
            if route.takes_body:
                continue
            for lines, body in (
                (("Content-Length: 1",), b"x"),
                (("Transfer-Encoding: chunked",), b"1\r\nx\r\n0\r\n\r\n"),
                (("Transfer-Encoding: chunked",), b"0\r\n\r\n"),
            ):
                self.assertEqual(self.status_of(route, *lines, body=body), 400, (route.method, route.path, lines))

    def test_length_zero(self) -> None:
        """A length of 0 is no body."""
        for route in self.routes():
            if not route.takes_body:
                status = self.status_of(route, "Content-Length: 0")
                self.assertNotIn(status, (400, None, 500), (route.method, route.path))

    def test_asked_for_nothing(self) -> None:
        """The refusal comes before the body is requested."""
        for route in self.routes():
            if not route.takes_body:
                connection = self.server.connect()
                lines = "".join(f"{name}: {value}\r\n" for name, value in ADMIN.items())
                connection.send(
                    f"{route.method} {self.path(route)} HTTP/1.1\r\nHost: x\r\n{lines}"
                    "Content-Length: 9\r\nExpect: 100-continue\r\n\r\n".encode()
                )
                self.assertEqual([answer.status for answer in connection.answers()], [400], route.path)


class EveryRouteTests(RouteTestCase):
    """Other rules that hold for all routes."""

    def test_identity(self) -> None:
        """All routes except the open ones are 401 without an identity, whatever else is wrong."""
        for route in self.routes():
            answer = self.server.request(route.method, self.path(route), {"Content-Type": "no/thing"}, b"x")
            self.assertEqual(answer.status == 401, isinstance(route, Route), (route.method, route.path))
        self.assertEqual(
            {route.path for route in self.routes() if isinstance(route, OpenRoute)},
            {"/versions", "/healthcheck", "/v2/openapi.json"},
        )

    def test_slash(self) -> None:
        """A path with a slash at the end is another path, and does not exist."""
        for route in self.routes():
            if route.path != "/versions":
                answer = self.server.request(route.method, f"{self.path(route)}/", ADMIN)
                self.assertIn(answer.status, (404, 405), (route.method, route.path))

    def test_request_id(self) -> None:
        """All routes below /v2 send a request id. An id that is too long is 431, and not repeated."""
        for route in self.routes():
            if not route.path.startswith("/v2"):
                continue
            answer = self.server.request(route.method, self.path(route), {**ADMIN, "X-OpenStack-Request-ID": "abc"})
            self.assertEqual(answer.headers["x-openstack-request-id"], "req-abc", route.path)
            answer = self.server.request(route.method, self.path(route), {**ADMIN, "X-OpenStack-Request-ID": "x" * 65})
            self.assertEqual(answer.status, 431, route.path)
            self.assertNotIn("xx", answer.headers["x-openstack-request-id"])

    def test_never_compressed(self) -> None:
        """No response is compressed, whatever the client accepts."""
        for route in self.routes():
            answer = self.server.request(
                route.method, self.path(route), {**ADMIN, "Accept-Encoding": "gzip, deflate, br, *;q=1"}
            )
            self.assertNotIn("content-encoding", answer.headers, route.path)

    def test_no_fault(self) -> None:
        """No route fails with 500, with an empty request or an invalid one."""
        for route in self.routes():
            bodies: list[bytes | None] = [None, b"", b"[]", b"{}", b"\xff", b"[[]]"] if route.takes_body else [None]
            for body in bodies:
                answer = self.server.request(route.method, self.path(route), ADMIN, body)
                self.assertLess(answer.status, 500, (route.method, route.path, body))

    def test_documented_errors(self) -> None:
        """Errors have a Content-Type, and no Retry-After."""
        for route in self.routes():
            answer = self.server.request(route.method, self.path(route), ADMIN)
            if answer.status >= 400:
                self.assertTrue(answer.headers["content-type"], route.path)
                self.assertTrue(answer.body or route.method == "HEAD", route.path)
            self.assertNotIn("retry-after", answer.headers)
