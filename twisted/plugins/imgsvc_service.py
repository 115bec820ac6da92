"""Lets twistd find `imgsvc`."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

from imgsvc.extras import require_server


class ServerMaker(ServiceMaker):
    """Says what to install when only the client is installed. `twistd --help` does not ask for the options."""

    @property
    def options(self):
        """The class of the options of `twistd imgsvc`. Raises SystemExit."""
        require_server("imgsvc")
        return super().options


imgsvc = ServerMaker("imgsvc", "imgsvc.tap", "OpenStack Image API v2 server", "imgsvc")
