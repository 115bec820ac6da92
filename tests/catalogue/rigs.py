"""A catalogue on a file of its own for each test, and the images to put in."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from imgsvc.catalogue import Catalogue
from imgsvc.catalogue.sqlite import SQLiteDatabase
from imgsvc.interfaces import IThreads
from imgsvc.model import Caller, Image, Location, StoredData, Visibility
from tests.support.threads import ImmediateThreads

ADMIN = Caller(roles=frozenset({"admin"}))
NOON = datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)


def new_image(**fields: Any) -> Image:
    fields.setdefault("id", str(uuid4()))
    fields.setdefault("created_at", NOON)
    fields.setdefault("updated_at", fields["created_at"])
    return Image(**fields)


def stored_data(image_id: str, **fields: Any) -> StoredData:
    values = {
        "size": 1000,
        "virtual_size": 2000,
        "checksum": "c" * 32,
        "os_hash_algo": "sha512",
        "os_hash_value": "d" * 128,
        "location": Location("local", f"file:///images/{image_id}", {"inode": "7"}),
    }
    return StoredData(**(values | fields))


@implementer(IThreads)
class HeldThreads:
    """Calls when told to."""

    def __init__(self) -> None:
        self.held: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def run(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self.held.append((answer, function, arguments))
        return answer

    def release(self) -> None:
        """Make the oldest call."""
        answer, function, arguments = self.held.pop(0)
        ImmediateThreads().run(function, *arguments).chainDeferred(answer)


class CatalogueTestCase(SynchronousTestCase):
    """Gives `self.catalogue`, started, on the file `self.path`."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.now = NOON + timedelta(hours=1)
        self.database = self.open_database()
        self.catalogue = self.open_catalogue(self.database)

    def open_database(self, **options: Any) -> SQLiteDatabase:
        options = {"writer_threads": ImmediateThreads(), "reader_threads": ImmediateThreads()} | options
        return SQLiteDatabase(f"sqlite:///{self.path}", **options)

    def open_catalogue(self, database: SQLiteDatabase) -> Catalogue:
        """One more on the same file."""
        catalogue = Catalogue(database, now=lambda: self.now)
        self.successResultOf(catalogue.start())
        self.addCleanup(lambda: self.successResultOf(catalogue.stop()))
        return catalogue

    def other_connection(self) -> sqlite3.Connection:
        """A connection as of another program."""
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=0)
        self.addCleanup(connection.close)
        return connection

    def add(self, **fields: Any) -> Image:
        image = new_image(**fields)
        self.successResultOf(self.catalogue.add(image))
        return image

    def add_active(self, data: dict[str, Any] | None = None, **fields: Any) -> Image:
        image = self.add(**fields)
        claim = self.successResultOf(self.catalogue.claim(image.id, "local", 60))
        self.successResultOf(self.catalogue.activate(image.id, claim.upload_id, stored_data(image.id, **(data or {}))))
        return self.get(image.id)

    def get(self, image_id: str) -> Image:
        found = self.successResultOf(self.catalogue.image(image_id))
        assert isinstance(found, Image)
        return found

    def add_public(self, **fields: Any) -> Image:
        return self.add(visibility=Visibility.PUBLIC, **fields)
