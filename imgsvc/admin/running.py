"""Runs what answers in Deferreds from a command that does nothing else."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from imgsvc.admin.setting import Setting
from imgsvc.catalogue import Database, open_database, sqlite_file
from imgsvc.core import Core
from imgsvc.errors import ConfigurationError
from imgsvc.folders import Folders
from imgsvc.interfaces import IThreads
from imgsvc.threads import ReactorThreads

__all__ = ["with_core", "with_database"]

T = TypeVar("T")

INTERRUPTED: Final = 130
"""The exit status of what was ended by SIGINT, as shells have it."""

MakeThreads = Callable[[str, int], IThreads]


def with_database(setting: Setting, work: Callable[[Database], Coroutine[Deferred[Any], Any, T]]) -> T:
    """The result of `work` with the started database of the configuration, or what it raised. Once in a process.

    The reactor runs meanwhile. SIGINT and SIGTERM cancel `work`, and end the process when that has ended. Raises
    ConfigurationError, CatalogueUnavailable.
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
    """As `with_database`, with all that a daemon has behind its API. Its catalogue is started, its stores are not."""

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
    """A mistyped folder shall not get a database of its own."""
    file = sqlite_file(setting.config.database.url, setting.data_folder)
    if file is not None and not file.exists():
        raise ConfigurationError(
            f"there is no database {file}. Are --config and --data those of the daemon?"
            " `imgsvc-admin database upgrade`, with the same options, makes a new database"
        )


def _run(main: Callable[[Any, MakeThreads], Coroutine[Deferred[Any], Any, T]]) -> T:
    """The result of `main` with the reactor and what makes pools of threads, which end after it."""
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
