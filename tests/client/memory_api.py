"""A small Image API in memory that follows the contract over loopback, and fails as a test says.

It has its own threads and may block, so it does not depend on the reactor under test.
"""

from __future__ import annotations

import hashlib
import json
import re
import select
import socket
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from attrs import define, field

BLOCK = 256 * 1024
KEPT = 100_000_000
"""Longer uploads are digested, but not kept."""


@define
class Data:
    """The data of an image: given bytes, or `size` zeros that take no memory."""

    size: int
    content: bytes | None
    md5: str
    hash_value: str

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha512") -> Data:
        return cls(len(content), content, hashlib.md5(content).hexdigest(), hashlib.new(algorithm, content).hexdigest())

    def blocks(self, start: int, stop: int) -> Iterator[bytes]:
        for offset in range(start, stop, BLOCK):
            end = min(offset + BLOCK, stop)
            yield bytes(end - offset) if self.content is None else self.content[offset:end]


@define
class Seen:
    """A request, as it was received."""

    method: str
    path: str
    headers: dict[str, str]


@define
class Faults:
    """The faults of the server. Each number counts down when the fault occurs."""

    refuse_data: tuple[int, str] | None = None
    """Answer a PUT of data with this before its body is read."""
    cut_uploads_after: int | None = None
    """Close the connection of a PUT after so many bytes."""
    cut_uploads: int = -1
    """How often to do so; below 0: always."""
    stall_uploads_after: int | None = None
    store_wrong: bool = False
    """Store other bytes than the received ones."""
    unavailable: int = 0
    """Answer so many GETs of data with 503."""
    cut_downloads: list[int] = field(factory=list)
    """Cut the next GETs of data after so many bytes of their bodies."""
    stall_downloads_after: int | None = None
    send_wrong: bool = False
    """Change the first byte of every response."""
    no_ranges: bool = False
    refuse_ranges: bool = False
    no_etag: bool = False
    stall_deletes: bool = False
    lose_answers: int = 0
    """Receive so many PUTs of data completely, and close their connections without a response."""
    saving: int = 0
    """Show an image as saving so many times, whatever its status."""
    busy: int = 0
    """Answer so many requests of any kind with 503."""
    busy_after_upload: int = 0
    """The value of `busy` when an upload is complete, before its response."""
    retry_after: str | None = None
    """The Retry-After of each 503."""
    refuse_all: tuple[int, str] | None = None
    """Answer every request with this."""


