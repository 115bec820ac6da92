"""/v2/images/{image_id}/members"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from tests.support.server import Answer
from tests.web.rigs import ADMIN, BEHIND_PROXY, MEMBER, ONE_STORE, READER, STRANGER, ApiTestCase, identity

OTHER = identity("green", "member", "reader")
RED_READER = identity("red", "reader")
NO_PROJECT = identity(None, "member", "reader")


class MembersTestCase(ApiTestCase):
    """Sends requests about an image of the project blue, as users of three projects."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "identity": BEHIND_PROXY,
        "quotas": {"members": 3},
    }

    def setUp(self) -> None:
        super().setUp()
        self.image = self.new_image()
        self.path = f"/v2/images/{self.image}/members"

    def new_image(self, who: dict[str, str] = MEMBER, **fields: Any) -> str:
        """The id of a new image."""
        answer = self.ask("POST", "/v2/images", {"disk_format": "raw", "container_format": "bare", **fields}, who)
        self.assertEqual(201, answer.status, answer.body)
        made: str = answer.json["id"]
        return made

    def ask(self, method: str, path: str, document: Any = None, who: dict[str, str] = MEMBER) -> Answer:
        """Send a request with a JSON body."""
        return self.server.request(method, path, who, None if document is None else json.dumps(document).encode())

    def share(self, project: str = "red", who: dict[str, str] = MEMBER) -> Answer:
        """POST a member."""
        return self.ask("POST", self.path, {"member": project}, who)

    def answer(self, project: str, status: Any, who: dict[str, str]) -> Answer:
        """PUT a status."""
        return self.ask("PUT", f"{self.path}/{project}", {"status": status}, who)

    def members(self, who: dict[str, str] = MEMBER) -> dict[str, str]:
        """The status of each member that is listed."""
        answer = self.ask("GET", self.path, who=who)
        self.assertEqual(200, answer.status, answer.body)
        return {member["member_id"]: member["status"] for member in answer.json["members"]}

    def listed(self, who: dict[str, str], query: str = "") -> bool:
        """Whether the image is in a list."""
        answer = self.ask("GET", f"/v2/images{query}", who=who)
        self.assertEqual(200, answer.status, answer.body)
        return self.image in [image["id"] for image in answer.json["images"]]

    def found(self, who: dict[str, str]) -> bool:
        """Whether the caller finds the image by its id."""
        return self.ask("GET", f"/v2/images/{self.image}", who=who).status == 200

    def make(self, visibility: str) -> None:
        """Give the image another visibility."""
        changed = self.server.request(
            "PATCH",
            f"/v2/images/{self.image}",
            {**MEMBER, "Content-Type": "application/openstack-images-v2.1-json-patch"},
            json.dumps([{"op": "replace", "path": "/visibility", "value": visibility}]).encode(),
        )
        self.assertEqual(200, changed.status, changed.body)


