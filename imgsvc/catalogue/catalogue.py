"""The catalogue's interface: the function and the thread for each call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from imgsvc.catalogue import changes, holdings, images, lists, members, projects, uploads
from imgsvc.catalogue.database import Database
from imgsvc.catalogue.rows import image_from_row, is_whole, row_size
from imgsvc.catalogue.work import Work
from imgsvc.errors import CatalogueUnavailable, Conflict, NoSuchImage
from imgsvc.interfaces import ICatalogue
from imgsvc.model import (
    Claim,
    Image,
    ImagePage,
    ImageQuery,
    Member,
    MemberStatus,
    PendingDeletion,
    ProjectLimits,
    ProjectUsage,
    Record,
    Status,
    StoredData,
)

__all__ = ["Catalogue"]

MOST_KNOWN = 2 << 20
"""Bytes of JSON of the images that are cached until the database changes."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@implementer(ICatalogue)
class Catalogue(Work):
    """Keeps images in a Database. now: the clock for `updated_at` and `deleted_at`; leases use the database's clock."""

    def __init__(self, database: Database, now: Callable[[], datetime] = _utc_now) -> None:
        super().__init__(database, now)
        self._known: dict[str, Image] = {}
        self._known_size = 0
        self._known_version: int | None = None

    def start(self) -> Deferred[None]:
        return self._database.start()

    def stop(self) -> Deferred[None]:
        return self._database.stop()

    def check(self) -> Deferred[None]:
        return self._database.read(lambda connection: connection.execute(text("SELECT 1")).close())

    def identity(self) -> Deferred[str]:
        return Deferred.fromCoroutine(self._identity())

    async def _identity(self) -> str:
        found = await self._database.read(holdings.find_identity)
        if found is None:
            with suppress(Conflict):  # another process was faster
                await self._database.write(holdings.add_identity)
            found = await self._database.read(holdings.find_identity)
        if found is None:
            raise CatalogueUnavailable("The catalogue has lost its id.")
        return found

    def object_count(self, store_id: str) -> Deferred[int]:
        return self._database.read(lambda connection: holdings.count_objects(connection, store_id))

    def known_objects(self, store_id: str, names: Collection[str]) -> Deferred[set[str]]:
        return self._database.read(lambda connection: holdings.list_known_objects(connection, store_id, names))

    def image(self, image_id: str) -> Deferred[Image]:
        known = self._known_images()
        if image_id in known:
            return succeed(known[image_id])

        def image_of(rows: Sequence[Sequence[Any]]) -> Image | Deferred[Image]:
            for row in rows:
                if not is_whole(row):
                    return self._database.read(lambda connection: images.find_image(connection, image_id))
                known[image_id] = image = image_from_row(row)
                self._known_size += row_size(row)
                return image
            raise NoSuchImage(image_id)

        found = self._database.rows(images.IMAGE_BY_ID, {"image_id": image_id}).addCallback(image_of)
        return found

    def _known_images(self) -> dict[str, Image]:
        """Return the images that were read since the last change of the database.

        The check for a change takes a tenth of the time of a read.
        """
        version = self._database.version()
        if version is None:
            return {}
        if version != self._known_version or self._known_size >= MOST_KNOWN:
            self._known, self._known_size, self._known_version = {}, 0, version
        return self._known

    def images(self, query: ImageQuery) -> Deferred[ImagePage]:
        return self._database.read(lambda connection: lists.list_images(connection, query), lists.is_heavy(query))

    def add(self, image: Image, limits: ProjectLimits | None = None) -> Deferred[None]:
        return self._database.write(lambda connection: images.add_image(connection, image, limits))

    def update(
        self, image: Image, changed: Image, limits: ProjectLimits | None = None
    ) -> Deferred[tuple[Image, list[PendingDeletion]]]:
        now = self._now()
        return self._database.write(lambda connection: changes.update_image(connection, image, changed, now, limits))

    def restore(self, pending: Sequence[PendingDeletion], status: Status | None) -> Deferred[bool]:
        now = self._now()
        image_id, keys = pending[0].image_id, [each.key for each in pending]
        return self._database.write(
            lambda connection: changes.restore_locations(connection, image_id, keys, status, now), frees=True
        )

    def members(self, image_id: str) -> Deferred[list[Member]]:
        return self._database.read(lambda connection: members.list_members(connection, image_id))

    def add_member(self, image_id: str, member_id: str, limit: int) -> Deferred[Member]:
        now = self._now()
        return self._database.write(lambda connection: members.add_member(connection, image_id, member_id, limit, now))

    def set_member_status(self, image_id: str, member_id: str, status: MemberStatus) -> Deferred[Member]:
        now = self._now()
        return self._database.write(
            lambda connection: members.set_member_status(connection, image_id, member_id, status, now)
        )

    def remove_member(self, image_id: str, member_id: str) -> Deferred[None]:
        return self._database.write(lambda connection: members.remove_member(connection, image_id, member_id))

    def usage(self, owner: str) -> Deferred[int]:
        return self._database.read(lambda connection: projects.size_total(connection, owner))

    def project_usage(self, project_id: str) -> Deferred[ProjectUsage]:
        return self._database.read(lambda connection: projects.project_usage(connection, project_id))

    def project_limits(self, project_id: str) -> Deferred[dict[str, int]]:
        return self._database.read(lambda connection: projects.list_limits(connection, project_id))

    def claim(self, image_id: str, store_id: str, lease: float, limits: ProjectLimits | None = None) -> Deferred[Claim]:
        now = self._now()
        return self._database.write(
            lambda connection: uploads.claim_image(connection, image_id, store_id, lease, limits, now)
        )

    def activate(
        self, image_id: str, lease_id: str, data: StoredData, limits: ProjectLimits | None = None
    ) -> Deferred[None]:
        now = self._now()
        return self._database.write(
            lambda connection: uploads.activate_image(connection, image_id, lease_id, data, limits, now)
        )

    def release(self, image_id: str, lease_id: str) -> Deferred[bool]:
        now = self._now()
        return self._database.write(
            lambda connection: uploads.release_image(connection, image_id, lease_id, now), frees=True
        )

    def delete(self, image_id: str) -> Deferred[list[PendingDeletion]]:
        now = self._now()
        return self._database.write(lambda connection: images.delete_image(connection, image_id, now), frees=True)

    def pending_deletions(self, store_id: str, after: int = 0) -> Deferred[list[PendingDeletion]]:
        return self._database.read(lambda connection: images.list_pending_deletions(connection, store_id, after))

    def records(self, store_id: str, after: int, limit: int) -> Deferred[list[Record]]:
        return self._database.read(lambda connection: holdings.list_records(connection, store_id, after, limit))

    def forget_location(self, key: int) -> Deferred[None]:
        return self._database.write(lambda connection: images.forget_location(connection, key), frees=True)