class MemoryImageApi(ThreadingHTTPServer):
    """Serves at `endpoint` between start and stop. images: documents by id. seen: all requests so far."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_address[1]}"
        self.images: dict[str, dict[str, Any]] = {}
        self.data: dict[str, Data] = {}
        self.stores: list[dict[str, str]] = []
        self.members: dict[str, dict[str, str]] = {}
        """The statuses that projects give an image, by its id."""
        self.seen: list[Seen] = []
        self.accepts: Callable[[Mapping[str, str]], bool] = lambda headers: True
        """Whether a request with these headers, which have lower-case names, may be made."""
        self.faults = Faults()
        self.stopping = threading.Event()
        self.deleting = threading.Event()
        self.lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.page_size = 25

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect, because tests do so."""

    def add(self, content: bytes | None = None, *, algorithm: str = "sha512", **fields: Any) -> dict[str, Any]:
        """Add an image; it is active if it has content."""
        document = self.create(fields)
        if content is not None:
            self.fill(document["id"], Data.of(content, algorithm), algorithm)
        return document

    def create(self, fields: dict[str, Any]) -> dict[str, Any]:
        image_id = fields.get("id") or str(uuid.uuid4())
        document = {
            "id": image_id,
            "name": None,
            "status": "queued",
            "visibility": "shared",
            "protected": False,
            "size": None,
            "checksum": None,
            "os_hash_algo": None,
            "os_hash_value": None,
            "disk_format": None,
            "container_format": None,
            "tags": [],
            "min_disk": 0,
            "min_ram": 0,
            "created_at": "2026-11-24T08:00:00Z",
            "updated_at": "2026-11-24T08:00:00Z",
            "self": f"/v2/images/{image_id}",
            "file": f"/v2/images/{image_id}/file",
            "schema": "/v2/schemas/image",
        } | fields
        self.images[image_id] = document
        return document

    def fill(self, image_id: str, data: Data, algorithm: str = "sha512") -> None:
        self.data[image_id] = data
        self.images[image_id] |= {
            "status": "active",
            "size": data.size,
            "checksum": data.md5,
            "os_hash_algo": algorithm,
            "os_hash_value": data.hash_value,
        }

    def etag(self, image_id: str) -> str | None:
        return None if self.faults.no_etag else f'"{self.data[image_id].hash_value[:32]}"'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: MemoryImageApi

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, ValueError):
            self.close_connection = True

    def do_GET(self) -> None:
        self._route()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    def _route(self) -> None:
        parts = urlsplit(self.path)
        self.server.seen.append(Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        faults = self.server.faults
        if faults.refuse_all is not None:
            return self._refuse(*faults.refuse_all)
        if not self.server.accepts(self.server.seen[-1].headers):
            self._refuse(401, "This server could not verify who asks.")
            return self._linger() if self.command == "PUT" else None
        with self.server.lock:
            busy, faults.busy = faults.busy, max(0, faults.busy - 1)
        if busy:
            return self._refuse(503, "Too much to do.")
        for method, pattern, handler in ROUTES:
            match = re.fullmatch(pattern, parts.path)
            if match and method == self.command:
                arguments = [unquote(group) for group in match.groups()]
                return handler(self, *arguments)
        self._refuse(404, "The resource could not be found.")

    # answers

    def _answer(self, status: int, body: bytes = b"", content_type: str | None = None, **headers: Any) -> None:
        self.send_response(status)
        if content_type:
            self.send_header("Content-Type", content_type)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _json(self, status: int, document: Any, **headers: Any) -> None:
        self._answer(status, json.dumps(document).encode(), "application/json", **headers)

    def _refuse(self, status: int, message: str) -> None:
        accept = self.headers.get("Accept", "")
        line = f"{status} {self.responses[status][0]}"
        headers = {"Retry_After": self.server.faults.retry_after if status == 503 else None}
        if "json" in accept:
            document = {"message": f"{message}<br /><br />\n\n\n", "code": line, "title": line[4:]}
            self._json(status, document, **headers)
        elif accept in ("", "text/plain", "application/octet-stream"):
            self._answer(status, f"{line}\n\n{message}\n\n".encode(), "text/plain; charset=UTF-8", **headers)
        else:
            page = f"<html><head><title>{line}</title></head><body><h1>{line}</h1>{message}<br /><br /></body></html>"
            self._answer(status, page.encode(), "text/html; charset=UTF-8", **headers)

    # requests

    def _document(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _image(self, image_id: str) -> dict[str, Any] | None:
        image = self.server.images.get(image_id)
        if image is None:
            self._refuse(404, f"No image found with ID {image_id}.")
        return image

    def create(self) -> None:
        fields = self._document()
        if fields.get("id") in self.server.images:
            return self._refuse(409, f"Image ID {fields['id']} already exists.")
        self._json(201, self.server.create(fields))

    def show(self, image_id: str) -> None:
        faults = self.server.faults
        if image := self._image(image_id):
            with self.server.lock:
                saving, faults.saving = faults.saving, max(0, faults.saving - 1)
            self._json(200, {**image, "status": "saving"} if saving else image)

    def update(self, image_id: str) -> None:
        operations = self._document()
        if self.headers["Content-Type"] != "application/openstack-images-v2.1-json-patch":
            return self._refuse(415, f"{self.headers['Content-Type']} is no patch of an image.")
        if image := self._image(image_id):
            for operation in operations:
                key = operation["path"][1:].replace("~1", "/").replace("~0", "~")
                if operation["op"] != "remove":
                    image[key] = operation["value"]
                elif image.pop(key, None) is None:
                    return self._refuse(409, f"Property {key} does not exist.")
            self._json(200, image)

    def add_tag(self, image_id: str, tag: str) -> None:
        if image := self._image(image_id):
            image["tags"] = sorted({*image["tags"], tag})
            self._answer(204)

    def remove_tag(self, image_id: str, tag: str) -> None:
        if image := self._image(image_id):
            if tag not in image["tags"]:
                return self._refuse(404, f"Tag {tag} could not be found.")
            image["tags"].remove(tag)
            self._answer(204)

    def delete(self, image_id: str) -> None:
        image = self._image(image_id)
        if image is None:
            return
        if self.server.faults.stall_deletes:
            self.server.deleting.set()
            self.server.stopping.wait()
            raise ConnectionError("told to stall")
        if image["protected"]:
            return self._refuse(403, f"Image {image_id} is protected and cannot be deleted.")
        del self.server.images[image_id]
        self.server.data.pop(image_id, None)
        self._answer(204)

    def list(self) -> None:
        query = parse_qsl(urlsplit(self.path).query)
        given = dict(query)
        limit, marker = int(given.pop("limit", self.server.page_size)), given.pop("marker", None)
        images = list(self.server.images.values())
        hidden = given.pop("os_hidden", "false") == "true"
        images = [image for image in images if bool(image.get("os_hidden")) == hidden]
        for value in [value for key, value in query if key == "tag"]:
            images = [image for image in images if value in image["tags"]]
        for key, _, direction in [each.partition(":") for each in given.pop("sort", "").split(",") if each][::-1]:
            images.sort(key=lambda image, key=key: str(image[key]), reverse=direction != "asc")
        for key in ("tag", "member_status"):
            given.pop(key, None)
        if given.get("visibility") == "all":
            del given["visibility"]
        for key, value in given.items():
            if key == "name" and ":" in value:
                if not value.startswith("in:"):
                    return self._refuse(400, f"Unable to filter by unknown operator '{value.split(':')[0]}'.")
                value = re.sub(r"\\(.)", r"\1", value[3:].strip('"'))
            images = [image for image in images if image.get(key) == value]
        if marker:
            ids = [image["id"] for image in images]
            images = images[ids.index(marker) + 1 :]
        page = {"images": images[:limit], "first": "/v2/images", "schema": "/v2/schemas/images"}
        if images[:limit] and len(images) >= limit:
            following = [*((k, v) for k, v in query if k != "marker"), ("marker", images[limit - 1]["id"])]
            page["next"] = "/v2/images?" + urlencode(following)
        self._json(200, page)

    def list_members(self, image_id: str) -> None:
        if self._image(image_id):
            self._json(200, {"members": [self._member(image_id, project) for project in self._projects(image_id)]})

    def add_member(self, image_id: str) -> None:
        project = self._document()["member"]
        if image := self._image(image_id):
            if image["visibility"] != "shared":
                return self._refuse(403, "Only shared images have members.")
            if project in self._projects(image_id):
                return self._refuse(409, f"Image {image_id} is already shared with {project}.")
            self._projects(image_id)[project] = "pending"
            self._json(200, self._member(image_id, project))

    def answer_member(self, image_id: str, project: str) -> None:
        status = self._document()["status"]
        if project not in self._projects(image_id):
            return self._refuse(404, f"{project} not found in the member list of the image {image_id}.")
        self._projects(image_id)[project] = status
        self._json(200, self._member(image_id, project))

    def remove_member(self, image_id: str, project: str) -> None:
        if self._projects(image_id).pop(project, None) is None:
            return self._refuse(404, f"{project} not found in the member list of the image {image_id}.")
        self._answer(204)

    def _projects(self, image_id: str) -> dict[str, str]:
        return self.server.members.setdefault(image_id, {})

    def _member(self, image_id: str, project: str) -> dict[str, str]:
        status = self._projects(image_id)[project]
        return {"member_id": project, "image_id": image_id, "status": status, "updated_at": "2026-11-24T08:00:00Z"}

    def deactivate(self, image_id: str) -> None:
        self._change_status(image_id, "active", "deactivated")

    def reactivate(self, image_id: str) -> None:
        self._change_status(image_id, "deactivated", "active")

    def _change_status(self, image_id: str, before: str, after: str) -> None:
        if image := self._image(image_id):
            if image["status"] not in (before, after):
                return self._refuse(403, f"Image {image_id} is {image['status']}.")
            image["status"] = after
            self._answer(204)

    def list_stores(self) -> None:
        if not self.server.stores:
            return self._refuse(404, "Multi backend is not supported at this site.")
        self._json(200, {"stores": self.server.stores})

    def import_info(self) -> None:
        self._json(200, {"import-methods": {"description": "", "type": "array", "value": ["web-download"]}})

    def put_data(self, image_id: str) -> None:
        faults = self.server.faults
        image = self.server.images.get(image_id)
        early = faults.refuse_data or (None if image else (404, f"No image found with ID {image_id}."))
        if early is None and image and image["status"] != "queued":
            early = (409, f"Image {image_id} is {image['status']}: it takes data only while queued.")
        if early:
            self._refuse(*early)
            return self._linger()
        assert image is not None
        image["status"] = "saving"
        md5, sha512, size = hashlib.md5(), hashlib.sha512(), 0
        kept: list[bytes] | None = []
        for block in self._whole_body(image):
            md5.update(block)
            sha512.update(block)
            size += len(block)
            kept = None if size > KEPT else kept
            if kept is not None:
                kept.append(block)
            if faults.cut_uploads_after is not None and size >= faults.cut_uploads_after:
                faults.cut_uploads -= 1
                if not faults.cut_uploads:
                    faults.cut_uploads_after = None
                image["status"] = "queued"
                self.connection.shutdown(socket.SHUT_RDWR)
                raise ConnectionError("told to cut")
            if faults.stall_uploads_after is not None and size >= faults.stall_uploads_after:
                self._wait_for_the_end()
                image["status"] = "queued"
                raise ConnectionError("told to stall")
        announced = self.headers.get("X-OpenStack-Image-Size")
        if announced is not None and int(announced) != size:
            image["status"] = "queued"
            return self._refuse(400, f"{announced} bytes were announced and {size} came.")
        content = None if kept is None else b"".join(kept)
        value = sha512.hexdigest()
        self.server.fill(image_id, Data(size, content, md5.hexdigest(), "0" * 128 if faults.store_wrong else value))
        with self.server.lock:
            lost, faults.lose_answers = faults.lose_answers, max(0, faults.lose_answers - 1)
            faults.busy, faults.busy_after_upload = faults.busy_after_upload, 0
        if lost:
            self.connection.shutdown(socket.SHUT_RDWR)
            raise ConnectionError("told to lose the answer")
        self._answer(204)

    def _whole_body(self, image: dict[str, Any]) -> Iterator[bytes]:
        """The blocks of the body. If it is cut, the image is queued again."""
        try:
            yield from self._body()
        except (OSError, ValueError):
            image["status"] = "queued"
            raise

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding") == "chunked":
            while length := int(self.rfile.readline(), 16):
                yield self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers["Content-Length"])
        while left:
            block = self.rfile.read1(min(left, BLOCK))
            if not block:
                raise ConnectionError("the client is gone")
            left -= len(block)
            yield block

    def _wait_for_the_end(self) -> None:
        """Read nothing until the client has given up, or the server stops."""
        poll = select.poll()
        poll.register(self.connection, select.POLLRDHUP)
        while not self.server.stopping.is_set():
            if poll.poll(50):
                return

    def _linger(self) -> None:
        """Half-close the connection, and give the client a moment to read before its bytes are refused."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(1)
        try:
            while self.connection.recv(BLOCK):
                pass
        except OSError:
            pass
        self.close_connection = True

    def get_data(self, image_id: str) -> None:
        if self._image(image_id) is None:
            return
        faults, data = self.server.faults, self.server.data.get(image_id)
        with self.server.lock:
            unavailable, faults.unavailable = faults.unavailable, max(0, faults.unavailable - 1)
            limit = faults.cut_downloads.pop(0) if faults.cut_downloads and data and not unavailable else None
        if unavailable:
            return self._refuse(503, "The store does not answer.")
        if data is None:
            return self._answer(204)
        etag = self.server.etag(image_id)
        asked = None if faults.no_ranges else self.headers.get("Range")
        if asked and faults.refuse_ranges:
            return self._refuse(400, "The store cannot read at an offset.")
        if asked and self.headers.get("If-Range", etag) != etag:
            asked = None
        start, stop, status = 0, data.size, 200
        headers: dict[str, Any] = {"ETag": etag, "Content_MD5": data.md5}
        if asked:
            first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", asked).groups()  # type: ignore[union-attr]
            start, stop, status = int(first), min(data.size, int(last) + 1 if last else data.size), 206
            if start >= data.size:
                return self._answer(416, Content_Range=f"bytes */{data.size}")
            headers["Content_Range"] = f"bytes {start}-{stop - 1}/{data.size}"
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(stop - start))
        for name, value in headers.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self._send(data, start, stop, limit)

    def _send(self, data: Data, start: int, stop: int, limit: int | None) -> None:
        faults, sent = self.server.faults, 0
        for block in data.blocks(start, stop):
            if faults.send_wrong and not sent and block:
                block = bytes([block[0] ^ 1]) + block[1:]
            if limit is not None and sent + len(block) > limit:
                self.wfile.write(block[: limit - sent])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                raise ConnectionError("told to cut")
            self.wfile.write(block)
            sent += len(block)
            if faults.stall_downloads_after is not None and sent >= faults.stall_downloads_after:
                self.wfile.flush()
                self.server.stopping.wait()
                raise ConnectionError("told to stall")


IMAGE = r"/v2/images/([^/]+)"
ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("POST", "/v2/images", _Handler.create),
    ("GET", "/v2/images", _Handler.list),
    ("GET", IMAGE, _Handler.show),
    ("PATCH", IMAGE, _Handler.update),
    ("DELETE", IMAGE, _Handler.delete),
    ("PUT", IMAGE + "/tags/([^/]+)", _Handler.add_tag),
    ("DELETE", IMAGE + "/tags/([^/]+)", _Handler.remove_tag),
    ("PUT", IMAGE + "/file", _Handler.put_data),
    ("GET", IMAGE + "/members", _Handler.list_members),
    ("POST", IMAGE + "/members", _Handler.add_member),
    ("PUT", IMAGE + "/members/([^/]+)", _Handler.answer_member),
    ("DELETE", IMAGE + "/members/([^/]+)", _Handler.remove_member),
    ("POST", IMAGE + "/actions/deactivate", _Handler.deactivate),
    ("POST", IMAGE + "/actions/reactivate", _Handler.reactivate),
    ("GET", IMAGE + "/file", _Handler.get_data),
    ("GET", "/v2/info/stores", _Handler.list_stores),
    ("GET", "/v2/info/import", _Handler.import_info),
]
