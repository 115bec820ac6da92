"""One line in the log for each request."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any, ClassVar

from twisted.logger import globalLogPublisher

from imgsvc.log import Format, LogOutput, make_observer
from tests.web.rigs import BEHIND_PROXY, MEMBER, ONE_STORE, ApiTestCase

DATA = bytes(1000)


class AccessLogTestCase(ApiTestCase):
    """Reads the log in both formats."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "identity": BEHIND_PROXY}

    def setUp(self) -> None:
        super().setUp()
        self.text, self.json = self.observed("text"), self.observed("json")

    def observed(self, format: Format) -> StringIO:
        stream = StringIO()
        observer = make_observer(LogOutput(format, stream))
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return stream

    def entries(self) -> list[dict[str, Any]]:
        """The entries of the access log, from JSON."""
        entries = [json.loads(line) for line in self.json.getvalue().splitlines()]
        return [entry for entry in entries if entry["namespace"] == "imgsvc.web.access_log"]

    def entry(self) -> dict[str, Any]:
        """The only entry, or the last."""
        return self.entries()[-1]

    def lines(self) -> list[str]:
        """The lines of the access log, without time, level and namespace."""
        parts = (line.split(" ", 3) for line in self.text.getvalue().split("\n") if line)
        return [part[3] for part in parts if part[2] == "imgsvc.web.access_log"]


