"""A real web server in a thread of the test, for daemons that read from other servers."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class RealSite:
    """Serves `objects` by their path, with ranges, until `stop`.

    hold_at: bytes of a body after which a GET waits until `release` is called; None: it does not. gets: the requested
    paths, in order.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.hold_at: int | None = None
        self.gets: list[str] = []
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def url(self, path: str) -> str:
        """The URL of an object."""
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def store(self) -> str:
        """The table of a store that may read from the server."""
        return f'kind = "http"\nallow_private = true\nallowed_ports = [{self.port}]\n'

    def wait(self) -> None:
        """Wait until a body that is held is released."""
        self._released.wait(600)

    def release(self) -> None:
        """Send what is held, and hold nothing more."""
        self.hold_at = None
        self._released.set()

    def stop(self) -> None:
        """Stop the server."""
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(site: RealSite) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._head()

        def do_GET(self) -> None:
            site.gets.append(self.path)
            data = self._head()
            try:
                if site.hold_at is not None:
                    self.wfile.write(data[: site.hold_at])
                    self.wfile.flush()
                    data = data[site.hold_at :]
                    site.wait()
                self.wfile.write(data)
            except OSError:
                self.close_connection = True  # the daemon is gone

        def _head(self) -> bytes:
            data = site.objects.get(self.path)
            asked = self.headers.get("Range")
            if data is None:
                self.send_response(404)
                data = b""
            elif asked is None:
                self.send_response(200)
            else:
                start, stop = (int(text) for text in asked.removeprefix("bytes=").split("-"))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{stop}/{len(data)}")
                data = data[start : stop + 1]
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            return data

        def log_message(self, format: str, *arguments: Any) -> None:
            """Log nothing, because a test looks at `gets`."""

    return Handler
