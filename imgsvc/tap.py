"""The command line of `twistd imgsvc`, and the service that it makes."""

from __future__ import annotations

import gc
import os
import sys
from functools import partial
from getpass import getpass
from pathlib import Path
from typing import Any, NoReturn

from twisted.application.service import IService
from twisted.logger import ILogObserver
from twisted.python import usage

from imgsvc import __version__, config, log
from imgsvc.daemon.launch import Launch
from imgsvc.errors import ConfigurationError, ImgsvcError, Invalid
from imgsvc.output import abandon_output


class Options(usage.Options):
    """The options of `twistd imgsvc`."""

    synopsis = "[options]"
    longdesc = "Serves the OpenStack Image API v2."
    optParameters = [
        ["config", "c", None, "TOML file with the configuration; without it the defaults hold"],
        ["data", "d", "imgsvc-data", "folder that relative paths of the configuration are in; made if absent"],
        ["first-user", None, None, 'use identity.mode "users"; without any user yet, ask for the password of this one'],
        ["log-format", None, "text", "how the log is written: text or json"],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []

    def opt_listen(self, endpoint: str) -> None:
        """Where to listen, a server endpoint string of Twisted; may be given several times, replaces server.listen"""
        self["listen"].append(endpoint)

    opt_l = opt_listen

    def opt_version(self) -> None:
        """Print the version, and exit."""
        _print(f"imgsvc {__version__}")

    def opt_help(self) -> None:
        """Print this help, and exit."""
        _print(str(self))

    def postOptions(self) -> None:
        """Read the configuration and choose the log's format."""
        try:
            if self["log-format"] not in ("text", "json"):
                raise ConfigurationError(f"--log-format = {self['log-format']!r}: must be text or json")
            path = Path(self["config"]) if self["config"] else None
            mode = "users" if self["first-user"] else None
            self.configuration = config.load(path, self["listen"], mode)
            self.read_again = partial(config.load, path and path.absolute(), self["listen"], mode)
            self.data_folder = Path(self["data"]).absolute()
            _check_folder(self.data_folder)
            self._choose_log()
            if self["first-user"]:
                self._make_first_user(self["first-user"])
        except ImgsvcError as error:
            raise _refusal(error) from error
        self._choose_pid_file()

    def _make_first_user(self, name: str) -> None:
        """Make the user, if there is none yet. Raises ImgsvcError."""
        from imgsvc.identity.users.first import make_first_user

        path = self.data_folder / self.configuration.identity.users.file
        if make_first_user(path, name, _ask_for_password) and sys.stderr is not None:
            sys.stderr.write(f"imgsvc: made the administrator {name!r}: see `imgsvc-admin user --help`.\n")

    def _choose_pid_file(self) -> None:
        """Write no pid file in the foreground, unless twistd was told to.

        Whoever starts a process in the foreground knows its id. In a container, the file that a killed daemon has left
        usually contains the id of the next one.
        """
        parent: Any = self.parent
        if parent is None or not (parent.get("nodaemon") or parent.get("debug")):
            return
        if parent.get("pidfile") is parent.defaults.get("pidfile"):  # the default itself, not the same text
            parent["pidfile"] = ""

    def _choose_log(self) -> None:
        """Choose the log's format and target, unless twistd was told its logger. Raises ConfigurationError."""
        parent: Any = self.parent
        if parent is not None and not parent.get("logger") and not parent.get("syslog"):
            _chosen.append(_log_output(self["log-format"], parent))
            parent["logger"] = f"{__name__}.log_observer"


def _print(text: str) -> NoReturn:
    """Print a text, and end the process. The status is 1 if standard output cannot be written."""
    try:
        if sys.stdout is not None:  # None: whoever started the process has closed it
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
    except OSError as error:
        abandon_output(error)
        raise SystemExit(1) from None
    raise SystemExit(0)


def _ask_for_password() -> str:
    """Ask for a new password at the terminal, or read one line of standard input. Raises Invalid."""
    from imgsvc.identity.users.passwords import read_password

    if sys.stdin is None:
        raise Invalid("There is no standard input to read the password of --first-user from.")
    if not sys.stdin.isatty():
        return read_password(sys.stdin.buffer)
    try:
        password = getpass("Password: ")
        if getpass("Repeat for confirmation: ") != password:
            raise Invalid("The two passwords are not the same.")
    except (EOFError, KeyboardInterrupt):
        raise SystemExit(130) from None
    return password


_chosen: list[log.LogOutput] = []


def log_observer() -> ILogObserver:
    """The log observer that the options chose. twistd accepts an observer by its name only."""
    return log.make_observer(_chosen[-1])


def _check_folder(folder: Path) -> None:
    """Check that no file is in the place of a folder, which is created later. Raises ConfigurationError."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise ConfigurationError(f"--data = {str(folder)!r}: {there} is a file; must be a folder")


def _log_output(format: log.Format, parent: Any) -> log.LogOutput:
    """The output where twistd would write its log: a file if one was given, or if it runs in the background."""
    path = parent.get("logfile") or ("" if parent.get("nodaemon") else "twistd.log")
    if path in ("", "-"):
        return log.LogOutput(format, sys.stdout)
    try:
        return log.LogOutput(format, open(path, "a", encoding="utf-8"), path=os.path.abspath(path))
    except OSError as error:
        raise ConfigurationError(f"--logfile = {path!r}: cannot be written: {error.strerror}") from error


def makeService(options: Options) -> IService:
    """Called by twistd."""
    # Nearly all objects that the start creates stay. Searching them repeatedly for garbage takes a seventh of the
    # start-up time. `start_or_exit` enables the collector again.
    gc.disable()
    from twisted.internet import reactor

    from imgsvc.daemon.clock import go_by_time_passed

    if options.configuration.server.workers == 1:
        from imgsvc.daemon.service import make_service
    else:
        from imgsvc.daemon.parent import make_service

    go_by_time_passed(reactor)
    try:
        # If twistd was given another observer, the workers write to standard output.
        log_output = _chosen[-1] if _chosen else log.LogOutput(options["log-format"], sys.stdout)
        launch = Launch(options.parent or {})
        return make_service(options.configuration, options.read_again, options.data_folder, log_output, reactor, launch)
    except ConfigurationError as error:
        raise _refusal(error) from error


def _refusal(error: ImgsvcError) -> SystemExit:
    """The exception that ends twistd with this line and status 1. For a UsageError it would print its help as well."""
    return SystemExit(f"imgsvc: {error}")
