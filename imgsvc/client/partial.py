"""The file of a download that is not whole yet, and what is known of it.

Beside `NAME.part` stands `NAME.part.state`: one line of JSON that tells which data the file is of, then one line
`NUMBER BYTES` for each piece that got so far. Lines are only ever appended; the last one of a piece counts, and a
line without its end is none. The state is a hint for going on: whether the file is right is told by its digest.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from attrs import define, frozen

from imgsvc.client.digests import expected_digest
from imgsvc.client.errors import LocalFileError
from imgsvc.client.files import Runner, ThreadedFile
from imgsvc.client.view import ImageView


@define
class Piece:
    """A run of an image's bytes. position: where the next byte of it goes; the piece is whole at `stop`."""

    number: int
    start: int
    stop: int
    position: int

    @property
    def whole(self) -> bool:
        return self.position >= self.stop


@frozen
class DataIdentity:
    """Which bytes an image has. Two images' data with equal identities are the same."""

    image_id: str
    size: int
    digest: str | None

    @classmethod
    def of(cls, image: ImageView, size: int) -> DataIdentity:
        expected = expected_digest(image)
        return cls(image.id, size, f"{expected.algorithm}:{expected.value}" if expected else None)


class PartialFile:
    """`NAME.part` and its state; owns both, and the lock that keeps a second download from the same name.

    Made by open_partial. pieces: in order, together the whole image. etag: of the data when the download began.
    file: the open `NAME.part`.
    """

    def __init__(self, path: str, fd: int, identity: DataIdentity, piece_size: int, run: Runner) -> None:
        self.path = path
        self.part_path = part_path(path)
        self.identity = identity
        self.pieces: list[Piece] = []
        self.etag: str | None = None
        self._first_left = 0
        self._run = run
        self._fd = fd
        self.file = ThreadedFile(self.part_path, fd, run)
        self._state_fd: int | None = None
        self._plan(piece_size)

    @property
    def done(self) -> int:
        """Bytes that need not be fetched any more."""
        return sum(piece.position - piece.start for piece in self.pieces)

    @property
    def prefix(self) -> int:
        """Bytes from the first one on that are there without a gap."""
        while self._first_left < len(self.pieces) and self.pieces[self._first_left].whole:
            self._first_left += 1
        return self.pieces[self._first_left].position if self._first_left < len(self.pieces) else self.identity.size

    def left(self) -> list[Piece]:
        """The pieces that are not whole."""
        return [piece for piece in self.pieces if not piece.whole]

    def begin(self, piece_size: int, etag: str | None) -> None:
        """Forget what is there and start anew, in pieces of that size."""
        self._plan(piece_size)
        self.etag = etag
        identity = self.identity
        head = {
            "image": identity.image_id,
            "size": identity.size,
            "digest": identity.digest,
            "etag": etag,
            "piece_size": piece_size,
        }
        self._open_state(os.O_TRUNC)
        self._append(json.dumps(head))

    def write(self, offset: int, data: bytes) -> Any:
        """Deferred of None when `data` stands at `offset`. Fails with LocalFileError."""
        return self.file.write(offset, data)

    def note(self, piece: Piece) -> None:
        """Remember how far a piece is. A few bytes to the page cache: not worth a thread."""
        if piece.position > piece.start:
            self._append(f"{piece.number} {piece.position - piece.start}")

    async def publish(self) -> None:
        """Make the file durable and give it its name, replacing what has that name; the state is removed."""
        await self.file.sync()
        await self._run(_replace, self.part_path, self.path)
        self._remove_state()

    async def set_aside(self) -> str:
        """Keep the file, which is wrong, under another name. That name."""
        kept = self.path + ".bad"
        await self._run(_replace, self.part_path, kept)
        self._remove_state()
        return kept

    def discard(self) -> None:
        """Remove the file and its state."""
        self._remove_state()
        os.unlink(self.part_path)

    def close(self) -> None:
        """Let go of the files; they stay for a later download that goes on. Any number of times."""
        self.file.close()
        if self._state_fd is not None:
            os.close(self._state_fd)
            self._state_fd = None

    def read_state(self) -> bool:
        """Take over what an earlier download left. False, and nothing is taken, if it was of other data."""
        try:
            with open(_state_path(self.path), encoding="utf-8") as state:
                head, *lines = state.read().split("\n")[:-1] or [""]
            known = json.loads(head)
            identity = DataIdentity(known["image"], known["size"], known["digest"])
            piece_size, etag = int(known["piece_size"]), known["etag"]
            notes = [(int(number), int(count)) for number, count in (line.split() for line in lines)]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if identity != self.identity or piece_size < 1 or os.fstat(self._fd).st_size != identity.size:
            return False
        self._plan(piece_size)
        for number, count in notes:
            if number < len(self.pieces):
                piece = self.pieces[number]
                piece.position = min(piece.start + count, piece.stop)
        self.etag = etag
        self._open_state(os.O_APPEND)
        return True

    def _plan(self, piece_size: int) -> None:
        size = self.identity.size
        self._first_left = 0
        self.pieces = [
            Piece(number, start, min(start + piece_size, size), start)
            for number, start in enumerate(range(0, size, piece_size))
        ]

    def _open_state(self, flag: int) -> None:
        if self._state_fd is not None:
            os.close(self._state_fd)
        try:
            self._state_fd = os.open(_state_path(self.path), os.O_WRONLY | os.O_CREAT | flag, 0o666)
        except OSError as error:
            raise LocalFileError(_state_path(self.path), error.strerror or str(error)) from error

    def _append(self, line: str) -> None:
        if self._state_fd is not None:
            try:
                os.write(self._state_fd, line.encode() + b"\n")
            except OSError as error:
                raise LocalFileError(_state_path(self.path), error.strerror or str(error)) from error

    def _remove_state(self) -> None:
        Path(_state_path(self.path)).unlink(missing_ok=True)


def part_path(path: str) -> str:
    """Where the bytes of a download to `path` stand until they are whole."""
    return path + ".part"


def _state_path(path: str) -> str:
    return part_path(path) + ".state"


def open_partial(path: str, image: ImageView, size: int, piece_size: int, resume: bool, run: Runner) -> PartialFile:
    """The part file of a download to `path`, of the image's whole size; its earlier content counts if `resume`.

    Blocks. Raises LocalFileError, also when another download writes it, or what has the name `path` is no file.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise LocalFileError(path, "is there, and is no file that can be replaced")
    part = part_path(path)
    try:
        fd = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise LocalFileError(part, error.strerror or str(error)) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        partial = PartialFile(path, fd, DataIdentity.of(image, size), piece_size, run)
        if not (resume and partial.read_state()):
            os.ftruncate(fd, 0)
            os.ftruncate(fd, size)
    except BlockingIOError as error:
        os.close(fd)
        raise LocalFileError(part, "another download is writing it") from error
    except OSError as error:
        os.close(fd)
        raise LocalFileError(part, error.strerror or str(error)) from error
    return partial


def _replace(source: str, target: str) -> None:
    try:
        os.replace(source, target)
        folder = os.open(os.path.dirname(target) or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise LocalFileError(target, error.strerror or str(error)) from error
