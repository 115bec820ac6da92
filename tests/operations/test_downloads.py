"""The choice of the copy that a download reads."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any, ClassVar

from attrs import evolve
from twisted.internet.defer import Deferred, fail

from imgsvc.errors import PartUnavailable, StoreUnavailable
from imgsvc.interfaces import IStore, IStoreReader
from imgsvc.model import Caller, Location, Span
from tests.support.faults import FaultyStore
from tests.support.store_contract import put, result_of
from tests.web.rigs import MEMORY, ApiTestCase

TAPE = "tape"


class TapeStore(FaultyStore):
    """The store `tape` gives only whole objects. Other stores are unchanged."""

    def __init__(self, inner: IStore) -> None:
        super().__init__(inner)
        self.info = evolve(inner.info, can_range=inner.store_id != TAPE)

    def reader(
        self, location: Location, span: Span, size: int | None = None, caller: Caller | None = None
    ) -> Deferred[IStoreReader]:
        """See IStore."""
        if not self.info.can_range and span.length != size:
            self.calls.append("part")
            return fail(PartUnavailable(TAPE, "a part cannot be read."))
        return super().reader(location, span, size, caller)


class PartTests(ApiTestCase):
    """Ranges of images with a copy in a store that has no ranges."""

    tables: ClassVar[dict[str, Any]] = {"stores": {"default": TAPE, TAPE: {**MEMORY, "weight": 9}, "disk": MEMORY}}
    wrap_store = TapeStore

    def image(self, copies: int) -> str:
        """The path of an image on tape, which may also have two copies on disk."""
        image_id = str(self.server.image()["id"])
        self.assertEqual(self.server.put(image_id, b"0123456789").status, 204)
        if copies == 2:
            location = result_of(put(self.server.store("disk"), image_id, "1", b"0123456789"))
            statement = "INSERT INTO image_locations (image_id, store_id, url, metadata) VALUES (?, 'disk', ?, '{}')"
            with closing(sqlite3.connect(self.folder / "imgsvc.sqlite")) as connection, connection:
                connection.execute(statement, (image_id, location.url))
        self.server.store(TAPE).calls.clear()
        return f"/v2/images/{image_id}/file"

    def asked(self) -> list[str]:
        """The spans that the tape was asked for."""
        return [call for call in self.server.store(TAPE).calls if call in ("reader", "part")]

    def test_part(self) -> None:
        """A range is read from another store, even one with a lower weight. The tape is not asked."""
        path = self.image(copies=2)
        answer = self.server.request("GET", path, {"Range": "bytes=2-4"})
        self.assertEqual((answer.status, answer.body), (206, b"234"))
        self.assertEqual([], self.asked())

    def test_whole(self) -> None:
        """The whole is read from the store with the highest weight, as always."""
        path = self.image(copies=2)
        self.assertEqual(b"0123456789", self.server.request("GET", path).body)
        self.assertEqual(["reader"], self.asked())

    def test_no_other_copy(self) -> None:
        """400 if no copy supports ranges."""
        path = self.image(copies=1)
        self.assertEqual(400, self.server.request("GET", path, {"Range": "bytes=2-4"}).status)
        self.assertEqual(["part"], self.asked())

    def test_other_copy_fails(self) -> None:
        """503 if the other copy cannot be read now."""
        path = self.image(copies=2)
        self.server.store("disk").fail("reader", StoreUnavailable("disk", "does not answer."))
        self.assertEqual(503, self.server.request("GET", path, {"Range": "bytes=2-4"}).status)
