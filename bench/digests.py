"""What the digests of uploads cost: imgsvc with its kernels beside imgsvc with hashlib."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from bench.client import upload
from bench.processes import Failed, Meter, own_cpu_seconds, python, run_on_one_core
from bench.servers import ImageServer
from bench.setting import Bench
from bench.table import Sample, Table, Target, interleaved, median_ratio
from bench.transfers import GIB, WARM_UP, in_words, upload_by

CLIENTS = (1, 4, 8, 16)
IMAGES = 16
"""Images that are verified."""


def digests(bench: Bench) -> Table:
    """The cost of uploads by several clients, who share the bytes of one, and of the verification of a store on one
    core; each with the kernels of imgsvc and with hashlib.
    """
    table = Table("Digests")
    with ExitStack() as stack:
        ours, plain, sha256, sha256_plain = (
            stack.enter_context(bench.imgsvc(accelerated=accelerated, image_hash=image_hash))
            for image_hash in ("sha512", "sha256")
            for accelerated in (True, False)
        )
        plain.name, sha256.name, sha256_plain.name = "hashlib", "imgsvc, sha256", "hashlib, sha256"
        takers = [ours, plain, *bench.others]
        for taker in takers:
            upload(taker.address, taker.new_path(), bench.file, min(WARM_UP, bench.size), chunked=False)
            taker.clear()
        for clients in CLIENTS:
            these = takers + ([sha256, sha256_plain] if clients in (1, 8) else [])
            runs: dict[str, Callable[[], Sample]] = {
                taker.name: partial(upload_by, bench, taker, clients, False) for taker in these
            }
            results = interleaved(bench.rounds, runs)
            case = in_words(clients)
            table.add(case, results)
            cpu = median_ratio(results["imgsvc"], results["hashlib"], "CPU s/GiB")
            table.targets.append(Target(f"CPU / hashlib: {case}", cpu, 0.8 if clients == 1 else 0.7))
            speed = median_ratio(results["imgsvc"], results["hashlib"], "MB/s")
            table.targets.append(
                Target(f"speed / hashlib: {case}", speed, 1.0 if clients == 1 else 1.25, at_least=True)
            )
        case = f"verification of {IMAGES} images"
        results = interleaved(bench.rounds, {taker.name: partial(_verify, bench, taker) for taker in (ours, plain)})
        table.add(case, results)
        speed = median_ratio(results["imgsvc"], results["hashlib"], "MB/s")
        table.targets.append(Target(f"speed / hashlib: {case}", speed, 2.0, at_least=True))
    return table


def _verify(bench: Bench, taker: ImageServer) -> Sample:
    """Read all images of a store, by a command on one core. What the command takes to look at them is not counted."""
    share = bench.size // IMAGES
    for number in range(IMAGES):
        upload(taker.address, taker.new_path(), bench.file, share, chunked=False, offset=number * share)
    seconds, used = _command(taker)
    seconds_read, used_read = _command(taker, "--digests")
    taker.clear()
    return {
        "MB/s": share * IMAGES / 1e6 / (seconds_read - seconds),
        "CPU s/GiB": (used_read - used) / (share * IMAGES / GIB),
    }


def _command(taker: ImageServer, *options: str) -> tuple[float, float]:
    """Run `imgsvc-admin store verify`. Returns seconds of wall time and of CPU."""
    assert taker.folder is not None
    admin = python("-c", "from imgsvc.admin.command import main; main()", "--config", "imgsvc.toml", "--data", "data")
    used = -own_cpu_seconds()
    with Meter(None) as meter:
        status = run_on_one_core([*admin, "store", "verify", *options], taker.folder)
    if status:
        raise Failed(f"{taker.name}: store verify ends with {status}")
    return meter.seconds, used + own_cpu_seconds()
