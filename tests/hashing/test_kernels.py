"""The compiled kernels, against published vectors and hashlib."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.hashing import IHasher, IRunningHash, Piece
from imgsvc.hashing.compiled import MAGIC
from imgsvc.hashing.reference import HashlibHasher
from tests.hashing.builds import hashers
from tests.hashing.comparison import compare

VECTORS = {
    # RFC 1321, appendix A.5
    ("md5", b""): "d41d8cd98f00b204e9800998ecf8427e",
    ("md5", b"a"): "0cc175b9c0f1b6a831c399e269772661",
    ("md5", b"abc"): "900150983cd24fb0d6963f7d28e17f72",
    ("md5", b"message digest"): "f96b697d7cb7938d525a2f31aaf161d0",
    ("md5", b"1234567890" * 8): "57edf4a22be3c955ac49da2e2107b67a",
    # NIST, examples of FIPS 180-4
    ("sha256", b""): "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ("sha256", b"abc"): "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    (
        "sha256",
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
    ): "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ("sha256", b"a" * 1_000_000): "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
    ("sha512", b""): (
        "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
        "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
    ),
    ("sha512", b"abc"): (
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
    ),
    ("sha512", b"a" * 1_000_000): (
        "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb"
        "de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b"
    ),
}
"""The hex digest of an algorithm and data."""


def add(hasher: IHasher, work: list[tuple[IRunningHash, list[Piece]]], threads: int = 1) -> None:
    """Add pieces to hashes."""
    for call in hasher.calls(work, threads):
        call()


class KernelTests(SynchronousTestCase):
    """CompiledHasher, with the kernels for each kind of processor."""

    def setUp(self) -> None:
        self.hashers = hashers()

    def test_interfaces(self) -> None:
        """They are what they say."""
        for hasher in self.hashers:
            verifyObject(IHasher, hasher)
            verifyObject(IRunningHash, hasher.new({"md5"}))
            self.assertLessEqual(hasher.common_from, hasher.lanes)

    def test_vectors(self) -> None:
        """Each vector is right alone, and in every lane beside others."""
        for hasher in self.hashers:
            for (name, data), expected in VECTORS.items():
                for count in (1, 3, 4, 8):
                    streams = [hasher.new({name}) for _ in range(count)]
                    add(hasher, [(running, [data]) for running in streams])
                    self.assertEqual({running.digest(name).hex() for running in streams}, {expected})

    def test_lengths(self) -> None:
        """So is every length around the ends of blocks and of four blocks, in one piece and in pieces of any size."""
        data = Random(1).randbytes(2000)
        names = {"md5", "sha256", "sha512"}
        for hasher in self.hashers:
            for length in [*range(260), *range(500, 530), 640, 1024, 1151, 1152, 1153, 2000]:
                whole, cut = hasher.new(names), hasher.new(names)
                add(hasher, [(whole, [data[:length]])])
                add(hasher, [(cut, [data[i : min(i + 37, length)] for i in range(0, length, 37)])])
                for name in names:
                    expected = hashlib.new(name, data[:length]).digest()
                    self.assertEqual((whole.digest(name), cut.digest(name)), (expected, expected), (name, length))

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(
        st.lists(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=4), min_size=1, max_size=10),
        st.sets(st.sampled_from(("md5", "sha1", "sha256", "sha384", "sha512")), min_size=1),
    )
    def test_any_streams(self, streams: list[list[tuple[int, int]]], algorithms: set[str]) -> None:
        """However many streams there are, of whatever lengths and cuts, each has its own digests."""
        for hasher in self.hashers:
            work: list[tuple[IRunningHash, list[Piece]]] = [
                (hasher.new(algorithms), [bytes([octet]) * length for length, octet in pieces]) for pieces in streams
            ]
            add(hasher, work)
            for running, pieces in work:
                self.assertEqual(running.algorithms, algorithms)
                for name in algorithms:
                    self.assertEqual(running.digest(name), hashlib.new(name, b"".join(pieces)).digest())

    def test_random_streams(self) -> None:
        """So is it when streams join and leave, are copied, exported and restored between calls."""
        for hasher in self.hashers:
            for seed in range(30):
                compare(hasher, Random(seed))

    def test_two_threads(self) -> None:
        """The calls for one stream may run at once. MD5 and SHA-256 stay together: SHA-256 takes no time beside MD5."""
        data = Random(2).randbytes(300_001)
        for hasher in self.hashers:
            for names, calls in (
                ({"md5", "sha512"}, 2),
                ({"md5"}, 1),
                ({"md5", "sha256", "sha512"}, 2 if hasher.new({"sha256"}).state.algorithms else 3),
            ):
                running = hasher.new(names)
                with ThreadPoolExecutor(3) as threads:
                    for _ in range(20):
                        work = [(running, [data[:1001], data[1001:]])]
                        self.assertEqual(len(hasher.calls(work, 2)), calls)
                        for done in [threads.submit(call) for call in hasher.calls(work, 2)]:
                            done.result()
                for name in names:
                    self.assertEqual(running.digest(name), hashlib.new(name, data * 20).digest())

    def test_pieces_are_released(self) -> None:
        """No piece is held after a call: a bytearray can change its size, and a memoryview be released."""
        for hasher in self.hashers:
            array = bytearray(b"abc")
            view = memoryview(bytearray(b"def"))
            add(hasher, [(hasher.new({"md5"}), [array, view])])
            array += b"more"
            view.release()

    def test_not_contiguous(self) -> None:
        """A view with gaps is refused, and nothing is held."""
        for hasher in self.hashers:
            array = bytearray(b"abcdef")
            calls = hasher.calls([(hasher.new({"md5"}), [array, memoryview(b"abcdef")[::2]])], 1)
            for call in calls:
                self.assertRaises(BufferError, call)
            array += b"more"

    def test_copies(self) -> None:
        """A copy and the original go on by themselves."""
        for hasher in self.hashers:
            running = hasher.new({"md5", "sha384"})
            add(hasher, [(running, [b"abc"])])
            copy = running.copy()
            add(hasher, [(running, [b"def"]), (copy, [b"ghi"])])
            for name in ("md5", "sha384"):
                self.assertEqual(running.digest(name), hashlib.new(name, b"abcdef").digest())
                self.assertEqual(copy.digest(name), hashlib.new(name, b"abcghi").digest())

    def test_exports(self) -> None:
        """The state can go into another process, and to another kind of kernel; hashlib's part of it cannot."""
        for first in self.hashers:
            for second in self.hashers:
                running = first.new({"md5", "sha512"})
                add(first, [(running, [b"a" * 1000])])
                exported = running.export()
                assert exported is not None
                restored = second.restore(exported)
                add(second, [(restored, [b"b" * 1000])])
                for name in ("md5", "sha512"):
                    self.assertEqual(restored.digest(name), hashlib.new(name, b"a" * 1000 + b"b" * 1000).digest())
            self.assertIsNone(first.new({"md5", "sha384"}).export())

    def test_wrong_exports(self) -> None:
        """What is no state, or one of an algorithm that is not there, is refused."""
        with_sha, without_sha = self.hashers[0], self.hashers[1]
        exported = with_sha.new({"md5"}).export()
        assert exported is not None
        for wrong in (
            b"",
            MAGIC,
            exported[:-1],
            exported + b"x",
            b"x" + exported[1:],
            MAGIC + bytes(len(exported[14:])),
        ):
            self.assertRaises(ValueError, with_sha.restore, wrong)
        of_sha256 = with_sha.new({"sha256"}).export()
        if of_sha256 is not None:
            self.assertRaises(ValueError, without_sha.restore, of_sha256)

    def test_other_hashers(self) -> None:
        """A hash of another hasher is refused: its bytes would be lost. So is a digest that is not computed."""
        hasher = self.hashers[0]
        self.assertRaises(TypeError, hasher.calls, [(HashlibHasher().new({"md5"}), [b"abc"])], 1)
        self.assertRaises(KeyError, hasher.new({"md5"}).digest, "sha512")
        self.assertRaises(ValueError, hasher.new, {"md6"})
