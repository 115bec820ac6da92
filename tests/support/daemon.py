"""The real daemon, `twistd imgsvc`, as a child process on a free port of the loopback address."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.waiting import children, heed_interrupts, is_running, wait_for

START_TIME = 120.0
"""Seconds. A quiet machine takes one."""
SERVING = re.compile(r"imgsvc \S+ on (https?://(127\.0\.0\.1|\[::1\]):(?P<port>\d+)|unix:)")
"""The text in the log when the daemon serves."""


class Daemon:
    """A daemon with its data in `folder`.

    tables: TOML text of the configuration. listen: endpoint; its port is known after the start. wrap: a command that
    runs the daemon, such as strace. environment: additional variables. twistd: options of twistd itself.
    """

    def __init__(
        self,
        folder: Path,
        toml: str = "",
        listen: str = "tcp:0:interface=127.0.0.1",
        wrap: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        twistd: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log_file = folder / "log.txt"
        self._config = folder / "imgsvc.toml"
        self._listen = listen
        self._wrap = wrap
        self._twistd = twistd
        self._environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text(toml)

    @property
    def config(self) -> Path:
        """The file with its configuration."""
        return self._config

    @property
    def endpoint(self) -> str:
        """The URL of the server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the daemon itself, even if a wrapper runs it."""
        assert self.process is not None
        pid = self.process.pid
        if self._wrap:
            return children(pid)[0]
        return pid

    def start(self) -> Daemon:
        """Start, and wait until it serves. Raises AssertionError with the log if it does not."""
        start = self.log_file.stat().st_size if self.log_file.exists() else 0
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self._wrap,
                    *(sys.executable, "-c", "from twisted.scripts.twistd import run; run()"),
                    *("-n", *self._twistd, "imgsvc", "--config", str(self._config)),
                    *("--data", str(self.data), "--listen", self._listen),
                ],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=heed_interrupts,
            )
        until = time.monotonic() + START_TIME
        while time.monotonic() < until:
            text = self.log(start)
            serving = SERVING.search(text)
            if serving:
                self.port = int(serving["port"] or 0)
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.02)  # the only way to wait for a process that reports in a file
        self.kill()
        raise AssertionError(f"the daemon does not start:\n{self.log(start)}")

    def log(self, start: int = 0) -> str:
        """The log of the daemon, from this byte on."""
        return self.log_file.read_bytes()[start:].decode("utf-8", "replace")

    def signal(self, number: int) -> None:
        """Send a signal to the daemon."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, and wait until the process has ended. May be repeated."""
        if self.process is not None:
            if self.process.poll() is None:
                if self._wrap:
                    self.signal(signal.SIGKILL)
                self.process.kill()
            self.process.wait()

    def end(self) -> None:
        """Send SIGKILL, also to its workers, and wait until all have ended. May be repeated."""
        is_up = self.process is not None and self.process.poll() is None
        workers = children(self.pid) if is_up else []
        self.kill()
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        for worker in workers:
            wait_for(lambda: not is_running(worker), f"the end of worker {worker}")  # noqa: B023

    def stop(self, patience: float = 30.0) -> int:
        """Send SIGTERM. Returns the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.process.wait(patience)

    # --- a simple client

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None, timeout: float = 60.0
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower case) and body of the response to one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def image(self, **fields: Any) -> str:
        """The id of a new image. The default formats are raw and bare."""
        document = {"disk_format": "raw", "container_format": "bare", **fields}
        status, _, body = self.request("POST", "/v2/images", body=json.dumps(document).encode())
        assert status == 201, body
        return str(json.loads(body)["id"])

    def show(self, image_id: str) -> dict[str, Any]:
        """The current image."""
        status, _, body = self.request("GET", f"/v2/images/{image_id}")
        assert status == 200, body
        document: dict[str, Any] = json.loads(body)
        return document

    def put(self, image_id: str, data: Any, **headers: str) -> int:
        """Upload. Returns the status."""
        lines = {"Content-Type": "application/octet-stream", **headers}
        return self.request("PUT", f"/v2/images/{image_id}/file", lines, data)[0]

    def get(self, image_id: str) -> bytes:
        """Download the whole data."""
        status, _, body = self.request("GET", f"/v2/images/{image_id}/file")
        assert status == 200, status
        return body
