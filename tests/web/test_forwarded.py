"""The URL of the server in links and in `Location`, behind proxies and with a public address."""

from __future__ import annotations

from typing import Any, ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.config import load
from imgsvc.errors import ConfigurationError
from imgsvc.web.forwarding import PublicAddress
from tests.support.server import parse_answer
from tests.web.rigs import ONE_STORE, ApiTestCase

PEER = IPv4Address("TCP", "192.168.1.1", 1)
"""The address of every StringTransport."""


class ForwardedTestCase(ApiTestCase):
    """Asks the server for its URL."""

    def base(self, headers: dict[str, str] | None = None, peer: Any = None) -> str:
        """The beginning of links to versions. The Location of a new image begins in the same way."""
        bases = []
        for start, body in (("GET /versions", b""), ("POST /v2/images", b"{}")):
            connection = self.server.connect(peer)
            lines = {"Host": "imgsvc-test", "Content-Length": str(len(body)), **(headers or {})}
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            connection.send(f"{start} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
            answer, _ = parse_answer(connection.received)
            self.assertIn(answer.status, (200, 201))
            links = answer.json.get("versions")
            bases.append(
                links[0]["links"][0]["href"].removesuffix("/v2/")
                if links
                else answer.headers["location"].removesuffix(f"/v2/images/{answer.json['id']}")
            )
            if not links:
                self.assertEqual(answer.json["self"], f"/v2/images/{answer.json['id']}")
        self.assertEqual(bases[0], bases[1])
        return bases[0]


class OffTests(ForwardedTestCase):
    """By default, forwarding headers are ignored."""

    def test_request(self) -> None:
        """The host is that of the request."""
        self.assertEqual(self.base(), "http://imgsvc-test")
        self.assertEqual(self.base({"Host": "10.0.0.1:9292"}), "http://10.0.0.1:9292")

    def test_ignored(self) -> None:
        """Forwarding headers have no effect."""
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
        self.assertEqual(self.base(headers), "http://imgsvc-test")


class ProxyTests(ForwardedTestCase):
    """Headers of a listed proxy."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "server": {"proxy_headers": True, "proxy_peers": ["192.168.1.1", "unix"]},
    }

    def test_honoured(self) -> None:
        """Scheme, host, port and prefix are each used if given."""
        for headers, base in (
            ({}, "http://imgsvc-test"),
            ({"X-Forwarded-Proto": "https"}, "https://imgsvc-test"),
            ({"X-Forwarded-Proto": "HTTPS"}, "https://imgsvc-test"),
            ({"X-Forwarded-Host": "images.example"}, "http://images.example"),
            ({"X-Forwarded-Host": "images.example:8080"}, "http://images.example:8080"),
            ({"X-Forwarded-Host": "[2001:db8::1]:8080"}, "http://[2001:db8::1]:8080"),
            ({"X-Forwarded-Host": "images.example", "X-Forwarded-Port": "8080"}, "http://images.example:8080"),
            ({"X-Forwarded-Host": "images.example:1", "X-Forwarded-Port": "8080"}, "http://images.example:8080"),
            ({"X-Forwarded-Host": "[2001:db8::1]", "X-Forwarded-Port": "8080"}, "http://[2001:db8::1]:8080"),
            ({"X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"}, "https://imgsvc-test"),
            ({"X-Forwarded-Proto": "https", "X-Forwarded-Port": "80"}, "https://imgsvc-test:80"),
            ({"X-Forwarded-Prefix": "/image"}, "http://imgsvc-test/image"),
            ({"X-Forwarded-Prefix": "/a/b/"}, "http://imgsvc-test/a/b"),
            ({"X-Forwarded-Prefix": "/"}, "http://imgsvc-test"),
            (
                {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "cloud.example", "X-Forwarded-Prefix": "/image"},
                "https://cloud.example/image",
            ),
        ):
            self.assertEqual(self.base(headers), base, headers)

    def test_list(self) -> None:
        """The last value of a list counts, because the proxy itself added it."""
        headers = {"X-Forwarded-Host": "evil.example, images.example", "X-Forwarded-Proto": "http,https"}
        self.assertEqual(self.base(headers), "https://images.example")

    def test_forwarded(self) -> None:
        """`Forwarded` is preferred to the others, and its last element counts."""
        for value, base in (
            ("proto=https;host=images.example", "https://images.example"),
            ('for=1.2.3.4; Proto=https; Host="images.example:8443"', "https://images.example:8443"),
            ("host=evil.example, for=1.2.3.4;host=images.example;proto=https", "https://images.example"),
            ("for=1.2.3.4", "http://other.example"),
            ("", "http://other.example"),
            ("nonsense;=;;,", "http://other.example"),
        ):
            self.assertEqual(self.base({"Forwarded": value, "X-Forwarded-Host": "other.example"}), base, value)

    def test_passed_over(self) -> None:
        """An invalid value is ignored."""
        for headers in (
            {"X-Forwarded-Proto": "javascript"},
            {"X-Forwarded-Host": "a/b"},
            {"X-Forwarded-Host": "user@evil.example"},
            {"X-Forwarded-Host": "a b"},
            {"X-Forwarded-Host": ""},
            {"X-Forwarded-Port": "x"},
            {"X-Forwarded-Port": "123456"},
            {"X-Forwarded-Prefix": "image"},
            {"X-Forwarded-Prefix": "//evil.example"},
            {"X-Forwarded-Prefix": "/a?b"},
            {"Forwarded": "host=a/b;proto=ftp"},
        ):
            self.assertEqual(self.base(headers), "http://imgsvc-test", headers)

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(
        st.sampled_from(
            ["X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Forwarded-Port", "Forwarded"]
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_categories=["Cc"]), max_size=30),
    )
    def test_anything(self, name: str, value: str) -> None:
        """Whatever a header contains, links are URLs of http or https without blanks."""
        self.assertRegex(self.base({name: value}), r"\Ahttps?://[^\s<>\"]+\Z")

    def test_other_peers(self) -> None:
        """Only listed peers are trusted. A unix socket can be one."""
        headers = {"X-Forwarded-Host": "images.example"}
        self.assertEqual(self.base(headers, IPv4Address("TCP", "192.168.1.2", 1)), "http://imgsvc-test")
        self.assertEqual(self.base(headers, UNIXAddress(None)), "http://images.example")


class PublicTests(ForwardedTestCase):
    """A public address is preferred to everything in requests."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "server": {
            "public_endpoint": "https://cloud.example/image/",
            "proxy_headers": True,
            "proxy_peers": ["192.168.1.1"],
        },
    }

    def test_public(self) -> None:
        """It is in links and in Location, with its prefix."""
        for headers in ({}, {"X-Forwarded-Host": "other.example", "X-Forwarded-Prefix": "/x"}):
            self.assertEqual(self.base(headers), "https://cloud.example/image")


class EndpointTests(SynchronousTestCase):
    """The values of the option."""

    def test_bad(self) -> None:
        """A value that is not a URL is refused at the start."""
        for endpoint in ("images.example", "ftp://images.example", "https://", "https://a?b", "https://a/ b", "/image"):
            error = self.assertRaises(ConfigurationError, PublicAddress, endpoint)
            self.assertIn(f"server.public_endpoint = {endpoint!r}", str(error))
        for endpoint in ("", "http://a", "https://images.example:8443/image/"):
            PublicAddress(endpoint)


class DefaultTests(ApiTestCase):
    """Without configuration."""

    def test_default(self) -> None:
        """The headers are off. If they are on, proxies on this machine are trusted."""
        server = load().server
        self.assertFalse(server.proxy_headers)
        self.assertEqual(server.proxy_peers, ("127.0.0.1", "::1", "unix"))
