"""The decoder of chunked bodies."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import http

from imgsvc.web.chunked import LONGEST_LINE, LONGEST_TRAILERS, ChunkedDecoder, MalformedChunks

quick = settings(deadline=None, derandomize=True, max_examples=200)

WORDS = [b"1", b"a", b"0", b"\r\n", b"\r", b"\n", b";", b" ", b"5\r\nhello\r\n"]
"""The parts from which almost valid chunked bodies are made."""


class Decoded:
    """The result of a decoder that got its bytes in parts."""

    def __init__(self, *parts: bytes) -> None:
        self.pieces: list[bytes] = []
        self.rest: bytes | None = None
        decoder = ChunkedDecoder(lambda piece: self.pieces.append(bytes(piece)), self._end)
        for part in parts:
            if self.rest is None:
                decoder.dataReceived(part)
            else:
                self.rest += part

    def _end(self, rest: bytes) -> None:
        self.rest = rest

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` in parts, cut at these places."""
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[start:stop] for start, stop in pairwise(places)]


class ChunkedDecoderTests(SynchronousTestCase):
    """ChunkedDecoder"""

    def test_memory(self) -> None:
        """The pieces that are passed on keep at most twice their bytes in memory, whatever is between the chunks."""
        kept: list[bytes | memoryview] = []
        decoder = ChunkedDecoder(kept.append, self.fail)
        padded = b"1;" + b"x" * 4000 + b"\r\ny\r\n"
        for read in (b"4000\r\n" + bytes(0x4000) + b"\r\n" + padded * 60, b"30000\r\n" + bytes(0x30000) + b"\r\n"):
            decoder.dataReceived(read)
        owners = {id(owner): len(owner) for owner in (memoryview(piece).obj for piece in kept)}
        self.assertLessEqual(sum(owners.values()), 2 * sum(map(len, kept)))
        self.assertEqual(0x34000 + 60, sum(map(len, kept)))
        self.assertIsInstance(kept[-1], memoryview)

    def test_chunks(self) -> None:
        """The decoder gives the bytes of the chunks, and what follows the last chunk."""
        decoded = Decoded(b"4\r\nabcd\r\n0A;name=value\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nnext")
        self.assertEqual((decoded.body, decoded.rest), (b"abcd0123456789", b"next"))

    def test_incomplete(self) -> None:
        """Without the last chunk there is no end, wherever the bytes stop."""
        whole = b"4\r\nabcd\r\n0\r\n\r\n"
        for length in range(len(whole)):
            self.assertIsNone(Decoded(whole[:length]).rest)

    def test_malformed(self) -> None:
        """Malformed chunks are refused, also sizes that int() would accept."""
        for data in (
            b"\r\n", b"x\r\n", b"-1\r\n", b"+1\r\na\r\n", b"0x1\r\na\r\n", b"1_0\r\n", b" 1\r\na\r\n", b"1 2\r\n",
            b"1\na\n", b"1\r\nab\r\n", b"1\r\na\n", b"11111111111111111\r\n", b"1;\x00\r\na\r\n", b"1;a\nb\r\na\r\n",
            b";\r\n", b"0\r\nA: b\n\r\n\r\n", b"0\r\n\n\r\n",
        ):  # fmt: skip
            with self.subTest(data=data):
                self.assertRaises(MalformedChunks, Decoded, data)
                self.assertRaises(MalformedChunks, Decoded, *(data[n : n + 1] for n in range(len(data))))

    def test_lines_are_bounded(self) -> None:
        """The length of lines and of trailers is limited."""
        self.assertRaises(MalformedChunks, Decoded, b"1;" + b"a" * LONGEST_LINE, b"a")
        self.assertRaises(MalformedChunks, Decoded, b"0\r\n" + b"a" * (LONGEST_LINE + 1))
        self.assertRaises(MalformedChunks, Decoded, b"0\r\n", *[b"a: b\r\n" * 100] * (LONGEST_TRAILERS // 600 + 1))

    def test_chunks_are_joined(self) -> None:
        """Chunks that arrive together are passed on as one piece."""
        decoded = Decoded(b"1\r\na\r\n" * 1000 + b"4000\r\n" + b"b" * 0x4000 + b"\r\n1\r\nc\r\n0\r\n\r\n")
        self.assertEqual(decoded.pieces, [b"a" * 1000 + b"b" * 0x4000 + b"c"])

    @quick
    @given(
        st.lists(st.binary(min_size=1, max_size=50), max_size=20),
        st.binary(max_size=20),
        st.lists(st.integers(0, 1500), max_size=30),
    )
    def test_any_split(self, chunks: list[bytes], after: bytes, cuts: list[int]) -> None:
        """The body and what follows it do not depend on how the bytes are split."""
        wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n" + after
        decoded = Decoded(*split(wire, cuts))
        self.assertEqual((decoded.body, decoded.rest), (b"".join(chunks), after))

    @quick
    @given(st.lists(st.sampled_from([b"1", b"a", b"0", b"\r\n", b"\r", b"\n", b";", b" ", b"1\r\nx\r\n"]), max_size=12))
    def test_no_more_than_twisted_takes(self, words: list[bytes]) -> None:
        """Whatever Twisted's decoder refuses is refused, and what both accept has the same result."""
        wire = b"".join(words)
        expected: list[bytes] = []
        twisted = http._ChunkedTransferDecoder(expected.append, lambda rest: None)
        try:
            decoded = Decoded(wire)
        except MalformedChunks:
            return
        if decoded.rest is not None:
            twisted.dataReceived(wire[: len(wire) - len(decoded.rest)])
            self.assertEqual(decoded.body, b"".join(expected))
