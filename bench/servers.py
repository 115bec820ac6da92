"""Starts the servers to measure: imgsvc, another server of the Image API, nginx, and the floor."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from bench.client import Address, ask
from bench.processes import Failed, Process, family, free_port, python, settle

IMAGE_NAME = "imgsvc-bench"
FILE_PATH = "/file"


@dataclass
class ImageServer:
    """A server of the Image API.

    pid: its process, whose descendants count, too; None if unknown. tls: its address with TLS, if it has one.
    database_pid: the process of its database server, if it has one. folder: with imgsvc.toml and data; None if unknown.
    """

    name: str
    address: Address
    pid: int | None
    tls: Address | None = None
    database_pid: int | None = None
    folder: Path | None = None
    _uploads: list[str] = field(default_factory=list)

    def new_image(self) -> str:
        """Create an image without data. Returns its id. Raises Failed."""
        image = {"name": IMAGE_NAME, "disk_format": "raw", "container_format": "bare"}
        status, body = ask(self.address, "POST", "/v2/images", image)
        if status != 201:
            raise Failed(f"{self.name}: POST /v2/images: {status} {body[:200]!r}")
        return str(json.loads(body)["id"])

    def new_path(self) -> str:
        """Create an image. Returns the path for its data. `clear` deletes the image."""
        image_id = self.new_image()
        self._uploads.append(image_id)
        return file_path(image_id)

    def clear(self) -> None:
        """Delete the images that `new_path` has created."""
        while self._uploads:
            self._delete(self._uploads.pop())

    def clear_all(self) -> None:
        """Delete all images of the benchmark, by their name."""
        while True:
            status, body = ask(self.address, "GET", f"/v2/images?limit=100&name={IMAGE_NAME}")
            images = json.loads(body)["images"] if status == 200 else []
            if not images:
                return
            for image in images:
                self._delete(image["id"])

    def _delete(self, image_id: str) -> None:
        for _ in range(40):
            status, body = ask(self.address, "DELETE", f"/v2/images/{image_id}")
            if status != 409:  # 409: the server is still undoing the upload of a client that has disconnected
                break
            time.sleep(0.25)
        if status not in (204, 404):
            raise Failed(f"{self.name}: DELETE /v2/images/{image_id}: {status} {body[:200]!r}")


def file_path(image_id: str) -> str:
    """The path of an image's data."""
    return f"/v2/images/{image_id}/file"


@dataclass
class Floor:
    """A process that runs `floor.py`."""

    name: str
    address: Address
    pid: int
    folder: Path
    _count: int = 0

    def new_path(self) -> str:
        """A new path to upload to."""
        self._count += 1
        return f"/{self._count}"

    def clear(self) -> None:
        """Delete all uploaded files."""
        for file in self.folder.iterdir():
            file.unlink()


@dataclass
class Nginx:
    """nginx with one worker. It serves a file at FILE_PATH. At `refusing` it answers 503 to every request."""

    name: str
    address: Address
    pid: int
    tls: Address
    refusing: Address
    refusing_tls: Address


IMGSVC = """
[server]
workers = {workers}
memory_budget = "{budget}MiB"
accelerated = "{accelerated_answers}"

[identity]
mode = "{identity}"

[images]
accelerated_hashing = {accelerated}
hash = "{hash}"

[stores.local]
kind = "file"
path = "images"
fsync = {fsync}
"""
DATABASE = """
[database]
url = "{url}"
"""
BUDGET = 256
"""MiB, the default of server.memory_budget."""


