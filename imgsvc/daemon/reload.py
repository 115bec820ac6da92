"""SIGHUP: applies those changes of the configuration that need no restart, and names the others."""

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
    """A service that accepts another configuration while it runs."""

    def reopen_log(self) -> None:
        """Open the log file again by its name, as it may have been moved away."""

    async def reload(self, config: Config) -> None:
        """Use this configuration from the next request on. Raises ConfigurationError: nothing has changed."""


class Reloading:
    """Reads the configuration again and applies it to `service`, except for options that need a restart."""

    def __init__(self, config: Config, read: Callable[[], Config], service: Reloadable) -> None:
        """config: the configuration that the service was started with.

        read: reads the configuration again. Raises ConfigurationError.
        """
        self._config = config
        self._read = read
        self._service = service
        self._turn = DeferredLock()

    def __call__(self) -> None:
        """Called at each SIGHUP. An error is logged, and then nothing changes."""
        self._service.reopen_log()
        reloaded = self._turn.run(lambda: Deferred.fromCoroutine(self._reload()))
        reloaded.addErrback(lambda failure: log.failure("not reloaded", failure=failure))

    async def _reload(self) -> None:
        try:
            config, waiting = in_place(self._config, self._read())
            await self._service.reload(config)
        except ConfigurationError as error:
            log.error("not reloaded, nothing has changed: {error}", error=str(error))
            return
        self._config = config
        log.info("reloaded")
        if waiting:
            log.warn("needs a restart: {options}", options=", ".join(waiting))


def in_place(running: T, wanted: T, path: str = "") -> tuple[T, list[str]]:
    """Split the changes from `running` to `wanted` into those that need no restart and the others.

    running, wanted: the same options class. path: of the table in the configuration, such as `server.`; may be empty.

    Returns `running` with the changes that need no restart, and the paths of the other changed options. Raises
    ConfigurationError: the mixture of both is not a valid configuration.
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
    return attrs.evolve(running, **changes), waiting  # type: ignore[misc]  # the class is a type variable
