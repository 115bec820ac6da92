"""Digests that are computed in threads."""

from __future__ import annotations

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.pipeline.digests import Digest
from tests.support.threads import ImmediateThreads


class DigestTests(SynchronousTestCase):
    """md5 and sha512 are what every image has; the others may be asked for."""

    @settings(derandomize=True, deadline=None, max_examples=50)
    @given(
        st.sampled_from(("md5", "sha1", "sha256", "sha384", "sha512")),
        st.lists(st.lists(st.binary(max_size=3000), max_size=4), max_size=4),
    )
    def test_any_pieces(self, algorithm: str, calls: list[list[bytes]]) -> None:
        """However the bytes are cut, and whatever holds them, the digest is that of the whole."""
        digest = Digest(algorithm, ImmediateThreads())
        for number, pieces in enumerate(calls):
            kind = (bytes, bytearray, memoryview)[number % 3]
            self.successResultOf(digest.consume([kind(piece) for piece in pieces]))
        whole = hashlib.new(algorithm, b"".join(b"".join(pieces) for pieces in calls))
        self.assertEqual((whole.hexdigest(), whole.digest()), (digest.hexdigest(), digest.digest()))

    def test_threads(self) -> None:
        """The bytes are read when a thread is free, and not before."""
        calls = []

        class LaterThreads(ImmediateThreads):
            def run(self, function: object, *arguments: object) -> Deferred[None]:
                calls.append((function, arguments))
                return Deferred()

        digest = Digest("md5", LaterThreads())
        self.assertNoResult(digest.consume([b"abc"]))
        self.assertEqual(hashlib.md5().hexdigest(), digest.hexdigest())
        [(function, arguments)] = calls
        function(*arguments)  # type: ignore[operator]
        self.assertEqual(hashlib.md5(b"abc").hexdigest(), digest.hexdigest())

    def test_unknown(self) -> None:
        """An algorithm that hashlib does not have is refused before any byte comes."""
        self.assertRaises(ValueError, Digest, "md6", ImmediateThreads())
