"""Tells the user what to install if only the client is installed and the server is started."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

__all__ = ["SERVER_MODULES", "require_server"]

SERVER_MODULES: Final = (
    "alembic",
    "bcrypt",
    "cattrs",
    "cryptography",
    "fastjsonschema",
    "klein",
    "oslo_config",
    "oslo_policy",
    "oslo_utils",
    "sqlalchemy",
    "werkzeug",
)
"""Modules of the packages of the extra `server` in pyproject.toml. They are searched for, but not imported."""


def require_server(command: str) -> None:
    """Check that the packages of the server are installed.

    command: the name of the program, for the message.

    Raises SystemExit with one line that says what to install.
    """
    missing = [name for name in SERVER_MODULES if find_spec(name) is None]
    if missing:
        raise SystemExit(
            f"{command}: the server is not installed, only the client: {', '.join(missing)} missing."
            " Run `pip install 'imgsvc[server]'`, or `pip install '.[server]'` in a clone."
        )
