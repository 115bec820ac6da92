"""A relay between the client and a server, which holds an upload where a test wants it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

BLOCK = 64 * 1024


class Relay:
    """Passes connections on to `port` of the loopback address, which may change.

    hold_data_after: bytes of a PUT of data after which the rest is held; hold_answer: its response is held. Both apply
    to the first such PUT only, until its server has ended. held: set when something is held.
    """

    def __init__(self, port: int, *, hold_data_after: int | None = None, hold_answer: bool = False) -> None:
        self.port = port
        self.held = threading.Event()
        self._hold_data_after = hold_data_after
        self._hold_answer = hold_answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Accept no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self.port)) as server:
            first = client.recv(BLOCK)
            is_upload = first.startswith(b"PUT") and b"/file HTTP" in first
            limit, hold_answer = None, False
            if is_upload:
                limit, self._hold_data_after = self._hold_data_after, None
                hold_answer, self._hold_answer = self._hold_answer, False
            server.sendall(first)
            back = threading.Thread(target=self._pass_back, args=(server, client, hold_answer), daemon=True)
            back.start()
            self._pass_on(client, server, limit)
            back.join()

    def _pass_on(self, client: socket.socket, server: socket.socket, limit: int | None) -> None:
        passed = 0
        with suppress(OSError):
            while block := client.recv(BLOCK):
                server.sendall(block)
                passed += len(block)
                if limit is not None and passed >= limit:
                    self.held.set()
                    return
            server.shutdown(socket.SHUT_WR)

    def _pass_back(self, server: socket.socket, client: socket.socket, hold: bool) -> None:
        """Pass bytes back until the server has ended. Then close the client's connection too."""
        with suppress(OSError):
            while block := server.recv(BLOCK):
                if hold:
                    self.held.set()
                else:
                    client.sendall(block)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
