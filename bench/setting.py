"""The input of every part of the benchmark: how much to measure, where, and with which servers."""

from __future__ import annotations

import hashlib
import itertools
import mmap
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bench import servers
from bench.client import Address, md5_of, upload
from bench.processes import Failed
from bench.table import Sample
from tests.support.databases import MariaDB, PostgreSQL

MIB = 1 << 20
MEMORY_FOLDER = Path("/dev/shm")


@dataclass(frozen=True)
class Source:
    """A server from which the whole source file can be downloaded."""

    name: str
    address: Address
    path: str
    pid: int | None
    tls: Address | None


DATABASES = {"PostgreSQL": PostgreSQL, "MariaDB": MariaDB}


@dataclass
class Bench:
    """The input of a part.

    folder: for all files that are written. source: the file in memory that is transferred. size: of the source, bytes.
    rounds: how many times to make each measurement. seconds: length of a load of small requests. hold: seconds that
    slow clients run while memory is measured. against: another server to measure.
    """

    folder: Path
    source: Path
    size: int
    rounds: int
    seconds: float
    hold: float
    against: servers.ImageServer | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @cached_property
    def file(self) -> int:
        """A descriptor of the source."""
        return os.open(self.source, os.O_RDONLY)

    @cached_property
    def digest(self) -> str:
        """MD5 of the source."""
        with self.source.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()

    @cached_property
    def certificate(self) -> Path:
        """A PEM file with a certificate and its key."""
        return servers.make_certificate(self.folder)

    @property
    def others(self) -> list[servers.ImageServer]:
        """The other server to measure, if there is one."""
        return [self.against] if self.against else []

    def imgsvc(
        self,
        *,
        fsync: bool = True,
        workers: int = 1,
        tls: bool = False,
        budget: int = servers.BUDGET,
        identity: Mapping[str, str] | None = None,
        descriptors: int = 0,
        accelerated: bool = True,
        image_hash: str = "sha512",
        x_accel: bool = False,
    ) -> AbstractContextManager[servers.ImageServer]:
        """Run a new daemon. See servers.imgsvc."""
        return servers.imgsvc(
            self.new_folder("imgsvc"),
            fsync=fsync,
            workers=workers,
            certificate=self.certificate if tls else None,
            budget=budget,
            identity=identity,
            descriptors=descriptors,
            accelerated=accelerated,
            image_hash=image_hash,
            x_accel=x_accel,
        )

    @contextmanager
    def imgsvc_on(self, kind: str) -> Iterator[servers.ImageServer]:
        """Run a new daemon with two workers and a catalogue of this kind. kind: SQLite, PostgreSQL or MariaDB."""
        if kind == "SQLite":
            with self.imgsvc(workers=2) as imgsvc:
                imgsvc.name = kind
                yield imgsvc
            return
        with ExitStack() as stack:
            database = DATABASES[kind](durable=True)
            stack.callback(database.close)
            database.start()
            url = database.url(database.new_database())
            imgsvc = stack.enter_context(servers.imgsvc(self.new_folder("imgsvc"), workers=2, database=url))
            assert database.process is not None
            imgsvc.name, imgsvc.database_pid = kind, database.process.pid
            yield imgsvc

    @contextmanager
    def refusing(self) -> Iterator[servers.Nginx | None]:
        """Run an nginx that refuses every request at `refusing`. Yields None if nginx is not installed."""
        if not servers.find_nginx():
            yield None
            return
        with servers.nginx(self.new_folder("nginx"), None, self.certificate) as nginx:
            yield nginx

    def floor(self, fsync: bool) -> AbstractContextManager[servers.Floor]:
        """Run a new floor."""
        return servers.floor(self.new_folder("floor"), fsync)

    def upload_source(self, server: servers.ImageServer) -> str:
        """Upload the source to a new image. Returns the path of its data."""
        path = servers.file_path(server.new_image())
        upload(server.address, path, self.file, self.size, chunked=False)
        return path

    @contextmanager
    def sources(self) -> Iterator[list[Source]]:
        """Run the servers from which the source can be downloaded: imgsvc, nginx if installed, and the other server.

        Each file has been downloaded once and compared, so it is right and in the page cache.
        """
        with ExitStack() as stack:
            imgsvc = stack.enter_context(self.imgsvc(tls=True))
            found = [Source("imgsvc", imgsvc.address, self.upload_source(imgsvc), imgsvc.pid, imgsvc.tls)]
            if servers.find_nginx():
                nginx = stack.enter_context(servers.nginx(self.new_folder("nginx"), self.source, self.certificate))
                found.append(Source("nginx", nginx.address, servers.FILE_PATH, nginx.pid, nginx.tls))
            for server in self.others:
                found.append(Source(server.name, server.address, self.upload_source(server), server.pid, None))
            for source in found:
                if md5_of(source.address, source.path) != self.digest:
                    raise Failed(f"{source.name}: the data are not those that were uploaded")
            quieten()
            yield found

    def md5_alone(self) -> Sample:
        """Hash the source by MD5 in one thread, from memory. No server can compute the API's `checksum` faster."""
        digest = hashlib.md5(usedforsecurity=False)
        with mmap.mmap(self.file, self.size, prot=mmap.PROT_READ) as memory, memoryview(memory) as view:
            began = time.perf_counter()
            for start in range(0, self.size, MIB):
                with view[start : start + MIB] as piece:
                    digest.update(piece)
            took = time.perf_counter() - began
        return {"MB/s": self.size / 1e6 / took}

    def new_folder(self, name: str) -> Path:
        """The path of a new folder."""
        return self.folder / f"{name}-{next(self._numbers)}"


def make_source(size: int) -> Path:
    """Make a file of `size` random bytes in memory. Raises Failed: there is not enough room."""
    free = shutil.disk_usage(MEMORY_FOLDER).free
    if free < size + 64 * MIB:
        raise Failed(f"{MEMORY_FOLDER} has {free // MIB} MiB free: too few for --size")
    path = MEMORY_FOLDER / f"imgsvc-bench-{os.getpid()}"
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - start)))
    return path


def quieten() -> None:
    """Make the kernel write data of earlier runs from the page cache to the disk, before a measurement."""
    os.sync()
    time.sleep(0.2)


def take_memory(folder: Path, size: int) -> None:
    """Use as much memory for files as the next upload will need, and free it again.

    The host of a virtual machine may take memory back that has been free for two seconds, and give it again page by
    page, at the expense of whoever writes next: up to 5 s of CPU time a GiB, where the copy itself takes 0.1 to 0.3.
    """
    file = folder / "memory"
    with file.open("wb", buffering=0) as taken:
        for _ in range(size // MIB):
            taken.write(bytes(MIB))
    file.unlink()
