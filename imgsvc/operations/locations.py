"""Registers images by the location of their data, without an upload."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from attrs import define, evolve, frozen

from imgsvc.context import current_request
from imgsvc.errors import Conflict, Forbidden, ImageChanged, Invalid, QuotaExceeded, StoreAway, StoreError, WrongStatus
from imgsvc.event_model import TaskCreated, event_of_change
from imgsvc.interfaces import IEvents, IImageCatalogue, IStoreRegistry, ITaskCatalogue
from imgsvc.lease_model import Lease, Task, TaskType
from imgsvc.model import IMPORT_LOCK, Caller, Image, Location, Status
from imgsvc.operations.access import Access
from imgsvc.operations.images import utc_now
from imgsvc.operations.limits import Quotas
from imgsvc.operations.location_order import by_weight, is_remote, locate

ATTEMPTS: Final = 100
"""Attempts to write a change. One fails when another request has changed the image in the meantime."""


@frozen
class Validation:
    """The digests that the data at a location must have, as the client gives them, in lower-case hex."""

    os_hash_algo: str
    os_hash_value: str
    checksum: str | None = None

    def check_length(self) -> None:
        """Raises Invalid: the length of os_hash_value is not that of os_hash_algo, which hashlib must know."""
        digits = hashlib.new(self.os_hash_algo, usedforsecurity=False).digest_size * 2
        if len(self.os_hash_value) != digits:
            raise Invalid(
                f"The os_hash_value of validation_data must have {digits} hex digits for {self.os_hash_algo}."
            )


@frozen
class LocationRules:
    """verify: whether a task reads and hashes the data. hash_algorithm: for the hash if the client gives no digest.

    quota: locations that one image may have; negative: any number. lease: length of the lease of a hash task, in
    seconds.
    """

    verify: bool = True
    hash_algorithm: str = "sha512"
    quota: int = 10
    lease: float = 60.0

    def check(self, number: int) -> None:
        """Raises QuotaExceeded: an image may not have so many locations."""
        if 0 <= self.quota < number:
            raise QuotaExceeded(f"An image may have {self.quota} locations, not {number}.")


@define
class LocationProbe:
    """Finds out the size of the data at a location."""

    stores: IStoreRegistry
    quotas: Quotas

    async def size(self, image: Image, location: Location) -> int:
        """The number of bytes at a location.

        Raises Invalid: there is no data. Raises TooLarge: the image may not have so many bytes. Raises StoreAway.
        """
        try:
            size: int = await self.stores.get(location.store_id).size(location)
        except StoreAway:
            raise
        except StoreError as error:
            raise Invalid(f"Image {image.id}: nothing is found at the location: {error}") from error
        if size == 0:
            raise Invalid(f"Image {image.id}: there are no bytes at the location.")
        (await self.quotas.allowance(image.owner)).check(image.id, size)
        return size


@define
class Locations:
    """Registers the location of a queued image, and lists locations. begin: starts a task."""

    access: Access
    images: IImageCatalogue
    tasks: ITaskCatalogue
    stores: IStoreRegistry
    probe: LocationProbe
    rules: LocationRules
    events: IEvents
    begin: Callable[[Task, Lease], None]
    now: Callable[[], datetime] = utc_now

    async def list(self, caller: Caller, image_id: str) -> Sequence[Location]:
        """The locations of an image, in the order in which they are tried. Raises NoSuchImage, Forbidden."""
        image = await self.access.image(caller, image_id, "fetch_image_location")
        return by_weight(self.stores, image.locations)

    async def check_add(self, caller: Caller, image_id: str) -> None:
        """Check for `add` what does not depend on the location.

        Raises NoSuchImage, Forbidden, WrongStatus, Conflict, Invalid, QuotaExceeded.
        """
        self._check_open(caller, await self.access.image(caller, image_id, "add_image_location"))

    async def add(self, caller: Caller, image_id: str, url: str, validation: Validation | None) -> None:
        """Register `url` as the location of a queued image.

        The digests are computed later. With a validation the image is `importing` until then, and `queued` again if the
        digests differ. Without a validation it is active at once. After an error nothing has changed.
        Raises NoSuchImage, WrongStatus. Raises Forbidden: the caller may not, or only services may give such a URL.
        Raises Conflict: another task has the image. Raises Invalid, TooLarge: there is no data at the URL, or too much.
        """
        for _ in range(ATTEMPTS):
            image = await self.access.image(caller, image_id, "add_image_location")
            location = self._located(caller, url, image)
            size = await self.probe.size(image, location)
            try:
                await self._keep(caller, image, evolve(image, size=size, locations=(location,)), validation)
            except ImageChanged:
                continue
            return
        raise ImageChanged(image_id)

    def _check_open(self, caller: Caller, image: Image) -> None:
        """Check what does not depend on the location. For the errors see `check_add`."""
        if not _is_service(caller) and not any("http" in store.info.schemes for store in self.stores.all()):
            raise Forbidden("No location may be given: there is no store that reads http and https URLs.")
        if image.status is not Status.QUEUED:
            raise WrongStatus(image.id, image.status, "only a queued image takes a location")
        if image.properties.get(IMPORT_LOCK):
            raise Conflict(f"Image {image.id} is locked by task {image.properties[IMPORT_LOCK]}.")
        require_formats(image)
        self.rules.check(1)

    def _located(self, caller: Caller, url: str, image: Image) -> Location:
        self._check_open(caller, image)
        if not _is_service(caller) and not is_remote(url):
            raise Forbidden("Only http and https URLs may be given.")
        location = locate(self.stores, url, image.id)
        if location is None:
            kinds = sorted({store.info.kind for store in self.stores.all()})
            raise Invalid(f"The URL belongs to no store: the stores are of the kinds {', '.join(kinds)}.")
        return location

    async def _keep(self, caller: Caller, image: Image, changed: Image, validation: Validation | None) -> None:
        limits = await self.probe.quotas.limits(image.owner)
        if not self.rules.verify:
            if validation is not None:
                changed = evolve(changed, os_hash_algo=validation.os_hash_algo, os_hash_value=validation.os_hash_value)
            now, _ = await self.images.update(image, evolve(changed, status=Status.ACTIVE), limits)
            self.events.publish(event_of_change(image, now))
            return
        task = self._task(caller, image)
        changed = evolve(changed, properties={**changed.properties, IMPORT_LOCK: task.id})
        if validation is None:
            changed = evolve(changed, status=Status.ACTIVE, os_hash_algo=self.rules.hash_algorithm)
        else:
            changed = evolve(
                changed,
                status=Status.IMPORTING,
                os_hash_algo=validation.os_hash_algo,
                os_hash_value=validation.os_hash_value,
            )
        current, lease = await self.tasks.begin_task(image, changed, task, self.rules.lease, limits)
        self.events.publish(event_of_change(image, current))
        self.events.publish(TaskCreated(task))
        self.begin(task, lease)

    def _task(self, caller: Caller, image: Image) -> Task:
        now, request = self.now(), current_request()
        return Task(
            id=str(uuid.uuid4()),
            type=TaskType.HASH_LOCATION,
            created_at=now,
            updated_at=now,
            owner=image.owner,
            input={"image_id": image.id},
            image_id=image.id,
            user_id=caller.user_id,
            request_id=None if request is None else request.request_id or None,
        )


def _is_service(caller: Caller) -> bool:
    return "service" in caller.roles | caller.service_roles


def require_formats(image: Image) -> None:
    """Raises Invalid: the image has no formats yet, and cannot have data without them."""
    if image.disk_format is None or image.container_format is None:
        raise Invalid(f"Image {image.id}: disk_format and container_format must be set before its location.")
