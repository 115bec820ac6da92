"""Runs what answers in Deferreds from a command that does nothing else."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from imgsvc.admin.setting import Setting
from imgsvc.catalogue import Database, open_database, sqlite_file
from imgsvc.errors import ConfigurationError
from imgsvc.interfaces import IThreads
from imgsvc.threads import ReactorThreads

__all__ = ["with_database"]

T = TypeVar("T")


def with_database(setting: Setting, work: Callable[[Database], Coroutine[Deferred[Any], Any, T]]) -> T:
    """The result of `work` with the started database of the configuration, or what it raised. Once in a process.

    The reactor runs meanwhile, SIGINT ends the process. Raises ConfigurationError, CatalogueUnavailable.
    """
    file = sqlite_file(setting.config.database.url, setting.data_folder)
    if file is not None and not file.exists():  # a mistyped folder shall not get a database of its own
        raise ConfigurationError(
            f"there is no database {file}: is it the daemon's --data? `imgsvc-admin database upgrade` makes a new one"
        )
    results: list[T] = []
    errors: list[Exception] = []

    async def main(reactor: Any) -> None:
        pools: list[IThreads] = []

        def make_threads(name: str, size: int) -> IThreads:
            pools.append(ReactorThreads(reactor, name, size))
            return pools[-1]

        try:
            database = open_database(setting.config.database, setting.data_folder, make_threads, reactor)
            await database.start()
            try:
                results.append(await work(database))
            finally:
                await database.stop()
        except Exception as error:
            errors.append(error)
        finally:
            for pool in pools:
                pool.stop()

    try:
        react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
    except SystemExit as end:
        if end.code:
            raise
    for error in errors:
        raise error
    return results[0]