class AccessLogTests(AccessLogTestCase):
    """The contents of the lines."""

    def test_known(self) -> None:
        """A line has the user, the request, the status and the number of bytes sent."""
        headers = {"X-OpenStack-Request-ID": "abc", "User-Agent": "curl/8.5 (x)", "Range": "bytes=1-"}
        answer = self.server.request("GET", "/v2/images?limit=1", {**MEMBER, **headers})
        entry = self.entry()
        size = len(answer.body)
        self.assertEqual(
            {name: value for name, value in entry.items() if name not in ("time", "level", "namespace", "message")},
            {
                **{"client": "192.168.1.1", "user": "user of blue", "project": "blue", "request_id": "req-abc"},
                **{"method": "GET", "uri": "/v2/images?limit=1", "range": "bytes=1-", "user_agent": "curl/8.5 (x)"},
                **{"status": 200, "bytes_out": size, "bytes_in": 0, "duration": 0.0, "cut": False},
            },
        )
        line = f'192.168.1.1 user\\x20of\\x20blue GET /v2/images?limit=1 200 {size} 0 0.000 "bytes=1-" "curl/8.5 (x)"'
        self.assertEqual(self.lines(), [f"[req-abc] {line}"])
        self.assertEqual(entry["message"], line)

    def test_unknown(self) -> None:
        """A request without identity, or outside the API, has no user."""
        self.server.request("GET", "/v2/images")
        self.server.request("GET", "/versions")
        entries = self.entries()
        self.assertEqual([(entry["status"], entry["user"]) for entry in entries], [(401, None), (200, None)])
        self.assertEqual([(entry["range"], entry["user_agent"]) for entry in entries], [(None, None)] * 2)
        self.assertTrue(self.lines()[1].startswith("192.168.1.1 - GET /versions 200 "), self.lines())
        self.assertTrue(self.lines()[1].endswith(" 0 0.000 - -"), self.lines())

    def test_bytes_and_time(self) -> None:
        """A line has the bytes of both directions, and the seconds since the head."""
        image = self.server.request("POST", "/v2/images", MEMBER, b'{"disk_format":"raw","container_format":"bare"}')
        self.assertEqual(self.entry()["bytes_in"], 47)
        path = image.json["file"]
        lines = "".join(f"{name}: {value}\r\n" for name, value in MEMBER.items())
        upload = self.begin_put(image.json["id"], len(DATA), DATA[:400], *lines.splitlines())
        self.server.clock.advance(1.25)
        upload.send(DATA[400:])
        entry = self.entry()
        self.assertEqual([entry[name] for name in ("status", "bytes_in", "duration")], [204, 1000, 1.25])
        self.server.request("GET", path, {**MEMBER, "Range": "bytes=0-9"})
        entry = self.entry()
        self.assertEqual([entry[name] for name in ("status", "bytes_out", "bytes_in")], [206, 10, 0])
        self.server.request("HEAD", path, MEMBER)
        self.assertEqual([self.entry()[name] for name in ("status", "bytes_out")], [200, 0])

    def test_cut(self) -> None:
        """A client that disconnects is logged too, once."""
        image = self.server.request("POST", "/v2/images", MEMBER, b'{"disk_format":"raw","container_format":"bare"}')
        lines = [f"{name}: {value}" for name, value in MEMBER.items()]
        upload = self.begin_put(image.json["id"], len(DATA), DATA[:400], *lines)
        self.server.clock.advance(2)
        before = len(self.entries())
        upload.lose()
        (entry,) = self.entries()[before:]
        self.assertEqual(
            [entry[name] for name in ("method", "status", "bytes_in", "duration", "cut")], ["PUT", None, 400, 2.0, True]
        )
        self.assertIn(f"PUT /v2/images/{image.json['id']}/file - 0 400 2.000 - - cut", self.lines()[-1])

    def test_refused(self) -> None:
        """A target that is not a path is logged with its status."""
        connection = self.server.connect()
        connection.send(b"GET x HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.lose()
        self.assertEqual([(entry["uri"], entry["status"]) for entry in self.entries()], [("x", 400)])

    def test_never_begun(self) -> None:
        """A connection without a request is not logged."""
        connection = self.server.connect()
        connection.send(b"GET / HTTP/1.1\r\nHost:")
        connection.lose()
        self.assertEqual(self.entries(), [])


class ForgeryTests(AccessLogTestCase):
    """Clients cannot forge lines."""

    def fields(self, line: str) -> list[str]:
        """The words of a line. A quoted text is one word."""
        words = line.split('"')
        self.assertEqual(len(words) % 2, 1, line)
        return [part for index, each in enumerate(words) for part in ([each] if index % 2 else each.split())]

    def test_words(self) -> None:
        """No text ends early, or looks like another field."""
        fakes = (
            'a" 200 5',
            "a b",
            "a\\",
            "-",
            "\u00a0",
            "a] 10.0.0.1 GET / 200",
            "\x1b[2J",
            "\u202eabc",
            "\u2028",
            '"',
        )
        for fake in fakes:
            raw = fake.encode().decode("latin-1")
            headers = {
                **MEMBER,
                "X-User-Id": f"u{raw}u",
                "User-Agent": f"u{raw}u",
                "X-OpenStack-Request-ID": f"u{raw}u",
            }
            self.server.request("GET", "/versions", headers)
            self.server.request("GET", "/v2/images", headers)
            for line in self.lines()[-2:]:
                self.assertTrue(line.isascii() and line.isprintable(), line)
            fields = self.fields(self.lines()[-1])
            self.assertEqual(len(fields), 11, fields)
            self.assertRegex(fields[0], r"^\[req-u[^\[\]]*u\]$")
            self.assertEqual((fields[1], fields[3:6]), ("192.168.1.1", ["GET", "/v2/images", "200"]))
            self.assertEqual(self.entry()["user"], f"u{fake}u")
        self.assertEqual(self.text.getvalue().count("\n"), self.json.getvalue().count("\n"))

    def test_nobody(self) -> None:
        """A user with the name `-` does not look like no user."""
        self.server.request("GET", "/v2/images", {**MEMBER, "X-User-Id": "-"})
        self.assertEqual(self.fields(self.lines()[-1])[2], "\\x2d")

    def test_paths(self) -> None:
        """The same holds for paths, including those that the server reads as another path."""
        for path in ("/v2/images?a=%0A%22", '/v2/x"y', "/v2/\\", "/v2/\xe9"):
            self.server.request("GET", path, MEMBER)
            fields = self.fields(self.lines()[-1])
            self.assertEqual((len(fields), fields[3]), (11, "GET"), fields)

    def test_not_text(self) -> None:
        """Bytes that are not text are written escaped."""
        self.server.request("GET", "/v2/images", {**MEMBER, "User-Agent": "a\xff", "Range": "\xc3\xbc"})
        self.assertEqual([self.entry()[name] for name in ("user_agent", "range")], ["a\\xff", "\xfc"])
        self.assertEqual(self.fields(self.lines()[-1])[-2:], ["\\xfc", "a\\x5cxff"])

    def test_long(self) -> None:
        """Long texts are cut, and so is the whole line."""
        headers = {"User-Agent": "a" * 5000, "Range": "r" * 3000, "X-User-Id": "u" * 2000}
        self.server.request("GET", f"/v2/images?{'x' * 4000}", {**MEMBER, **headers})
        entry = self.entry()
        self.assertEqual(entry["user_agent"], "a" * 256 + "...")
        self.assertEqual([len(entry[name]) for name in ("uri", "range", "user")], [1027, 131, 131])
        self.assertLess(len(self.lines()[-1]), 2000)

    def test_own_keys(self) -> None:
        """No key of an event replaces a key that every entry has."""
        stream = StringIO()
        make_observer(LogOutput("json", stream))(
            {
                "log_format": "x",
                "log_namespace": "n",
                "log_time": 1.0,
                "json_fields": {"time": 5, "message": "y", "a": 1},
            }
        )
        entry = json.loads(stream.getvalue())
        self.assertEqual((entry["message"], entry["time"][:4], entry["a"]), ("x", "1970", 1))


class SilentTests(AccessLogTestCase):
    """`access_log = false`"""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "server": {"access_log": False}}

    def test_none(self) -> None:
        """No line is written."""
        self.server.request("GET", "/v2/images")
        self.assertEqual(self.lines(), [])
