"""PUT and DELETE /v2/images/{image_id}/tags/{tag}"""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import quote

from tests.support.server import fired
from tests.web.changing import ABSENT, ChangeTestCase
from tests.web.rigs import ADMIN, BEHIND_PROXY, MEMBER, ONE_STORE, READER, STRANGER


class TagTests(ChangeTestCase):
    """Tags, one at a time."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "identity": BEHIND_PROXY,
        "quotas": {"tags": 3},
    }

    def tag(self, method: str, image_id: str, tag: str, headers: dict[str, str] = MEMBER) -> int:
        """The status of the response. tag: encoded as in the path."""
        answer = self.server.request(method, f"/v2/images/{image_id}/tags/{tag}", headers)
        if answer.status == 204:
            self.assertEqual(answer.body, b"")
        return answer.status

    def tags(self, image_id: str) -> Any:
        """The tags of the image."""
        return self.show(image_id, ADMIN)["tags"]

    def assert_refused_tag(
        self, status: int, method: str, image_id: str, tag: str, headers: dict[str, str] = MEMBER
    ) -> None:
        """The response has this status, and nothing has changed."""
        before = self.kept(image_id)
        self.assertEqual(self.tag(method, image_id, tag, headers), status)
        self.assertEqual(self.kept(image_id), before)

    def test_life(self) -> None:
        """A tag is added, added again without effect, removed, and is then 404. Each change updates updated_at."""
        image = self.made(tags=["b"])
        moments = [self.kept(image).updated_at]
        self.assertEqual((self.tag("PUT", image, "a"), self.tags(image)), (204, ["a", "b"]))
        moments.append(self.kept(image).updated_at)
        self.assert_refused_tag(204, "PUT", image, "a")
        self.assertEqual((self.tag("DELETE", image, "b"), self.tags(image)), (204, ["a"]))
        moments.append(self.kept(image).updated_at)
        self.assertEqual(moments, sorted(set(moments)))
        self.assert_refused_tag(404, "DELETE", image, "b")
        self.assertEqual((self.tag("DELETE", image, "a"), self.tags(image)), (204, []))
        listed = self.server.request("GET", "/v2/images?tag=a", MEMBER).json["images"]
        self.assertEqual(listed, [])

    def test_any_text(self) -> None:
        """A tag is one percent-decoded segment of the path."""
        for tag in ("a/b", "\u00fc \U0001f4be", "100%", "?&#", "..", "a%2Fb", "+", "'\"\\", ";x=1", "t" * 255):
            image = self.made()
            self.assertEqual((self.tag("PUT", image, quote(tag, safe="")), self.tags(image)), (204, [tag]))
            self.assertEqual((self.tag("DELETE", image, quote(tag, safe="")), self.tags(image)), (204, []))

    def test_case(self) -> None:
        """Tags that differ in case or accents are different."""
        image = self.made()
        for tag in ("tag", "TAG", "t%C3%A4g"):
            self.assertEqual(self.tag("PUT", image, tag), 204)
        self.assertEqual(self.tags(image), sorted(["tag", "TAG", "t\u00e4g"]))
        self.assertEqual((self.tag("DELETE", image, "tag"), self.tags(image)), (204, ["TAG", "t\u00e4g"]))

    def test_not_a_segment(self) -> None:
        """404 for an empty segment, and for two."""
        image = self.made(tags=["a", "b"])
        for path in ("", "a/b", "a/", "/a", "a%2Fb/c"):
            for method in ("PUT", "DELETE"):
                self.assert_refused_tag(404, method, image, path)
        self.assertEqual(self.server.request("PUT", f"/v2/images/{image}/tags", MEMBER).status, 404)

    def test_refused_texts(self) -> None:
        """400 to add a tag that is too long or has NUL; 404 to remove it, because no image has it. 400 if it is
        not UTF-8.
        """
        image = self.made(tags=["a"])
        for tag in ("t" * 256, "a%00b"):
            self.assert_refused_tag(400, "PUT", image, tag)
            self.assertEqual(self.tag("PUT", ABSENT, tag), 400)
            self.assert_refused_tag(404, "DELETE", image, tag)
            self.assert_refused_tag(403, "DELETE", image, tag, READER)
            self.assertEqual(self.tag("DELETE", ABSENT, tag), 404)
        for method in ("PUT", "DELETE"):
            self.assert_refused_tag(400, method, image, "%FF")

    def test_quota(self) -> None:
        """413 for one tag too many, but not for a tag that the image has."""
        image = self.made(tags=["a", "b", "c"])
        self.assert_refused_tag(413, "PUT", image, "d")
        self.assert_refused_tag(413, "PUT", image, "d", ADMIN)
        self.assert_refused_tag(204, "PUT", image, "c")
        self.assertEqual([self.tag("DELETE", image, "a"), self.tag("PUT", image, "d")], [204, 204])
        self.assertEqual(self.tags(image), ["b", "c", "d"])

    def test_permission(self) -> None:
        """404 for callers that do not see the image, 403 for callers that only see it, as for any change."""
        for visibility, stranger in (("community", 403), ("shared", 404), ("private", 404)):
            image = self.made(visibility=visibility, tags=["a"])
            for method, tag in (("PUT", "b"), ("DELETE", "a")):
                self.assert_refused_tag(401, method, image, tag, {})
                self.assert_refused_tag(stranger, method, image, tag, STRANGER)
                self.assert_refused_tag(403, method, image, tag, READER)
            self.assertEqual((self.tag("PUT", image, "b", ADMIN), self.tags(image)), (204, ["a", "b"]))
            self.assertEqual(self.tag("PUT", ABSENT, "a"), 404)
            self.assertEqual(self.tag("DELETE", ABSENT, "a"), 404)
        fired(self.server.server.core.catalogue.add_member(image := self.made(), "red", 10))
        self.assert_refused_tag(403, "PUT", image, "b", STRANGER)

    def test_requests(self) -> None:
        """400 with a body, 405 for other methods."""
        image = self.made(tags=["a"])
        path = f"/v2/images/{image}/tags/a"
        for method in ("PUT", "DELETE"):
            self.assertEqual(self.server.request(method, path, MEMBER, b"{}").status, 400)
        for method in ("GET", "POST", "PATCH", "HEAD"):
            answer = self.server.request(method, path, MEMBER)
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "DELETE, PUT"))
        self.assertEqual(self.tags(image), ["a"])

    def test_every_status(self) -> None:
        """Tags can be changed in every status. Deleted images have no tags."""
        image = self.made()
        connection = self.begin_put(image, 4, b"da", *(f"{name}: {value}" for name, value in MEMBER.items()))
        self.assertEqual(self.tag("PUT", image, "saving"), 204)
        connection.send(b"ta")
        self.assertEqual(self.final_status(connection), 204)
        self.assertEqual(self.tag("PUT", image, "active"), 204)
        self.server.request("POST", f"/v2/images/{image}/actions/deactivate", MEMBER)
        self.assertEqual(self.tag("DELETE", image, "saving"), 204)
        self.assertEqual(self.tags(image), ["active"])
        self.assertEqual(self.server.request("DELETE", f"/v2/images/{image}", MEMBER).status, 204)
        self.assertEqual(self.tag("PUT", image, "deleted"), 404)
