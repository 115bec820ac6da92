"""The digests of the standard library."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.hashing import IHasher, IRunningHash, Piece
from imgsvc.hashing.reference import HashlibHasher


def add(hasher: IHasher, running: IRunningHash, pieces: list[Piece]) -> None:
    """Add pieces to one hash."""
    for call in hasher.calls([(running, pieces)], 1):
        call()


class HashlibTests(SynchronousTestCase):
    """HashlibHasher."""

    def setUp(self) -> None:
        self.hasher = HashlibHasher()

    def test_interfaces(self) -> None:
        """It is what it says. Together saves nothing, so there is one lane."""
        verifyObject(IHasher, self.hasher)
        verifyObject(IRunningHash, self.hasher.new({"md5"}))
        self.assertEqual((self.hasher.name, self.hasher.lanes, self.hasher.common_from), ("hashlib", 1, 1))

    @settings(derandomize=True, deadline=None, max_examples=50)
    @given(
        st.sets(st.sampled_from(("md5", "sha1", "sha256", "sha384", "sha512", "sha3_256")), min_size=1),
        st.lists(st.lists(st.binary(max_size=3000), max_size=4), max_size=4),
    )
    def test_any_pieces(self, algorithms: set[str], calls: list[list[bytes]]) -> None:
        """However the bytes are cut, and whatever holds them, the digests are those of the whole."""
        running = self.hasher.new(algorithms)
        for number, pieces in enumerate(calls):
            kind = (bytes, bytearray, memoryview)[number % 3]
            add(self.hasher, running, [kind(piece) for piece in pieces])
        whole = b"".join(b"".join(pieces) for pieces in calls)
        self.assertEqual(running.algorithms, algorithms)
        self.assertEqual(
            {name: running.digest(name) for name in algorithms},
            {name: hashlib.new(name, whole).digest() for name in algorithms},
        )

    def test_calls(self) -> None:
        """There is one call for each algorithm of each stream, and they may run at the same time."""
        streams = [self.hasher.new({"md5", "sha512"}), self.hasher.new({"sha256"})]
        data = bytes(range(256)) * 1000
        calls = self.hasher.calls([(running, [data]) for running in streams], 1)
        self.assertEqual(len(calls), 3)
        with ThreadPoolExecutor(3) as threads:
            for done in [threads.submit(call) for call in calls]:
                done.result()
        for running in streams:
            for name in running.algorithms:
                self.assertEqual(running.digest(name), hashlib.new(name, data).digest())

    def test_copy(self) -> None:
        """A copy and the original go on by themselves, also after their digests were read."""
        running = self.hasher.new({"md5"})
        add(self.hasher, running, [b"abc"])
        copy = running.copy()
        self.assertEqual(copy.algorithms, {"md5"})
        self.assertEqual(running.digest("md5"), hashlib.md5(b"abc").digest())
        add(self.hasher, running, [b"def"])
        add(self.hasher, copy, [b"ghi"])
        self.assertEqual(running.digest("md5"), hashlib.md5(b"abcdef").digest())
        self.assertEqual(copy.digest("md5"), hashlib.md5(b"abcghi").digest())

    def test_export(self) -> None:
        """hashlib does not show its state, so none can be restored."""
        self.assertIsNone(self.hasher.new({"md5"}).export())
        self.assertRaises(ValueError, self.hasher.restore, b"")

    def test_unknown(self) -> None:
        """An algorithm that hashlib does not have is refused before any byte comes."""
        self.assertRaises(ValueError, self.hasher.new, {"md5", "md6"})

    def test_other_hashers(self) -> None:
        """A hash of another hasher is refused: its bytes would be lost."""
        self.assertRaises(TypeError, self.hasher.calls, [(object(), [b"abc"])], 1)
