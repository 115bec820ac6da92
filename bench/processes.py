"""Child processes of the benchmark, and the CPU time and memory of processes."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
START_TIME = 30.0
STOP_TIME = 30.0


class Failed(Exception):
    """A measurement is not possible. The text says why."""


def family(pid: int) -> list[int]:
    """The ids of the process and of all its running descendants."""
    pids = [pid]
    for parent in pids:  # grows while it is read
        try:
            for thread in os.listdir(f"/proc/{parent}/task"):
                pids += map(int, Path(f"/proc/{parent}/task/{thread}/children").read_text().split())
        except OSError:
            continue  # the process has just ended
    return pids


def cpu_seconds(pid: int) -> float:
    """CPU time, user and system, of the process and its descendants, including those that have ended.

    The time of a running process comes from its CPU clock, in nanoseconds, since the numbers in /proc have ticks of 10
    ms. The id of the clock is computed as by clock_getcpuclockid(3). The time of ended children comes from /proc.
    """
    total = 0.0
    for member in family(pid):
        try:
            total += time.clock_gettime(~member << 3 | 2)
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[13]) + int(fields[14])) / TICKS  # cutime, cstime
    return total


def own_cpu_seconds() -> float:
    """CPU time of the benchmark itself and of its children that have ended."""
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


def memory(pid: int) -> tuple[float, float]:
    """Resident memory now and at its peak (VmRSS, VmHWM), in MiB, summed over the process and its descendants."""
    now = peak = 0
    for member in family(pid):
        try:
            lines = Path(f"/proc/{member}/status").read_text().splitlines()
        except OSError:
            continue
        values = dict(line.split(":", 1) for line in lines)
        now += int(values.get("VmRSS", "0").split()[0])
        peak += int(values.get("VmHWM", "0").split()[0])
    return now / 1024, peak / 1024


def forget_peak(pid: int) -> None:
    """Reset the peak VmHWM of the process and its descendants (proc(5), clear_refs)."""
    for member in family(pid):
        Path(f"/proc/{member}/clear_refs").write_text("5")


def settle(pid: int, patience: float = 20.0) -> None:
    """Wait until the process and its descendants have used next to no CPU for half a second."""
    until = time.monotonic() + patience
    before = cpu_seconds(pid)
    while time.monotonic() < until:
        time.sleep(0.5)
        now = cpu_seconds(pid)
        if now - before < 0.01:
            return
        before = now


class Meter:
    """Measures what servers and the benchmark itself use during the block.

    After the block: `seconds` of wall time; `cpu`, CPU seconds of the servers, or None if a process is unknown;
    `client`, CPU seconds of the benchmark.
    """

    def __init__(self, *pids: int | None) -> None:
        self._pids = pids
        self.seconds = 0.0
        self.cpu: float | None = None
        self.client = 0.0

    def __enter__(self) -> Meter:
        before = self._cpu()
        self.cpu = None if before is None else -before
        self.client = -own_cpu_seconds()
        self.seconds = -time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter()
        self.client += own_cpu_seconds()
        after = self._cpu()
        if after is not None and self.cpu is not None:
            self.cpu += after

    def _cpu(self) -> float | None:
        known = [cpu_seconds(pid) for pid in self._pids if pid is not None]
        return sum(known) if len(known) == len(self._pids) else None


class Process:
    """A child process that serves. Its output goes to the file `log`."""

    def __init__(self, command: Sequence[str], folder: Path, tree: Path = ROOT) -> None:
        """tree: the source tree from which a Python program imports imgsvc."""
        self.log = folder / "log.txt"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment(tree),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.pid = self._process.pid

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait until `ready` returns True. Raises Failed, with the end of the log: it did not in START_TIME seconds."""
        until = time.monotonic() + START_TIME
        while time.monotonic() < until and self._process.poll() is None:
            if ready():
                return
            time.sleep(0.01)
        self.stop()
        raise Failed(f"{self._process.args!r} does not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """End the process, by force if it takes longer than STOP_TIME seconds. May be called several times."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIME)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()


def run_on_one_core(command: Sequence[str], folder: Path) -> int:
    """Run a command to its end on one core. Returns its status."""
    core = min(os.sched_getaffinity(0))
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    ).returncode


def environment(tree: Path = ROOT) -> dict[str, str]:
    """The environment of Python children. They import imgsvc from a source tree, not from an installed package."""
    return {**os.environ, "PYTHONPATH": str(tree)}


def python(*arguments: str) -> list[str]:
    """The command that runs this interpreter with arguments."""
    return [sys.executable, *arguments]


def free_port() -> int:
    """A free port of the loopback address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def more_descriptors() -> None:
    """Raise the limit of open files as far as the system allows, for the benchmark and its children."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
