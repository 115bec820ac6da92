"""SIGHUP: what of a changed configuration takes effect while the server runs, and what waits for the next start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredLock

from imgsvc.config import Config, Stores
from imgsvc.errors import ConfigurationError
from imgsvc.logger import make_logger

__all__ = ["Reloading", "in_place"]

log = make_logger()

T = TypeVar("T", bound=attrs.AttrsInstance)


class Reloadable(Protocol):
    """A service that takes another configuration while it runs."""

    def reopen_log(self) -> None:
        """Write to the log file under its name, which may be another file by now."""

    async def reload(self, config: Config) -> None:
        """Do as this configuration says, from the next request on. Raises ConfigurationError: nothing has changed."""


class Reloading:
    """Reads the configuration again, and has `service` do as it says, as far as that can be without a restart."""

    def __init__(self, config: Config, read: Callable[[], Config], service: Reloadable) -> None:
        """config: what the service was started with. read: gives what the files say now. Raises ConfigurationError."""
        self._config = config
        self._read = read
        self._service = service
        self._turn = DeferredLock()

    def __call__(self) -> None:
        """Called at each SIGHUP. What is wrong is logged, and then all stays as it was."""
        self._service.reopen_log()
        reloaded = self._turn.run(lambda: Deferred.fromCoroutine(self._reload()))
        reloaded.addErrback(lambda failure: log.failure("not reloaded", failure=failure))

    async def _reload(self) -> None:
        try:
            config, waiting = in_place(self._config, self._read())
            await self._service.reload(config)
        except ConfigurationError as error:
            log.error("not reloaded, all stays as it was: {error}", error=str(error))
            return
        self._config = config
        log.info("reloaded")
        if waiting:
            log.warn("needs a restart: {options}", options=", ".join(waiting))


def in_place(running: T, wanted: T, path: str = "") -> tuple[T, list[str]]:
    """`running`, with those options of `wanted` that can be changed in place, and the paths of the others that differ.

    running, wanted: of one options class. path: that of the table, as `server.`. Raises ConfigurationError when the
    two do not go together.
    """
    changes: dict[str, Any] = {}
    waiting: list[str] = []
    for attribute in attrs.fields(type(running)):
        name, before, after = attribute.name, getattr(running, attribute.name), getattr(wanted, attribute.name)
        if before == after:
            continue
        if attrs.has(type(before)) and type(before) is not Stores:
            changes[name], below = in_place(before, after, f"{path}{name}.")
            waiting += below
        elif attribute.metadata.get("reload"):
            changes[name] = after
        else:
            waiting.append(f"{path}{name}")
    return attrs.evolve(running, **changes), waiting  # type: ignore[misc]  # for a class that is not known here
