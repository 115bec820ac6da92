"""Updates that replace a whole image."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from imgsvc.errors import ImageChanged, NoSuchImage
from imgsvc.model import TRANSITIONS, Image, Location, Status, Visibility
from tests.catalogue.rigs import NOON, CatalogueTestCase, on_every_database


@on_every_database
class UpdateTests(CatalogueTestCase):
    """ICatalogue.update"""

    def in_status(self, status: Status) -> Image:
        """A new image in this status."""
        image = self.add()
        self.other_connection().execute("UPDATE images SET status = ? WHERE id = ?", (status.value, image.id))
        image = self.get(image.id)
        self.assertIs(image.status, status)
        return image

    def test_every_pair_of_statuses(self) -> None:
        """Only the transitions of TRANSITIONS are made. Only `delete` deletes an image."""
        for source in Status:
            for target in Status:
                image = self.in_status(source)
                updating = self.catalogue.update(image, evolve(image, status=target))
                if target is not Status.DELETED and (target is source or target in TRANSITIONS[source]):
                    changed, _ = self.successResultOf(updating)
                    self.assertIs(changed.status, target)
                    self.assertEqual(self.get(image.id), changed)
                    self.assertGreater(changed.updated_at, image.updated_at)
                else:
                    self.failureResultOf(updating, ValueError)
                    self.assertEqual(self.get(image.id), image, f"{source} to {target}")

    def test_status_moved_meanwhile(self) -> None:
        """A transition from a status that the image has left is ImageChanged, even if all else is equal."""
        for other in set(Status) - {Status.ACTIVE}:
            image = self.in_status(Status.ACTIVE)
            self.other_connection().execute("UPDATE images SET status = ? WHERE id = ?", (other.value, image.id))
            self.failureResultOf(self.catalogue.update(image, evolve(image, status=Status.DEACTIVATED)), ImageChanged)
            self.assertIs(self.get(image.id).status, other)

    def test_everything(self) -> None:
        """All changed fields are kept, and what the new image lacks is removed."""
        image = self.add(tags=("a", "b"), properties={"kept": "1", "changed": "1", "gone": "1"}, owner="blue")
        places = (Location("local", "file:///a", {"x": "1"}), Location("local", "file:///b"))
        wanted = evolve(
            image,
            status=Status.ACTIVE,
            name="new",
            visibility=Visibility.PUBLIC,
            protected=True,
            os_hidden=True,
            owner=None,
            container_format="bare",
            disk_format="raw",
            min_disk=1,
            min_ram=2,
            size=3,
            virtual_size=4,
            checksum="c",
            os_hash_algo="sha512",
            os_hash_value="d",
            tags=("b", "c", "c"),
            properties={"kept": "1", "changed": "2", "new": ""},
            locations=places,
        )
        changed, pending = self.successResultOf(self.catalogue.update(image, wanted))
        self.assertEqual(pending, [])
        self.assertEqual(changed, evolve(wanted, updated_at=self.now, tags=("b", "c")))
        self.assertEqual(self.get(image.id), changed)
        self.assertEqual([place.metadata for place in self.get(image.id).locations], [{"x": "1"}, {}])

    def test_locations(self) -> None:
        """Locations that the new image lacks become pending deletions. Metadata is changed in place."""
        image = self.add()
        first, second, third = (Location("local", f"file:///{name}", {"n": name}) for name in "abc")
        image, _ = self.successResultOf(self.catalogue.update(image, evolve(image, locations=(first, second))))
        renamed = Location("local", second.url, {"n": "z"})
        changed, pending = self.successResultOf(self.catalogue.update(image, evolve(image, locations=(renamed, third))))
        self.assertEqual([each.location for each in pending], [first])
        kept = self.get(image.id).locations
        self.assertEqual(kept, changed.locations)
        self.assertEqual([place.metadata for place in kept], [{"n": "z"}, {"n": "c"}])
        self.assertEqual(self.successResultOf(self.catalogue.pending_deletions("local")), pending)

    def test_time_strictly_grows(self) -> None:
        """Changes within one microsecond, or after the clock was set back, have increasing times."""
        image = self.add(created_at=NOON + timedelta(days=1))
        moments = [image.updated_at]
        for number in range(3):
            image, _ = self.successResultOf(self.catalogue.update(image, evolve(image, min_ram=number)))
            moments.append(image.updated_at)
        self.assertEqual(moments, sorted(set(moments)))

    def test_changed_meanwhile(self) -> None:
        """An image that was changed since it was read is ImageChanged, and the other change stays."""
        for change in (
            lambda image: evolve(image, name="x"),
            lambda image: evolve(image, tags=("x",)),
            lambda image: evolve(image, properties={"x": "1"}),
            lambda image: evolve(image, locations=(Location("local", "file:///x"),)),
            lambda image: image,
        ):
            image = self.add()
            self.successResultOf(self.catalogue.update(image, change(image)))
            now = self.get(image.id)
            self.failureResultOf(self.catalogue.update(image, evolve(image, tags=("mine",))), ImageChanged)
            self.assertEqual(self.get(image.id), now)

    def test_claimed_meanwhile(self) -> None:
        """The beginning and the end of an upload count as changes."""
        image = self.add()
        self.successResultOf(self.catalogue.claim(image.id, "local", 60))
        self.failureResultOf(self.catalogue.update(image, evolve(image, name="x")), ImageChanged)

    def test_deleted_meanwhile(self) -> None:
        """NoSuchImage."""
        image = self.add()
        self.successResultOf(self.catalogue.delete(image.id))
        self.failureResultOf(self.catalogue.update(image, evolve(image, name="x")), NoSuchImage)
