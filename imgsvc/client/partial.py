"""The file of a download that is not complete yet, and the state that lets a later download go on.

The file is `NAME.part`, its state `NAME.part.state`. The state begins with one line of JSON that says which data the
file is of. Lines `NUMBER BYTES` follow: how many bytes of the piece NUMBER have arrived. Lines are only appended. The
last line of a piece counts, and a line without its end is ignored. The state may be wrong after a crash: only the
digest proves that the file is right.
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
    """A range of an image's data.

    number: its index. start, stop: offsets in bytes. position: offset of the next byte; the piece is whole at `stop`.
    """

    number: int
    start: int
    stop: int
    position: int

    @property
    def whole(self) -> bool:
        return self.position >= self.stop


@frozen
class DataIdentity:
    """Which bytes an image has. If two identities are equal, the bytes are the same. digest: `ALGORITHM:HEX`."""

    image_id: str
    size: int
    digest: str | None

    @classmethod
    def of(cls, image: ImageView, size: int) -> DataIdentity:
        expected = expected_digest(image)
        return cls(image.id, size, f"{expected.algorithm}:{expected.value}" if expected else None)


class PartialFile:
    """`NAME.part` and its state. It owns both, and the lock that keeps a second download from writing the same file.

    `open_partial` makes it. pieces: in order, together the whole image. etag: the entity tag of the data when the
    download began. file: the open `NAME.part`.
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
        """Number of bytes that have arrived."""
        return sum(piece.position - piece.start for piece in self.pieces)

    @property
    def prefix(self) -> int:
        """Number of bytes from the first one to the first gap."""
        while self._first_left < len(self.pieces) and self.pieces[self._first_left].whole:
            self._first_left += 1
        return self.pieces[self._first_left].position if self._first_left < len(self.pieces) else self.identity.size

    def left(self) -> list[Piece]:
        """The pieces that are not whole."""
        return [piece for piece in self.pieces if not piece.whole]

    def begin(self, piece_size: int, etag: str | None) -> None:
        """Start from the beginning. piece_size: bytes. etag: the entity tag of the data, or None."""
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
        """Write bytes at an offset: a Deferred of None. Fails with LocalFileError."""
        return self.file.write(offset, data)

    def note(self, piece: Piece) -> None:
        """Write down how far a piece is. This is not done in a thread: a few bytes go to the page cache."""
        if piece.position > piece.start:
            self._append(f"{piece.number} {piece.position - piece.start}")

    async def publish(self) -> None:
        """Write the file to the disk and give it its name. Replaces a file of that name, and removes the state."""
        await self.file.sync()
        await self._run(_replace, self.part_path, self.path)
        self._remove_state()

    async def set_aside(self) -> str:
        """Keep the file, which is wrong, under another name. Returns that name."""
        kept = self.path + ".bad"
        await self._run(_replace, self.part_path, kept)
        self._remove_state()
        return kept

    def discard(self) -> None:
        """Remove the file and its state."""
        self._remove_state()
        os.unlink(self.part_path)

    def close(self) -> None:
        """Close the files. They stay for a later download. May be called several times."""
        self.file.close()
        if self._state_fd is not None:
            os.close(self._state_fd)
            self._state_fd = None

    def read_state(self) -> bool:
        """Take over what an earlier download left. Returns False, and takes nothing, if that was of other data."""
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
    """The path of the file that has the bytes of a download to `path` until it is complete."""
    return path + ".part"


def _state_path(path: str) -> str:
    return part_path(path) + ".state"


def open_partial(path: str, image: ImageView, size: int, piece_size: int, resume: bool, run: Runner) -> PartialFile:
    """Open the part file of a download. Blocks.

    path: where the complete file will be. image: whose data are downloaded. size: bytes of the image, which the part
    file has from the start. piece_size: bytes. resume: whether to use what an earlier download left. run: a Runner for
    the calls of the file.

    Raises LocalFileError, also when another download writes the part file, or when `path` is something else than a
    file.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise LocalFileError(path, "exists, and is not a file that can be replaced")
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
