"""nginx and HAProxy in front of the daemon, configured as in the examples."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

from tests.daemon.rig import DaemonTestCase
from tests.support.certificates import write_certificate
from tests.support.waiting import free_port, listens

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
DASHBOARD = "https://dashboard.example"
TOML = f"""
[identity]
allow_remote = true

[server]
proxy_headers = true
cors_origins = ["{DASHBOARD}"]
[stores.local]
kind = "file"
path = "images"
"""
MIB = 1 << 20


class Client:
    """A connection to the proxy, byte for byte."""

    def __init__(self, port: int, certificate: Path) -> None:
        context = ssl.create_default_context(cafile=str(certificate))
        self._socket = context.wrap_socket(
            socket.create_connection(("127.0.0.1", port), 30), server_hostname="127.0.0.1"
        )
        self._file = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send all the bytes."""
        self._socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next response, also of interim ones."""
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().strip().decode():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = b"" if status in (100, 204) else self._file.read(int(headers["content-length"]))
        return status, headers, body

    def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """The response to a whole request."""
        lines = {"Host": "images.example.org", "Content-Length": str(len(body)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        return self.answer()

    def close(self) -> None:
        """End the connection."""
        self._file.close()
        self._socket.close()


class ProxyTestCase(DaemonTestCase):
    """A daemon, and a proxy in front of it."""

    toml = TOML

    def setUp(self) -> None:
        super().setUp()
        self.server = self.daemon(self.toml)
        self.certificate = self.folder / "certificate.pem"
        write_certificate(self.certificate)
        self.port = free_port()
        proxy = subprocess.Popen(self.proxy(), stdin=subprocess.DEVNULL)
        self.addCleanup(proxy.wait)
        self.addCleanup(proxy.terminate)
        self.wait(lambda: listens(self.port), "the proxy listens")

    def proxy(self) -> list[str]:
        """The command that runs the proxy."""
        raise NotImplementedError

    def example(self, name: str, *replaced: tuple[str, str]) -> Path:
        """A file with the text of an example. Each replaced text must be in it once."""
        text = (EXAMPLES / name).read_text()
        for old, new in (*replaced, ("127.0.0.1:9292", f"127.0.0.1:{self.server.port}")):
            self.assertEqual(text.count(old), 1, old)
            text = text.replace(old, new)
        file = self.folder / name
        file.write_text(text)
        return file

    def program(self, name: str) -> str:
        """The path of a program."""
        found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
        assert found is not None, f"{name} is missing (tests/run installs it)"
        return found

    def client(self) -> Client:
        """A new connection."""
        client = Client(self.port, self.certificate)
        self.addCleanup(client.close)
        return client

    def image(self, client: Client) -> str:
        """The id of a new image."""
        status, headers, body = client.request(
            "POST",
            "/v2/images",
            b'{"disk_format": "raw", "container_format": "bare"}',
            {"X-Forwarded-Host": "evil.example"},
        )
        image = str(json.loads(body)["id"])
        self.assertEqual((status, headers["location"]), (201, f"https://images.example.org/v2/images/{image}"))
        return image

    def upload_head(self, image: str, *lines: str) -> bytes:
        """The head of an upload."""
        head = (f"PUT /v2/images/{image}/file HTTP/1.1", "Host: x", "Content-Type: application/octet-stream", *lines)
        return "".join(f"{line}\r\n" for line in (*head, "")).encode()

    def stored(self) -> int:
        """The number of bytes in the store, of finished uploads and others."""
        return sum(file.stat().st_size for file in (self.server.data / "images").iterdir())

    def assert_nothing_kept(self) -> None:
        """The proxy has written nothing to files."""


class TransferTests(ProxyTestCase):
    """TLS outside, plain HTTP inside, and no buffering between."""

    def test_transfers(self) -> None:
        """Bytes arrive while the client still sends, with a length and without. Ranges work."""
        client = self.client()
        data = os.urandom(8 * MIB)
        image = self.image(client)
        client.send(self.upload_head(image, f"Content-Length: {len(data)}", "Expect: 100-continue"))
        self.assertEqual(client.answer()[0], 100)
        client.send(data[: 6 * MIB])
        self.wait(lambda: self.stored() >= 4 * MIB, "bytes in the store")
        self.assertEqual(self.server.show(image)["status"], "saving")
        client.send(data[6 * MIB :])
        self.assertEqual(client.answer()[0], 204)
        status, headers, body = client.request("GET", f"/v2/images/{image}/file")
        self.assertEqual((status, body, headers["content-md5"]), (200, data, hashlib.md5(data).hexdigest()))
        status, headers, body = client.request("GET", f"/v2/images/{image}/file", b"", {"Range": "bytes=5-3000004"})
        self.assertEqual((status, headers["content-range"]), (206, f"bytes 5-3000004/{len(data)}"))
        self.assertEqual(body, data[5:3000005])

        other = self.image(client)
        client.send(self.upload_head(other, "Transfer-Encoding: chunked"))
        before = self.stored()
        for start in range(0, 6 * MIB, MIB):
            client.send(b"100000\r\n%s\r\n" % data[start : start + MIB])
        self.wait(lambda: self.stored() >= before + 4 * MIB, "bytes in the store")
        client.send(b"0\r\n\r\n")
        self.assertEqual(client.answer()[0], 204)
        self.assertEqual(self.server.show(other)["size"], 6 * MIB)
        self.assert_nothing_kept()

    def test_refusals(self) -> None:
        """An upload that is refused early gets its response before the client has sent all. One that is cut ends."""
        client = self.client()
        image = self.image(client)
        self.server.put(image, b"data")
        client.send(self.upload_head(image, f"Content-Length: {1 << 40}") + b"x" * MIB)
        status, headers, body = client.answer()
        self.assertEqual((status, headers["content-type"]), (409, "text/plain; charset=UTF-8"))
        self.assertIn(b"only a queued image takes data", body)

        client = self.client()
        image = self.image(client)
        client.send(self.upload_head(image, f"Content-Length: {4 * MIB}") + b"x" * 3 * MIB)
        self.wait(lambda: self.server.show(image)["status"] == "saving", "the upload begins")
        client.close()
        self.wait(lambda: self.server.show(image)["status"] == "queued", "the upload ends")

    def test_headers(self) -> None:
        """Links, CORS and health work as seen by the client. Forwarding headers of clients are dropped."""
        client = self.client()
        status, _, body = client.request("GET", "/versions", b"", {"Forwarded": "host=evil.example;proto=http"})
        self.assertEqual(status, 200)
        links: Any = {link["href"] for version in json.loads(body)["versions"] for link in version["links"]}
        self.assertEqual(links, {"https://images.example.org/v2/"})
        status, headers, _ = client.request(
            "OPTIONS", "/v2/images/x/file", b"", {"Origin": DASHBOARD, "Access-Control-Request-Method": "PUT"}
        )
        self.assertEqual((status, headers["access-control-allow-origin"]), (200, DASHBOARD))
        self.assertIn("PUT", headers["access-control-allow-methods"])
        status, headers, _ = client.request("GET", "/v2/images/x", b"", {"Origin": DASHBOARD})
        self.assertEqual((status, headers["access-control-allow-origin"]), (404, DASHBOARD))
        self.assertIn("x-openstack-request-id", headers)
        status, _, body = client.request("GET", "/healthcheck?detail")
        self.assertEqual((status, body), (200, b"OK"))
        self.assertIn(b"catalogue: OK", self.server.request("GET", "/healthcheck?detail")[2])


class IdentityTests(ProxyTestCase):
    """A daemon that trusts the proxy to identify the caller."""

    toml = TOML.replace("allow_remote = true", 'mode = "proxy"')

    def test_lost(self) -> None:
        """Identity headers of clients are dropped by the proxy."""
        headers = {"X-Identity-Status": "Confirmed", "X-Roles": "admin", "X-Project-Id": "p", "X-User-Id": "u"}
        self.assertEqual(self.client().request("GET", "/v2/images", b"", headers)[0], 401)
        self.assertEqual(self.server.request("GET", "/v2/images", headers)[0], 200)


class Nginx(ProxyTestCase):
    """nginx. replaced: more texts of the example, and what they are replaced by. account: whose its workers are."""

    replaced: tuple[tuple[str, str], ...] = ()
    account = "root"

    @property
    def kept(self) -> list[Path]:
        """The folders where nginx would keep bodies."""
        return [self.folder / name for name in ("client_body_temp", "proxy_temp")]

    def proxy(self) -> list[str]:
        """See ProxyTestCase."""
        folders = "".join(f"{path.name}_path {path};" for path in self.kept)
        file = self.example(
            "nginx.conf",
            ("listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;"),
            ("/etc/ssl/imgsvc/certificate.pem", str(self.certificate)),
            ("/etc/ssl/imgsvc/key.pem", str(self.certificate)),
            ("http {", f"http {{ access_log off; {folders}"),
            ("worker_processes auto;", "worker_processes 1;"),
            *self.replaced,
        )
        user = f" user {self.account};" if os.geteuid() == 0 else ""
        return [
            *(self.program("nginx"), "-p", str(self.folder), "-c", str(file), "-e", str(self.folder / "nginx.log")),
            *("-g", f"daemon off; pid {self.folder / 'nginx.pid'};{user}"),
        ]

    def assert_nothing_kept(self) -> None:
        """See ProxyTestCase."""
        self.assertEqual([list(folder.rglob("*/*")) for folder in self.kept if folder.exists()], [[], []])


class Haproxy(ProxyTestCase):
    """HAProxy, which cannot keep bodies in files."""

    def proxy(self) -> list[str]:
        """See ProxyTestCase."""
        file = self.example(
            "haproxy.cfg",
            ("bind :443 ssl", f"bind 127.0.0.1:{self.port} ssl"),
            ("/etc/ssl/imgsvc/certificate-and-key.pem", str(self.certificate)),
        )
        return [self.program("haproxy"), "-db", "-f", str(file)]


class NginxTransferTests(Nginx, TransferTests):
    """Transfers through nginx."""


class NginxIdentityTests(Nginx, IdentityTests):
    """Identity behind nginx."""


class HaproxyTransferTests(Haproxy, TransferTests):
    """Transfers through HAProxy."""


class HaproxyIdentityTests(Haproxy, IdentityTests):
    """Identity behind HAProxy."""


del TransferTests, IdentityTests  # these have no proxy, and must not run
