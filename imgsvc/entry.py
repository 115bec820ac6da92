"""The entry points of the installed commands. They handle Ctrl-C before they import the rest."""

from __future__ import annotations

import signal

from imgsvc.interrupts import end_on_interrupt

__all__ = ["admin", "client"]


def client() -> None:
    """The `imgsvc` command. It handles Ctrl-C itself as soon as the reactor runs."""
    end_on_interrupt()
    from imgsvc.client.command import main

    main(prog_name="imgsvc")


def admin() -> None:
    """The `imgsvc-admin` command. Raises SystemExit if only the client is installed."""
    handled = end_on_interrupt()
    from imgsvc.extras import require_server

    require_server("imgsvc-admin")
    from imgsvc.admin.command import main

    if handled:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
