"""The choice of what computes digests."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.hashing.choose import SWITCH, choose_hasher


class ChoiceTests(SynchronousTestCase):
    """choose_hasher."""

    def setUp(self) -> None:
        self.addCleanup(os.environ.update, {SWITCH: os.environ[SWITCH]} if SWITCH in os.environ else {})
        os.environ.pop(SWITCH, None)
        self.addCleanup(os.environ.pop, SWITCH, None)

    def test_not_wanted(self) -> None:
        """The configuration can refuse the accelerator."""
        choice = choose_hasher(False)
        self.assertEqual(choice.hasher.name, "hashlib")
        self.assertEqual(str(choice), "hashlib (images.accelerated_hashing = false)")

    def test_switched_off(self) -> None:
        """So can the environment, whatever the configuration says."""
        for text in ("off", "0", "false", "OFF"):
            os.environ[SWITCH] = text
            self.assertEqual(str(choose_hasher(True)), f"hashlib (IMGSVC_ACCELERATED_HASHING={text})")

    def test_not_switched_off(self) -> None:
        """With any other text the accelerator computes the digests, once for the process."""
        for text in ("", "on", "1"):
            os.environ[SWITCH] = text
            choice = choose_hasher(True)
            self.assertEqual(choice.why, "")
            self.assertIn(str(choice), ("avx2", "avx512"))
            self.assertIs(choose_hasher(True).hasher, choice.hasher)

    def test_without_avx512(self) -> None:
        """The environment can ask for AVX2, to see what a processor without AVX-512 gives."""
        os.environ[SWITCH] = "avx2"
        self.assertEqual(str(choose_hasher(True)), "avx2")
