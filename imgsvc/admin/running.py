"""Runs the reactor for one piece of work of a command."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from imgsvc.admin.setting import Setting
from imgsvc.catalogue import Database, open_database, sqlite_file
from imgsvc.daemon.core import Core
from imgsvc.errors import ConfigurationError
from imgsvc.folders import Folders
from imgsvc.interfaces import IThreads
from imgsvc.threads import ReactorThreads

__all__ = ["with_core", "with_database", "with_reactor"]

T = TypeVar("T")

INTERRUPTED: Final = 130
"""The exit status after SIGINT, as in shells."""

MakeThreads = Callable[[str, int], IThreads]


def with_reactor(work: Callable[[Any], Coroutine[Deferred[Any], Any, T]]) -> T:
    """Run the reactor for some work. Works once in a process.

    work: a coroutine function that takes the reactor. SIGINT and SIGTERM cancel it. Returns its result, and raises what
    it raises.
    """

    async def main(reactor: Any, make_threads: MakeThreads) -> T:
        return await work(reactor)

    return _run(main)


def with_database(setting: Setting, work: Callable[[Database], Coroutine[Deferred[Any], Any, T]]) -> T:
    """Start the database of the configuration, do some work with it, and stop it. Works once in a process.

    setting: of the command. work: a coroutine function that takes the database. SIGINT and SIGTERM cancel it, and end
    the process when it has ended.

    Returns the result of the work. Raises ConfigurationError, CatalogueUnavailable, and what the work raises.
    """

    async def main(reactor: Any, make_threads: MakeThreads) -> T:
        database = open_database(setting.config.database, setting.data_folder, make_threads, reactor)
        await database.start()
        try:
            return await work(database)
        finally:
            await database.stop()

    _require_database(setting)
    return _run(main)


def with_core(setting: Setting, work: Callable[[Core], Coroutine[Deferred[Any], Any, T]]) -> T:
    """Do the same as `with_database` with the Core of a daemon. Its catalogue is started, its stores are not."""

    async def main(reactor: Any, make_threads: MakeThreads) -> T:
        core = Core(setting.config, setting.data_folder, reactor, make_threads, Folders())
        await core.catalogue.start()
        try:
            return await work(core)
        finally:
            await core.catalogue.stop()

    _require_database(setting)
    return _run(main)


def _require_database(setting: Setting) -> None:
    """Raise ConfigurationError if there is no SQLite file: a mistyped folder must not get a new database."""
    file = sqlite_file(setting.config.database.url, setting.data_folder)
    if file is not None and not file.exists():
        raise ConfigurationError(
            f"there is no database {file}. Are --config and --data those of the daemon?"
            " `imgsvc-admin database upgrade`, with the same options, makes a new database"
        )


def _run(main: Callable[[Any, MakeThreads], Coroutine[Deferred[Any], Any, T]]) -> T:
    """Run the reactor and call `main` with it and a function that makes pools of threads. Returns its result."""
    results: list[T] = []
    errors: list[Exception] = []
    interrupted = False

    async def run(reactor: Any) -> None:
        work = Deferred.fromCoroutine(finish(reactor))
        ended: Deferred[None] = Deferred()

        def interrupt() -> Deferred[None] | None:
            nonlocal interrupted
            if work.called:
                return None
            interrupted = True
            work.cancel()
            return ended

        reactor.addSystemEventTrigger("before", "shutdown", interrupt)
        try:
            await work
        finally:
            ended.callback(None)

    async def finish(reactor: Any) -> None:
        pools: list[IThreads] = []

        def make_threads(name: str, size: int) -> IThreads:
            pools.append(ReactorThreads(reactor, name, size))
            return pools[-1]

        try:
            results.append(await main(reactor, make_threads))
        except Exception as error:
            errors.append(error)
        finally:
            for pool in pools:
                pool.stop()

    try:
        react(lambda reactor: Deferred.fromCoroutine(run(reactor)))
    except SystemExit as end:
        if end.code:
            raise
    if interrupted:
        raise SystemExit(INTERRUPTED)
    for error in errors:
        raise error
    return results[0]
