from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from imgsvc.errors import Conflict, NoSuchImage, NotFound, QuotaExceeded
from imgsvc.model import Member, MemberStatus
from tests.catalogue.rigs import CatalogueTestCase, on_every_database


@on_every_database
class MembersTest(CatalogueTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.image = self.add(owner="blue", tags=("x", "y"), properties={"os": "debian"})

    def share(self, member_id: str, limit: int = -1) -> Member:
        member: Member = self.successResultOf(self.catalogue.add_member(self.image.id, member_id, limit))
        return member

    def members(self) -> list[Member]:
        found: list[Member] = self.successResultOf(self.catalogue.members(self.image.id))
        return found

    def test_add(self) -> None:
        """A new member is pending. Members are sorted by id, and the image has them."""
        self.assertEqual([], self.members())
        green, blue = self.share("green"), self.share("Blue")
        self.assertEqual(Member(self.image.id, "green", MemberStatus.PENDING, self.now, self.now), green)
        self.assertEqual([blue, green], self.members())
        self.assertEqual({"Blue", "green"}, self.get(self.image.id).members)

    def test_ids(self) -> None:
        """Ids of up to 255 characters are distinguished by each character."""
        for member_id in ("a", "A", "a ", "ä", "x" * 255, "x" * 254, "☃"):
            self.share(member_id)
        self.assertEqual(7, len(self.members()))
        self.assertEqual({"a", "A", "a ", "ä", "x" * 255, "x" * 254, "☃"}, self.get(self.image.id).members)

    def test_twice(self) -> None:
        """A member cannot be added again, also if the limit is reached."""
        self.share("red", limit=1)
        for limit in (-1, 1, 2):
            self.failureResultOf(self.catalogue.add_member(self.image.id, "red", limit), Conflict)
        self.assertEqual(1, len(self.members()))

    def test_limit(self) -> None:
        """There are at most as many members as the limit. A negative limit is none."""
        self.failureResultOf(self.catalogue.add_member(self.image.id, "red", 0), QuotaExceeded)
        self.share("red", limit=2)
        self.share("green", limit=2)
        self.failureResultOf(self.catalogue.add_member(self.image.id, "black", 2), QuotaExceeded)
        self.share("black")
        self.assertEqual(3, len(self.members()))

    def test_status(self) -> None:
        """An answer changes the status and the time of the member, and nothing of the image."""
        before = self.get(self.image.id)
        added = self.share("red")
        self.now += timedelta(seconds=5)
        for status in (MemberStatus.ACCEPTED, MemberStatus.REJECTED, MemberStatus.PENDING, MemberStatus.PENDING):
            member = self.successResultOf(self.catalogue.set_member_status(self.image.id, "red", status))
            self.assertEqual(Member(self.image.id, "red", status, added.created_at, self.now), member)
            self.assertEqual([member], self.members())
        self.assertEqual(before.updated_at, self.get(self.image.id).updated_at)

    def test_remove(self) -> None:
        """A removed member is gone, and pending when it is added again."""
        self.share("red")
        self.successResultOf(self.catalogue.set_member_status(self.image.id, "red", MemberStatus.ACCEPTED))
        self.successResultOf(self.catalogue.remove_member(self.image.id, "red"))
        self.assertEqual([], self.members())
        self.assertEqual(frozenset(), self.get(self.image.id).members)
        self.assertEqual(MemberStatus.PENDING, self.share("red").status)

    def test_nobody(self) -> None:
        """A project that is not a member can neither answer nor be removed."""
        other = self.add()
        self.share("red")
        for image_id, member_id in ((self.image.id, "green"), (other.id, "red"), (str(uuid4()), "red")):
            answer = self.catalogue.set_member_status(image_id, member_id, MemberStatus.ACCEPTED)
            self.failureResultOf(answer, NotFound)
            self.failureResultOf(self.catalogue.remove_member(image_id, member_id), NotFound)
        self.assertEqual([MemberStatus.PENDING], [member.status for member in self.members()])

    def test_deleted(self) -> None:
        """A deleted image takes no member, and keeps no members, tags or properties."""
        self.share("red")
        kept = self.add(tags=("x",), properties={"os": "debian"})
        self.successResultOf(self.catalogue.add_member(kept.id, "red", -1))
        self.successResultOf(self.catalogue.delete(self.image.id))
        for image_id in (self.image.id, str(uuid4())):
            self.failureResultOf(self.catalogue.add_member(image_id, "green", -1), NoSuchImage)
        other = self.other_connection()
        for table in ("image_members", "image_tags", "image_properties"):
            rows = other.execute(f"SELECT image_id FROM {table}").fetchall()
            self.assertEqual([(kept.id,)], [tuple(row) for row in rows])
