"""Many buffers are written to one file."""

from __future__ import annotations

import os
from tempfile import TemporaryFile

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.stores.pieces import UNIT, runs_of_data, write_all, write_sparse

SIZES = st.sampled_from([0, 1, 100, UNIT - 1, UNIT, UNIT + 1, 3 * UNIT])
PIECES = st.lists(st.builds(lambda size, value: bytes([value]) * size, SIZES, st.sampled_from([0, 0, 7])), max_size=8)


class PiecesTests(SynchronousTestCase):
    """No byte is lost, misplaced or invented."""

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(PIECES, st.integers(0, 2 * UNIT), st.booleans())
    def test_any_pieces(self, pieces: list[bytes], offset: int, sparse: bool) -> None:
        """All bytes are in their places, with and without holes."""
        content = b"".join(pieces)
        with TemporaryFile() as file:
            end = (write_sparse if sparse else write_all)(file.fileno(), offset, pieces)
            os.ftruncate(file.fileno(), end)
            self.assertEqual(offset + len(content), end)
            self.assertEqual(bytes(offset) + content, os.pread(file.fileno(), end + 1, 0))

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(PIECES, st.integers(0, 2 * UNIT))
    def test_runs(self, pieces: list[bytes], offset: int) -> None:
        """Only zeros are left out, the rest is in order, and no aligned unit of zeros is left."""
        content = b"".join(pieces)
        rebuilt = bytearray(len(content))
        position = offset
        for start, run in runs_of_data(offset, pieces):
            self.assertGreaterEqual(start, position)
            data = b"".join(run)
            rebuilt[start - offset : start - offset + len(data)] = data
            position = start + len(data)
        self.assertEqual(content, bytes(rebuilt))

    def test_aligned_zeros_are_left_out(self) -> None:
        """A unit of the file that has only zeros becomes a hole."""
        pieces = [b"a" * 10, bytes(UNIT - 10), bytes(2 * UNIT), b"b"]
        self.assertEqual([(0, [b"a" * 10]), (3 * UNIT, [b"b"])], list(runs_of_data(0, pieces)))

    def test_more_pieces_than_one_call_takes(self) -> None:
        """Thousands of pieces are written by several calls."""
        pieces = [b"%04d" % number for number in range(5000)]
        with TemporaryFile() as file:
            write_all(file.fileno(), 0, pieces)
            self.assertEqual(b"".join(pieces), os.pread(file.fileno(), 20001, 0))
