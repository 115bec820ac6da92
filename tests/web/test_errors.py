"""The table of errors."""

from __future__ import annotations

import inspect

from twisted.trial.unittest import SynchronousTestCase

from imgsvc import errors
from imgsvc.web.errors import STATUS, status_of

WITHOUT = {errors.ImgsvcError, errors.StoreError, errors.ConfigurationError}
"""Two roots that nobody raises, and what goes wrong before there is a client."""


class Unheard(errors.ImgsvcError):
    """An error that the table does not know."""


class Special(errors.StoreFull):
    """A kind of one that it does."""


class TableTests(SynchronousTestCase):
    """Which status each error is."""

    def test_all(self) -> None:
        """Every error of the domain has a status of 400 to 503 by itself or by its next of kin, and none is 500."""
        for _, kind in inspect.getmembers(errors, inspect.isclass):
            if kind not in WITHOUT:
                self.assertTrue(any(parent in STATUS for parent in kind.__mro__), kind)
        self.assertTrue(all(400 <= status <= 503 and status != 500 for status in STATUS.values()))

    def test_kin(self) -> None:
        """The nearest ancestor counts; what has none is the server's fault."""
        self.assertEqual(status_of(Special("local", "x")), 413)
        self.assertEqual(status_of(errors.UnknownStore("x")), 400)
        self.assertEqual(status_of(Unheard()), 500)
