"""Private database servers for tests: PostgreSQL and MariaDB of Debian, each in a temporary folder, on a unix
socket.

`postgresql()` and `mariadb()` start theirs at the first call. Both run until the end of the process. Their settings
differ from what the catalogue needs (order by language, latin1), because those of an operator may differ too.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pymysql

START_TIME = 60.0
PASSWORD = "s3cret-word"
POSTGRESQL = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path())

_numbers = count()


class DatabaseServer:
    """A server with its files in its own folder. durable: committed data would survive a power failure."""

    account: ClassVar[str]
    """The account of the server if root runs the tests, because servers refuse root."""
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, durable: bool = False) -> None:
        self.durable = durable
        self.folder = Path(tempfile.mkdtemp(prefix="imgsvc-database-"))
        self.log_file = self.folder / "log.txt"
        self._account = pwd.getpwnam(self.account) if os.geteuid() == 0 else None
        if self._account is not None:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
            self.folder.chmod(0o755)
        self.process: subprocess.Popen[bytes] | None = None
        self._identity: dict[str, Any] = {}
        if self._account is not None:
            self._identity = {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}
        self.make()

    def make(self) -> None:
        """Create the files of an empty server."""
        raise NotImplementedError

    def command(self) -> Sequence[str]:
        """The command that runs the server in the foreground."""
        raise NotImplementedError

    def connect(self, database: str = "") -> Any:
        """A connection of the driver as the server's administrator, without transactions. The caller closes it."""
        raise NotImplementedError

    def url(self, database: str) -> str:
        """The value of database.url for one of its databases."""
        raise NotImplementedError

    def run(self, *command: str | Path) -> None:
        """Run a command as the server's account."""
        subprocess.run(
            command, check=True, capture_output=True, stdin=subprocess.DEVNULL, cwd=self.folder, **self._identity
        )

    def start(self) -> None:
        """Start the server, and wait until it responds."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=_end_with_parent,
                **self._identity,
            )
        until = time.monotonic() + START_TIME
        while True:
            try:
                self.connect().close()
                return
            except (psycopg.OperationalError, pymysql.OperationalError) as error:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise AssertionError(
                        f"no server: {error}\n{self.log_file.read_text('utf-8', 'replace')}"
                    ) from error
                time.sleep(0.02)  # the only way to wait for a server that reports nothing

    def stop(self) -> None:
        """Stop the server in order, without waiting for connections. May be repeated."""
        self.signal(self.stop_signal)
        if self.process is not None:
            self.process.wait(START_TIME)

    def kill(self) -> None:
        """End the server as a power failure would."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def freeze(self, frozen: bool) -> None:
        """Stop all of its processes, or let them go on. To its clients it looks like a host that has failed."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in (self.process.pid, *map(int, children)):
            os.kill(pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def close(self) -> None:
        """Stop the server and remove its files."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, statement: str, database: str = "") -> list[Any]:
        """Run a statement as the administrator. Returns its rows, if any."""
        connection = self.connect(database)
        try:
            cursor = connection.cursor()
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def new_database(self) -> str:
        """The name of a new, empty database."""
        raise NotImplementedError

    def drop_database(self, name: str) -> None:
        """Remove a database, even if clients are connected to it."""
        raise NotImplementedError

    def cut_connections(self, database: str) -> int:
        """Cut connections to a database from the server's side. Returns how many."""
        raise NotImplementedError


class PostgreSQL(DatabaseServer):
    """PostgreSQL, whose databases sort by the rules of a language."""

    account = "postgres"
    stop_signal = signal.SIGINT  # "fast": does not wait for clients

    def make(self) -> None:
        self.run(
            *(POSTGRESQL / "initdb", "--pgdata", self.folder / "data", "--username=imgsvc", "--auth=trust"),
            *("--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"),
        )

    def command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self.folder,
            "max_connections": 100,
            **({} if self.durable else {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}),
            "shared_buffers": "32MB",
            "autovacuum": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(POSTGRESQL / "postgres"), "-D", str(self.folder / "data"), *options]

    def connect(self, database: str = "") -> Any:
        return psycopg.connect(
            host=str(self.folder), user="imgsvc", dbname=database or "postgres", autocommit=True, connect_timeout=5
        )

    def url(self, database: str) -> str:
        return f"postgresql://imgsvc:{PASSWORD}@/{database}?host={self.folder}"

    def new_database(self) -> str:
        name = f"test_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return name

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def cut_connections(self, database: str) -> int:
        return len(self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"))


class MariaDB(DatabaseServer):
    """MariaDB, whose databases are of latin1."""

    account = "mysql"
    stop_signal = signal.SIGTERM

    def make(self) -> None:
        self.run(
            *("mariadb-install-db", "--no-defaults", f"--datadir={self.folder / 'data'}", "--skip-test-db"),
            "--auth-root-authentication-method=normal",
        )

    def command(self) -> Sequence[str]:
        return [
            *("/usr/sbin/mariadbd", "--no-defaults", f"--datadir={self.folder / 'data'}"),
            *("--skip-networking", f"--socket={self._socket}", "--max-connections=150", "--skip-log-bin"),
            f"--tmpdir={self.folder}",  # otherwise a server removes temporary tables of others at its start
            *([] if self.durable else self._careless),
            *("--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M", "--innodb-fast-shutdown=2"),
            *("--character-set-server=latin1", "--collation-server=latin1_swedish_ci"),
        ]

    _careless = ("--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-doublewrite=0")

    @property
    def _socket(self) -> Path:
        return self.folder / "socket"

    def start(self) -> None:
        super().start()
        self.execute(f"CREATE USER IF NOT EXISTS imgsvc@localhost IDENTIFIED BY '{PASSWORD}'")

    def connect(self, database: str = "") -> Any:
        return pymysql.connect(
            unix_socket=str(self._socket),
            user="root",
            database=database or None,
            autocommit=True,
            charset="utf8mb4",
            connect_timeout=5,
        )

    def url(self, database: str) -> str:
        return f"mysql://imgsvc:{PASSWORD}@/{database}?unix_socket={self._socket}"

    def new_database(self) -> str:
        name = f"test_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        self.execute(f"GRANT ALL ON {name}.* TO imgsvc@localhost")
        return name

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name}")

    def cut_connections(self, database: str) -> int:
        # Those between two statements: MariaDB 10.11.19 crashed when it was told to kill one in a statement.
        idle = f"db = '{database}' AND command = 'Sleep'"
        numbers = self.execute(f"SELECT id FROM information_schema.processlist WHERE {idle}")
        for (number,) in numbers:
            with suppress(pymysql.OperationalError):  # it has ended by itself
                self.execute(f"KILL CONNECTION {number}")
        return len(numbers)


def _end_with_parent() -> None:
    """Run in the child: make the kernel end it when the tests' process dies."""
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


@cache
def postgresql() -> PostgreSQL:
    """The PostgreSQL of this process."""
    return _started(PostgreSQL())


@cache
def mariadb() -> MariaDB:
    """The MariaDB of this process."""
    return _started(MariaDB())


def _started(server: Any) -> Any:
    atexit.register(server.close)
    server.start()
    return server
