"""The command line: `python -m bench`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import servers
from bench.parts import PARTS
from bench.processes import ROOT, Failed, more_descriptors
from bench.setting import MIB, Bench, make_source
from bench.table import Table

UNITS = {"": 1, "KiB": 1 << 10, "MiB": MIB, "GiB": 1 << 30}


def size(text: str) -> int:
    """Parse a number of bytes, such as `512MiB`."""
    found = re.fullmatch(r"(\d+)(|KiB|MiB|GiB)", text)
    if not found or not int(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number and KiB, MiB or GiB")
    return int(found[1]) * UNITS[found[2]]


def header(text: str) -> tuple[str, str]:
    """Parse a header into its name and its value."""
    name, colon, value = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a name, a colon and a value")
    return name.strip(), value.strip()


def parts(text: str) -> list[str]:
    """Parse a list of parts, separated by commas."""
    names = text.split(",")
    for name in names:
        if name not in PARTS:
            raise argparse.ArgumentTypeError(f"{name!r}: must be of {', '.join(PARTS)}")
    return names


def arguments() -> argparse.Namespace:
    """Parse the command line, and fill in defaults."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures imgsvc. See bench/README.md.")
    add = parser.add_argument
    add(
        "--quick",
        action="store_true",
        help="measure a little of everything, to test the benchmark itself; the numbers mean nothing",
    )
    add("--parts", type=parts, default=list(PARTS), help=f"some of {','.join(PARTS)}; by default all")
    add("--rounds", type=int, help="how many times to make each measurement: 3, with --quick 2")
    add("--seconds", type=float, help="how long each load of small requests lasts: 10, with --quick 2")
    add("--size", type=size, help="size of the file to transfer: 1GiB, with --quick 128MiB")
    add("--folder", type=Path, help="where to make the temporary folder, and so which disk to write to")
    add("--against", metavar="URL", help="another running server of the Image API, to measure in turn with imgsvc")
    add(
        "--against-header",
        metavar="HEADER",
        type=header,
        action="append",
        default=[],
        help="'Name: value' to send to it",
    )
    add("--against-pid", metavar="PID", type=int, help="its process; the parent, if it has several")
    add("--json", metavar="FILE", type=Path, help="write all samples to this file")
    found = parser.parse_args()
    found.rounds = found.rounds or (2 if found.quick else 3)
    found.seconds = found.seconds or (2 if found.quick else 10)
    found.size = found.size or (128 * MIB if found.quick else 1 << 30)
    return found


def facts() -> dict[str, str]:
    """The facts about this machine and its software that the numbers depend on."""
    from imgsvc import __version__

    commit = _said("git", "-C", str(ROOT), "describe", "--always", "--dirty")
    nginx = servers.find_nginx()
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "imgsvc": f"{__version__} {commit}".strip(),
        "Python": platform.python_version(),
        "Twisted": version("twisted"),
        "kernel": platform.release(),
        "nginx": _said(nginx, "-v").rpartition("/")[2] if nginx else "not installed",
        "small requests by": "wrk" if shutil.which("wrk") else "a loop in Python",
        "cores": f"{len(os.sched_getaffinity(0))}, {model[1] if model else platform.machine()}",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "command": "python -m bench " + shlex.join(sys.argv[1:]),
    }


def _said(*command: str) -> str:
    try:
        said = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return (said.stdout or said.stderr).strip() if said.returncode == 0 else ""


def report(context: dict[str, str], tables: list[Table], failed: dict[str, str]) -> str:
    """The report as Markdown."""
    lines = ["## imgsvc, measured", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {f'`{value.strip()}`' if name == 'command' else value} |" for name, value in context.items()]
    lines += ["", "Medians, with the least and the greatest of all rounds in brackets."]
    for table in tables:
        lines += ["", table.markdown()]
    for name, why in failed.items():
        lines += ["", f"Part {name} could not be measured: {why}"]
    return "\n".join(lines)


def measure(name: str, bench: Bench) -> Table:
    """Run a part. Afterwards, delete the images that it has left on the other server."""
    try:
        return PARTS[name](bench)
    finally:
        for server in bench.others:
            server.clear_all()


def main() -> None:
    """Run the measurements and print the tables."""
    told = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))
    context = facts()
    more_descriptors()
    tables: list[Table] = []
    failed: dict[str, str] = {}
    source: Path | None = None
    try:
        source = make_source(told.size)
        with tempfile.TemporaryDirectory(prefix="imgsvc-bench-", dir=told.folder) as folder:
            bench = Bench(
                folder=Path(folder),
                source=source,
                size=told.size,
                rounds=told.rounds,
                seconds=told.seconds,
                hold=5 if told.quick else 20,
                against=servers.other(told.against, dict(told.against_header), told.against_pid)
                if told.against
                else None,
            )
            for name in told.parts:
                print(f"measuring {name} ...", file=sys.stderr, flush=True)
                try:
                    tables.append(measure(name, bench))
                except (Failed, OSError) as error:
                    failed[name] = str(error)
                    print(f"{name}: {error}", file=sys.stderr, flush=True)
    except Failed as error:
        sys.exit(f"bench: {error}")
    finally:
        if source:
            source.unlink()
    print(report(context, tables, failed))
    if told.json:
        document: dict[str, Any] = {"context": context, "failed": failed, "tables": [t.document() for t in tables]}
        told.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