class FlowTests(MembersTestCase):
    """How an image is shared, step by step."""

    def test_flow(self) -> None:
        """A pending member finds the image by id only. An accepted one also sees it in lists, a rejected one
        finds it by id, a removed one not at all.
        """
        self.assertFalse(self.found(STRANGER))
        added = self.share()
        self.assertEqual(200, added.status)
        self.assertEqual("application/json", added.headers["content-type"])
        self.assertNotIn("location", added.headers)
        member = added.json
        self.assertRegex(member.pop("created_at"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertRegex(member.pop("updated_at"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(
            {"member_id": "red", "image_id": self.image, "status": "pending", "schema": "/v2/schemas/member"}, member
        )
        self.assertEqual((True, False), (self.found(STRANGER), self.listed(STRANGER)))
        for status, is_listed in (("accepted", True), ("rejected", False), ("pending", False)):
            answer = self.answer("red", status, STRANGER)
            self.assertEqual((200, status), (answer.status, answer.json["status"]))
            self.assertEqual((True, is_listed), (self.found(STRANGER), self.listed(STRANGER)))
            self.assertEqual({"red": status}, self.members())
        self.assertEqual(403, self.ask("DELETE", f"{self.path}/red", who=STRANGER).status)
        removed = self.ask("DELETE", f"{self.path}/red")
        self.assertEqual((204, b""), (removed.status, removed.body))
        self.assertEqual((False, False), (self.found(STRANGER), self.listed(STRANGER)))

    def test_added_again(self) -> None:
        """A project that is removed and added again is pending again."""
        self.share()
        self.answer("red", "accepted", STRANGER)
        self.ask("DELETE", f"{self.path}/red")
        self.assertEqual("pending", self.share().json["status"])
        self.assertFalse(self.listed(STRANGER))

    def test_lists_by_status(self) -> None:
        """`member_status` selects which of the images shared with the project are listed. Other lists ignore it."""
        self.share()
        for status in ("pending", "accepted", "rejected"):
            self.answer("red", status, STRANGER)
            for asked in ("pending", "accepted", "rejected", "all"):
                for more in ("", "&visibility=shared", "&visibility=all", "&owner=blue"):
                    self.assertEqual(
                        asked in (status, "all"), self.listed(STRANGER, f"?member_status={asked}{more}"), (status, more)
                    )
                for visibility in ("public", "private", "community"):
                    self.assertFalse(self.listed(STRANGER, f"?member_status={asked}&visibility={visibility}"))
                self.assertFalse(self.listed(STRANGER, f"?member_status={asked}&owner=red"))
                self.assertTrue(self.listed(MEMBER, f"?member_status={asked}"))
                self.assertTrue(self.listed(ADMIN, f"?member_status={asked}"))
                self.assertFalse(self.listed(OTHER, f"?member_status={asked}"))
                self.assertFalse(self.listed(NO_PROJECT, f"?member_status={asked}"))
        for asked in ("", "Accepted", "maybe"):
            self.assertEqual(400, self.ask("GET", f"/v2/images?member_status={asked}").status)

    def test_not_shared_any_more(self) -> None:
        """The members of an image that is not shared any more are kept without effect, until it is shared again."""
        self.share()
        self.answer("red", "accepted", STRANGER)
        for visibility in ("private", "community"):
            self.make(visibility)
            self.assertEqual(visibility == "community", self.found(STRANGER))
            self.assertFalse(self.listed(STRANGER))
            for who in (MEMBER, ADMIN):
                self.assertEqual(403, self.ask("GET", self.path, who=who).status)
                self.assertEqual(403, self.share("green", who).status)
                self.assertEqual(404, self.ask("GET", f"{self.path}/red", who=who).status)
                self.assertEqual(403, self.answer("red", "rejected", who).status)
                self.assertEqual(403, self.ask("DELETE", f"{self.path}/red", who=who).status)
        self.make("shared")
        self.assertEqual({"red": "accepted"}, self.members())
        self.assertTrue(self.listed(STRANGER))

    def test_image_stays_as_it_was(self) -> None:
        """Changes of members do not change `updated_at` of the image. An answer changes only that of the member."""
        before = self.show(self.image, MEMBER)
        self.share()
        self.answer("red", "accepted", STRANGER)
        self.assertEqual(before, self.show(self.image, MEMBER))

    def test_deleted_image(self) -> None:
        """A deleted image has no members."""
        self.share()
        self.assertEqual(204, self.ask("DELETE", f"/v2/images/{self.image}").status)
        for method, path, document in (
            ("GET", self.path, None),
            ("POST", self.path, {"member": "green"}),
            ("GET", f"{self.path}/red", None),
            ("PUT", f"{self.path}/red", {"status": "accepted"}),
            ("DELETE", f"{self.path}/red", None),
        ):
            self.assertEqual(404, self.ask(method, path, document).status)
        self.assertFalse(self.listed(STRANGER, "?member_status=all"))


class PageTests(MembersTestCase):
    """Lists of a member, page by page, while images that it has seen disappear."""

    def setUp(self) -> None:
        super().setUp()
        self.images = [self.image, *(self.new_image(visibility="shared") for _ in range(2))]
        for image in self.images:
            self.path = f"/v2/images/{image}/members"
            self.share()
            self.answer("red", "accepted", STRANGER)
        self.owned = self.new_image(STRANGER)

    def test_gone(self) -> None:
        """The page after an image that the member cannot see any more is refused, and a new list has all others.

        The members of a deleted image are forgotten with it, so nobody can tell whether the caller could see it.
        """
        *first, last = self.images
        for image, method, path, status, text in (
            (last, "DELETE", f"/v2/images/{last}", 400, "If the image was deleted meanwhile, list from the first page"),
            (first[1], "DELETE", f"/v2/images/{first[1]}/members/red", 403, "is an image that you may not see"),
        ):
            queries = [f"?limit=1&sort=created_at:asc{more}" for more in ("", "&member_status=all")]
            queries += [f"?limit=1&visibility=shared&marker={image}"]
            links = [self.link_after(image, query) for query in queries]
            self.assertEqual(204, self.ask(method, path).status)
            for link in links:
                answer = self.ask("GET", link, who=STRANGER)
                self.assertEqual((status, True), (answer.status, text in answer.body.decode()), answer.body)
        listed = self.ask("GET", "/v2/images", who=STRANGER).json["images"]
        self.assertEqual([self.owned, first[0]], [image["id"] for image in listed])

    def link_after(self, image: str, query: str) -> str:
        """The link to the page after an image of the member's list."""
        link = f"/v2/images{query}"
        while f"marker={image}" not in link:
            link = self.ask("GET", link, who=STRANGER).json["next"]
        self.assertEqual(200, self.ask("GET", link, who=STRANGER).status)
        return link


class PermissionTests(MembersTestCase):
    """Which callers may do what with members."""

    def test_who_sees_whom(self) -> None:
        """The owner and administrators see all members, a member sees only itself, and nobody else sees the image."""
        for project in ("red", "green"):
            self.share(project)
        everybody = {"red": "pending", "green": "pending"}
        for who in (MEMBER, READER, ADMIN):
            self.assertEqual(everybody, self.members(who))
            self.assertEqual("red", self.ask("GET", f"{self.path}/red", who=who).json["member_id"])
            self.assertEqual(404, self.ask("GET", f"{self.path}/black", who=who).status)
        for who, own, other in ((STRANGER, "red", "green"), (RED_READER, "red", "green"), (OTHER, "green", "red")):
            self.assertEqual({own: "pending"}, self.members(who))
            self.assertEqual(own, self.ask("GET", f"{self.path}/{own}", who=who).json["member_id"])
            self.assertEqual(404, self.ask("GET", f"{self.path}/{other}", who=who).status)
        for who in (identity("black", "member", "reader"), NO_PROJECT, identity("red")):
            self.assertEqual(404, self.ask("GET", self.path, who=who).status)
            self.assertEqual(404, self.ask("GET", f"{self.path}/red", who=who).status)
        self.assertEqual(401, self.server.request("GET", self.path).status)
        answer = self.ask("GET", self.path)
        self.assertEqual("/v2/schemas/members", answer.json["schema"])
        self.assertEqual(["green", "red"], [member["member_id"] for member in answer.json["members"]])

    def test_who_shares(self) -> None:
        """Members of the owning project and administrators may share. Others who see the image get 403, the
        rest 404.
        """
        self.assertEqual(404, self.share("red", STRANGER).status)
        self.assertEqual(200, self.share("red", MEMBER).status)
        self.assertEqual(200, self.share("green", ADMIN).status)
        for who in (READER, STRANGER, OTHER):
            self.assertEqual(403, self.share("black", who).status)
        self.assertEqual(["green", "red"], sorted(self.members()))

    def test_who_answers(self) -> None:
        """Members of the member project and administrators may answer. The owner and readers get 403."""
        for project in ("red", "green"):
            self.share(project)
        for who, project, status in (
            (MEMBER, "red", 403),
            (READER, "red", 403),
            (RED_READER, "red", 403),
            (STRANGER, "green", 404),
            (identity("black", "member", "reader"), "red", 404),
            (MEMBER, "black", 404),
            (ADMIN, "black", 404),
        ):
            self.assertEqual(status, self.answer(project, "accepted", who).status, (who, project))
        self.assertEqual({"red": "pending", "green": "pending"}, self.members())
        self.assertEqual(200, self.answer("red", "accepted", STRANGER).status)
        self.assertEqual(200, self.answer("green", "rejected", ADMIN).status)
        self.assertEqual({"red": "accepted", "green": "rejected"}, self.members())

    def test_who_removes(self) -> None:
        """Members of the owning project and administrators may remove members."""
        for project in ("red", "green"):
            self.share(project)
        for who, project, status in (
            (STRANGER, "red", 403),
            (STRANGER, "green", 404),
            (READER, "red", 403),
            (MEMBER, "black", 404),
            (identity("black", "member", "reader"), "red", 404),
            (MEMBER, "red", 204),
            (MEMBER, "red", 404),
            (ADMIN, "green", 204),
        ):
            self.assertEqual(status, self.ask("DELETE", f"{self.path}/{project}", who=who).status, (who, project))
        self.assertEqual({}, self.members())

    def test_no_owner(self) -> None:
        """Everybody finds a `shared` image without an owner. Administrators share it."""
        image = self.new_image(ADMIN, owner=None)
        self.path = f"/v2/images/{image}/members"
        self.assertEqual(403, self.ask("GET", self.path, who=MEMBER).status)
        self.assertEqual(404, self.ask("GET", f"{self.path}/red", who=MEMBER).status)
        self.assertEqual(403, self.share("red", MEMBER).status)
        self.assertEqual(200, self.share("red", ADMIN).status)
        self.assertEqual({"red": "pending"}, self.members(STRANGER))
        self.assertEqual(403, self.ask("GET", self.path, who=NO_PROJECT).status)
        self.assertEqual(403, self.share("green", NO_PROJECT).status)
        self.assertEqual(403, self.ask("DELETE", f"{self.path}/red", who=STRANGER).status)
        for project in ("red", "green"):  # a member or not
            self.assertEqual(403, self.answer(project, "accepted", MEMBER).status)
            self.assertEqual(403, self.ask("DELETE", f"{self.path}/{project}").status)
        self.assertEqual({"red": "pending"}, self.members(ADMIN))

    def test_data(self) -> None:
        """A member downloads the data whatever its status, and uploads nothing."""
        self.assertEqual(204, self.server.put(self.image, b"data", **MEMBER).status)
        file = f"/v2/images/{self.image}/file"
        self.assertEqual(404, self.ask("GET", file, who=STRANGER).status)
        self.share()
        self.assertEqual(b"data", self.ask("GET", file, who=STRANGER).body)
        self.answer("red", "rejected", STRANGER)
        self.assertEqual(b"data", self.ask("GET", file, who=STRANGER).body)
        self.assertEqual(403, self.ask("DELETE", f"/v2/images/{self.image}", who=STRANGER).status)
        self.assertEqual(403, self.server.put(self.image, b"data", **STRANGER).status)


class RefusalTests(MembersTestCase):
    """Invalid members and statuses."""

    def test_member(self) -> None:
        """400 without a body, or without an id of 1 to 255 characters in `member`."""
        self.assertEqual(400, self.ask("POST", self.path).status)
        for document in (
            {},
            {"member": ""},
            {"member": None},
            {"member": 7},
            {"member_id": "red"},
            {"member": "x" * 256},
            {"member": "a\0"},
            [],
            ["red"],
        ):
            self.assertEqual(400, self.ask("POST", self.path, document).status, document)
        self.assertEqual(400, self.server.request("POST", self.path, MEMBER, b"{").status)
        longest = "x" * 255
        self.assertEqual(longest, self.share(longest).json["member_id"])
        self.assertEqual(200, self.ask("GET", f"{self.path}/{longest}").status)
        self.assertEqual("grün/x", self.share("grün/x").json["member_id"])

    def test_status(self) -> None:
        """400 for a status that is missing or is not one of the three."""
        self.share()
        path = f"{self.path}/red"
        self.assertEqual(400, self.ask("PUT", path, who=STRANGER).status)
        for document in ({}, {"status": ""}, {"status": "Accepted"}, {"status": None}, {"status": []}, ["accepted"]):
            self.assertEqual(400, self.ask("PUT", path, document, STRANGER).status, document)
        self.assertEqual({"red": "pending"}, self.members())

    def test_twice(self) -> None:
        """409 for a project that is a member already, and its status stays."""
        self.share()
        self.answer("red", "accepted", STRANGER)
        self.assertEqual(409, self.share().status)
        self.assertEqual({"red": "accepted"}, self.members())

    def test_quota(self) -> None:
        """413 for one member more than the quota."""
        for project in ("red", "green", "black"):
            self.assertEqual(200, self.share(project).status)
        self.assertEqual(413, self.share("white").status)
        self.assertNotIn("white", self.members())
        self.assertEqual(204, self.ask("DELETE", f"{self.path}/black").status)
        self.assertEqual(200, self.share("white").status)

    def test_bodies(self) -> None:
        """400 for a body where none is allowed."""
        self.share()
        for method, path in (("GET", self.path), ("GET", f"{self.path}/red"), ("DELETE", f"{self.path}/red")):
            self.assertEqual(400, self.ask(method, path, {}).status)

    def test_routes(self) -> None:
        """404 for an image that does not exist, 405 with the allowed methods for another method."""
        for path in ("/v2/images/none/members", f"/v2/images/{'x' * 300}/members"):
            self.assertEqual(404, self.ask("GET", path).status)
            self.assertEqual(404, self.ask("POST", path, {"member": "red"}).status)
        refused = self.ask("PATCH", self.path)
        self.assertEqual((405, {"GET", "HEAD", "POST"}), (refused.status, set(refused.headers["allow"].split(", "))))
        refused = self.ask("POST", f"{self.path}/red")
        self.assertEqual(
            (405, {"GET", "HEAD", "PUT", "DELETE"}), (refused.status, set(refused.headers["allow"].split(", ")))
        )
        self.assertEqual(404, self.ask("GET", f"{self.path}/").status)


class SchemaTests(MembersTestCase):
    """/v2/schemas/member and /v2/schemas/members"""

    def test_schemas(self) -> None:
        """They describe members, and say nothing about additional properties."""
        self.share()
        member = self.ask("GET", "/v2/schemas/member").json
        self.assertEqual("member", member["name"])
        self.assertEqual(set(member["properties"]), set(self.ask("GET", f"{self.path}/red").json))
        self.assertEqual(["pending", "accepted", "rejected"], member["properties"]["status"]["enum"])
        members = self.ask("GET", "/v2/schemas/members").json
        self.assertEqual("members", members["name"])
        self.assertEqual(member, members["properties"]["members"]["items"])
        for schema in (member, members):
            self.assertNotIn("additionalProperties", schema)
            self.assertEqual(["describedby"], [link["rel"] for link in schema["links"]])
