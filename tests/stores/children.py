"""Child processes of a test: with other permissions, other mounts, or stopped and killed in the middle of their
work.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.logger import globalLogPublisher

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_EVENTS = frozenset({"open", "fcntl.fcntl", "os.link", "os.remove"})
NOBODY = 65534


class Child:
    """Runs a function in a fork of this process."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._ended = False
        self._output, output = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                # A worker of trial writes every line to a pipe, which this process must not use.
                for observer in list(globalLogPublisher._observers):
                    globalLogPublisher.removeObserver(observer)
                function()
            except BaseException:
                os.write(output, traceback.format_exc().encode())
                os._exit(1)
            os._exit(0)
        os.close(output)

    def is_stopped(self) -> bool:
        """Wait until the child has stopped or ended. Returns whether it has stopped."""
        result = os.waitid(os.P_PID, self._pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert result is not None
        return result.si_code == os.CLD_STOPPED

    def go_on(self) -> None:
        """Let a stopped child go on."""
        os.kill(self._pid, signal.SIGCONT)

    def kill(self) -> None:
        """End the child at once, if it has not ended, and wait until it is gone."""
        if not self._ended:
            self._ended = True
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            os.close(self._output)

    def finish(self) -> None:
        """Wait for the child's end. AssertionError if the function raised."""
        with open(self._output, "rb") as output:
            text = output.read().decode()
        self._ended = True
        status = os.waitpid(self._pid, 0)[1]
        assert status == 0, text or f"the child ended with status {status}"


def in_child(function: Callable[[], Any]) -> None:
    """Run a function in a child process to its end."""
    Child(function).finish()


def stop_at(count: int, folder: str) -> None:
    """Stop this process before the `count`th system call from now on that opens, locks, links or unlinks in
    `folder`.
    """
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in _EVENTS and (event == "fcntl.fcntl" or str(arguments[0]).startswith(folder)):
            seen += 1
            if seen == count:
                os.kill(os.getpid(), signal.SIGSTOP)

    sys.addaudithook(hook)


def become_nobody() -> None:
    """Give up the permissions of root, which ignores those of files."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def own_mounts() -> None:
    """Give this process its own mounts, which end with it."""
    user, group = os.geteuid(), os.getegid()
    flags = _CLONE_NEWNS if user == 0 else _CLONE_NEWNS | _CLONE_NEWUSER
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def mount_tmpfs(folder: Path, options: str) -> None:
    """Mount a file system in memory. Needs own_mounts."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)


def mount_disk(folder: Path, source: Path) -> None:
    """Mount an ext4 image with the files of `source`. Needs own_mounts, and root."""
    folder.mkdir(parents=True, exist_ok=True)
    image = f"{folder}.ext4"
    subprocess.run(["mkfs.ext4", "-q", "-d", str(source), image, "8M"], check=True)
    subprocess.run(["mount", "-o", "loop", image, str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    """Change the options of a mount. Needs own_mounts."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def limit_file_size(size: int) -> None:
    """Let this process write no file larger than `size` bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