@contextmanager
def imgsvc(
    folder: Path,
    *,
    fsync: bool = True,
    workers: int = 1,
    certificate: Path | None = None,
    database: str = "",
    budget: int = BUDGET,
    identity: Mapping[str, str] | None = None,
    descriptors: int = 0,
    accelerated: bool = True,
    image_hash: str = "sha512",
    x_accel: bool = False,
) -> Iterator[ImageServer]:
    """Run the daemon with its data in the folder. Other options have their defaults, so it writes an access log.

    certificate: a PEM file with certificate and key; with it, the daemon also listens with TLS. database: the URL of an
    empty database. budget: MiB. identity: the headers that say who a client is; None: everybody is the administrator.
    descriptors: the most open files of the daemon; 0: the limit of the benchmark. accelerated, image_hash:
    images.accelerated_hashing and images.hash. x_accel: server.accelerated.
    """
    folder.mkdir()
    options = IMGSVC.format(
        workers=workers,
        budget=budget,
        fsync="true" if fsync else "false",
        identity="none" if identity is None else "proxy",
        accelerated="true" if accelerated else "false",
        hash=image_hash,
        accelerated_answers="x-accel" if x_accel else "off",
    )
    if database:
        options += DATABASE.format(url=database)
    (folder / "imgsvc.toml").write_text(options)
    if database:
        admin = python(
            "-c",
            "from imgsvc.admin.command import main; main()",
            "--config",
            "imgsvc.toml",
            "--data",
            "data",
            "database",
            "upgrade",
        )
        subprocess.run(admin, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    address = Address("127.0.0.1", free_port(), headers=identity or {})
    endpoints = ["--listen", f"tcp:{address.port}:interface=127.0.0.1"]
    tls = None
    if certificate:
        tls = replace(address, port=free_port(), tls=True)
        endpoints += ["--listen", f"ssl:{tls.port}:privateKey={certificate}:certKey={certificate}:interface=127.0.0.1"]
    twistd = python("-c", "from twisted.scripts.twistd import run; run()", "--nodaemon", "--pidfile=")
    limited = ["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(descriptors)] if descriptors else []
    process = Process([*limited, *twistd, "imgsvc", "--config", "imgsvc.toml", "--data", "data", *endpoints], folder)
    try:
        process.wait_until(lambda: answers(address, "/healthcheck"))
        if workers > 1:
            process.wait_until(lambda: len(family(process.pid)) == workers + 1)
        settle(process.pid)
        yield ImageServer("imgsvc", address, process.pid, tls, folder=folder)
    finally:
        process.stop()
        shutil.rmtree(folder)


def other(url: str, headers: Mapping[str, str], pid: int | None) -> ImageServer:
    """A server of the Image API that is running already. Raises Failed."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise Failed(f"--against {url!r}: must be an http URL")
    if pid is not None and not Path(f"/proc/{pid}").exists():
        raise Failed(f"--against-pid {pid}: there is no such process")
    address = Address(parts.hostname, parts.port or 80, parts.path.rstrip("/"), dict(headers))
    return ImageServer("other", address, pid)


@contextmanager
def floor(folder: Path, fsync: bool) -> Iterator[Floor]:
    """Run the floor. It writes to the folder."""
    folder.mkdir()
    files = folder / "files"
    files.mkdir()
    address = Address("127.0.0.1", free_port())
    command = python("-m", "bench.floor", str(address.port), str(files), *(["--fsync"] if fsync else []))
    process = Process(command, folder)
    try:
        process.wait_until(lambda: _listens(address))
        yield Floor("floor", address, process.pid, files)
    finally:
        process.stop()
        shutil.rmtree(folder)


NGINX = """
user {user} {user};
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 16384; }}
http {{
    access_log access.log;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        ssl_protocols TLSv1.3;
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
        root files;
    }}
    server {{
        listen 127.0.0.1:{refusing_port} backlog=4096;
        listen 127.0.0.1:{refusing_tls_port} ssl backlog=4096;
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
        return 503;
    }}
}}
"""


@contextmanager
def nginx(folder: Path, source: Path | None, certificate: Path) -> Iterator[Nginx]:
    """Run nginx in the folder. It serves a copy of the source file, if there is one. Raises Failed: not installed."""
    program = find_nginx()
    if program is None:
        raise Failed("nginx is not installed")
    folder.mkdir()
    files = folder / "files"
    files.mkdir()
    if source is not None:
        shutil.copyfile(source, files / FILE_PATH[1:])
    address = Address("127.0.0.1", free_port())
    tls = replace(address, port=free_port(), tls=True)
    refusing = replace(address, port=free_port())
    refusing_tls = replace(tls, port=free_port())
    user = pwd.getpwuid(os.getuid()).pw_name
    (folder / "nginx.conf").write_text(
        NGINX.format(
            user=user,
            port=address.port,
            tls_port=tls.port,
            refusing_port=refusing.port,
            refusing_tls_port=refusing_tls.port,
            certificate=certificate,
        )
    )
    process = Process([program, "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"], folder)
    try:
        process.wait_until(lambda: _listens(address))
        yield Nginx("nginx", address, process.pid, tls, refusing, refusing_tls)
    finally:
        process.stop()
        shutil.rmtree(folder)


def find_nginx() -> str | None:
    """The path of nginx; None if it is not installed. Debian has it in a folder outside of the PATH of users."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def make_certificate(folder: Path) -> Path:
    """Make a self-signed certificate, with its key in the same PEM file. Raises Failed."""
    key, certificate, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    said = subprocess.run([*command, "-keyout", key, "-out", certificate], capture_output=True, text=True)
    if said.returncode:
        raise Failed(f"openssl: {said.stderr}")
    both.write_text(key.read_text() + certificate.read_text())
    return both


def _listens(address: Address) -> bool:
    # Not by a connection, which the floor would serve.
    hexadecimal = f"0100007F:{address.port:04X}"
    return any(
        line.split()[1] == hexadecimal and line.split()[3] == "0A"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
    )


def answers(address: Address, path: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return ask(address, "GET", path)[0] == 200
    except OSError:
        return False
