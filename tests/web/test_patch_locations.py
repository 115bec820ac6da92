"""PATCH of `locations`, and which clients see them."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from imgsvc.errors import ObjectInUse, StoreForbidden, StoreUnavailable
from tests.web.location_rigs import DATA, HOST, OTHER_URL, SERVICE, URL, V21, LocationTestCase, digest
from tests.web.rigs import ADMIN, DATA_FIELDS, MEMBER, MEMORY, READER, STRANGER


def add(url: Any = URL, path: str = "/locations/-", **more: Any) -> dict[str, Any]:
    """An operation that adds a location."""
    return {"op": "add", "path": path, "value": {"url": url, "metadata": {}, **more}}


def replace(*locations: dict[str, Any]) -> dict[str, Any]:
    """An operation that replaces the locations."""
    return {"op": "replace", "path": "/locations", "value": list(locations)}


def remove(index: Any) -> dict[str, Any]:
    """An operation that removes a location."""
    return {"op": "remove", "path": f"/locations/{index}"}


def validation(**values: str) -> dict[str, Any]:
    """The validation_data of DATA, with some values changed."""
    return {
        "validation_data": {"os_hash_algo": "sha512", "os_hash_value": digest("sha512"), **values},
    }


class PatchTestCase(LocationTestCase):
    """Checks that refused patches change nothing."""

    def refused(self, status: int, image_id: str, *operations: dict[str, Any], who: dict[str, str] = MEMBER) -> None:
        """The status. Nothing has changed, also in the stores."""
        before = self.shown(image_id)
        calls = self.server.store("local").calls
        calls.clear()
        answer = self.patch(image_id, *operations, who=who)
        self.assertEqual((answer.status, operations), (status, operations), answer.body)
        self.assert_unchanged(image_id, before)
        self.assertNotIn("delete", calls)

    def both(self) -> str:
        """The id of an image with copies in our store and on the site."""
        image = self.uploaded()
        self.assertEqual(self.patch(image, add()).status, 200)
        return image


class AddTests(PatchTestCase):
    """add /locations/-"""

    def test_queued(self) -> None:
        """A queued image becomes active, with the size of the object. Nothing is read."""
        image = self.made()
        answer = self.patch(image, add())
        self.assertEqual(answer.status, 200, answer.body)
        shown = answer.json
        self.assertEqual(("active", len(DATA), None), (shown["status"], shown["size"], shown["os_hash_value"]))
        self.assertEqual(shown["locations"], [{"url": URL, "metadata": {"store": "web"}}])
        self.assertEqual([line.split()[0] for line in self.site.asked], ["HEAD"])
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", MEMBER).body, DATA)

    def test_active(self) -> None:
        """A copy is added. Metadata is kept, except the name of the store, which the server sets."""
        image = self.uploaded()
        given = {"url": URL, "metadata": {"rack": "7", "store": "whatever"}}
        answer = self.patch(image, {"op": "add", "path": "/locations/1", "value": given})
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.json["locations"][1], {"url": URL, "metadata": {"rack": "7", "store": "web"}})
        self.assertEqual(answer.json["stores"], "local,web")
        self.assertEqual(answer.json["checksum"], digest("md5"))

    def test_with_other_edits(self) -> None:
        """Formats and other fields may be set in the same patch."""
        image = self.made(disk_format=None)
        formats = {"op": "replace", "path": "/disk_format", "value": "raw"}
        name = {"op": "replace", "path": "/name", "value": "disk"}
        answer = self.patch(image, formats, add(), name, add(OTHER_URL))
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(("active", "disk"), (answer.json["status"], answer.json["name"]))
        self.assertEqual(self.urls(image), [URL, OTHER_URL])

    def test_validation(self) -> None:
        """On a queued image the values are set. They are never shown with the location."""
        image = self.made()
        answer = self.patch(image, add(**validation(checksum=digest("md5").upper())))
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(
            (digest("md5"), "sha512", digest("sha512")),
            tuple(answer.json[name] for name in ("checksum", "os_hash_algo", "os_hash_value")),
        )
        self.assertNotIn("validation_data", json.dumps(answer.json))

    def test_validation_of_an_active_image(self) -> None:
        """Values that the image has are accepted. Other values, and new ones, are 409."""
        image = self.uploaded()
        self.assertEqual(self.patch(image, add(**validation(checksum=digest("md5")))).status, 200)
        for wrong in (
            validation(os_hash_value=digest("sha512", b"other")),
            validation(checksum=digest("md5", b"other")),
        ):
            self.refused(409, image, add(OTHER_URL, **wrong))
        without = self.made()
        self.assertEqual(self.patch(without, add()).status, 200)
        self.refused(409, without, add(OTHER_URL, **validation()))

    def test_wrong_validation(self) -> None:
        """400 for values that are missing, not hex, unknown, or of another algorithm."""
        image = self.made()
        for data in (
            {},
            {"os_hash_algo": "sha512"},
            {"os_hash_value": digest("sha512")},
            {"os_hash_algo": "sha256", "os_hash_value": digest("sha256")},
            {"os_hash_algo": "sha512", "os_hash_value": "xyz"},
            {"os_hash_algo": "sha512", "os_hash_value": digest("sha512")[:-2]},
            {"os_hash_algo": "sha512", "os_hash_value": digest("sha512"), "checksum": "12"},
            {"os_hash_algo": "sha512", "os_hash_value": digest("sha512"), "more": "x"},
        ):
            self.refused(400, image, add(validation_data=data))

    def test_form(self) -> None:
        """400 for invalid values and indices."""
        image = self.made()
        for url in (None, 1, "", "x" * 256, "http://images.test/" + "x" * 255):
            self.refused(400, image, add(url))
        for value in (None, "x", [], {"url": URL}, {"metadata": {}}, {"url": URL, "metadata": {"a": 1}}):
            self.refused(400, image, {"op": "add", "path": "/locations/-", "value": value})
        for index in ("1", "-1", "x", "00000000000", "\u0660"):
            self.refused(400, image, add(path=f"/locations/{index}"))
        self.refused(400, image, add(path="/locations"))
        self.refused(400, image, add(path="/locations/0/url"))

    def test_urls(self) -> None:
        """400 for URLs of our own stores, of no store, and those that the guard refuses, for any caller."""
        image = self.uploaded()
        for url in (
            "file:///etc/passwd",
            "filesystem:///etc/passwd",
            f"memory:///{image}",
            "swift+config://ref/container/object",
            "cinder://volume",
            "http://localhost:22/",
            "http://169.254.169.254/",
            "http://user:secret@images.test/disk",
        ):
            self.refused(400, image, add(url))
            self.refused(400, image, add(url), who=ADMIN)

    def test_own_object(self) -> None:
        """400 for the object in our store with the image's id, because uploads put it there."""
        image = self.made()
        url = self.stored(image)
        for who in (MEMBER, ADMIN):
            self.refused(400, image, add(url), who=who)

    def test_nothing_there(self) -> None:
        """400 if the object does not exist, is empty, or has another size than the image."""
        image = self.uploaded(DATA + b"x")
        for url in ("http://images.test/nothing", "http://images.test/empty", "http://nowhere.test/", URL):
            self.refused(400, image, add(url))
        self.site.status = 500
        self.refused(400, self.made(), add())

    def test_twice(self) -> None:
        """400 for a URL that the image already has."""
        image = self.both()
        self.refused(400, image, add())
        self.refused(400, image, add(OTHER_URL), add(OTHER_URL))

    def test_formats(self) -> None:
        """400 for a queued image without formats."""
        self.refused(400, self.made(container_format=None), add())

    def test_status(self) -> None:
        """409 for images that are neither queued nor active."""
        image = self.uploaded()
        self.server.request("POST", f"/v2/images/{image}/actions/deactivate", ADMIN)
        self.refused(409, image, add())
        self.refused(409, image, replace({"url": URL, "metadata": {}}))
        self.assertEqual(self.site.asked, [])

    def test_who(self) -> None:
        """403 and 404. The site is not asked for callers without permission."""
        image, shared = self.uploaded(), self.made(visibility="community")
        self.refused(403, image, add(), who=READER)
        self.refused(403, shared, add(), who=STRANGER)
        self.refused(403, shared, add(), who=SERVICE)
        self.refused(404, image, add(), who=STRANGER)
        self.assertEqual(self.site.asked, [])

    def test_changed_meanwhile(self) -> None:
        """Changes of the image while the site was asked are respected."""
        image = self.made()
        held: list[Any] = []
        self.network.servers[HOST, 80] = held.append
        connection = self.begin("PATCH", f"/v2/images/{image}", [add()], **{"Content-Type": V21})
        self.assertEqual(self.server.put(image, b"mine", **MEMBER).status, 204)
        self.site(held[0])
        self.network.advance(0)
        self.assertEqual(self.final_status(connection), 400)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", MEMBER).body, b"mine")


class QuotaTests(PatchTestCase):
    """The number of locations."""

    more: ClassVar[dict[str, Any]] = {"quotas": {"locations": 2, "user_storage": 3 * len(DATA)}}

    def test_number(self) -> None:
        """413 for one more than allowed, in one patch or in several."""
        image = self.both()
        self.refused(413, image, add(OTHER_URL))
        self.site.objects["/third"] = DATA
        self.refused(413, self.made(), add(), add(OTHER_URL), add("http://images.test/third"))

    def test_storage(self) -> None:
        """413 if the copies take more than the owner may use."""
        self.both()
        image = self.made()
        self.assertEqual(self.patch(image, add()).status, 200)
        self.refused(413, image, add(OTHER_URL))

    def test_storage_at_once(self) -> None:
        """413 if there is room for each copy of one patch, but not for all."""
        self.both()
        self.refused(413, self.made(), add(), add(OTHER_URL))


class ReplaceTests(PatchTestCase):
    """replace /locations"""

    def test_metadata(self) -> None:
        """The metadata of the same URLs may be changed, in any order."""
        image = self.both()
        ours = self.urls(image)[0]
        answer = self.patch(
            image, replace({"url": URL, "metadata": {"a": "b"}}, {"url": ours, "metadata": {"store": "x"}})
        )
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(
            answer.json["locations"],
            [{"url": ours, "metadata": {"store": "local"}}, {"url": URL, "metadata": {"a": "b", "store": "web"}}],
        )
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", MEMBER).body, DATA)

    def test_queued(self) -> None:
        """A queued image gets all of them, and becomes active."""
        image = self.made()
        answer = self.patch(image, replace({"url": URL, "metadata": {}}, {"url": OTHER_URL, "metadata": {}}))
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual((answer.json["status"], answer.json["size"]), ("active", len(DATA)))
        self.assertEqual(self.urls(image), [URL, OTHER_URL])

    def test_validation(self) -> None:
        """Values that the image has are accepted. Others are 409, and nothing changes."""
        image = self.located()
        one = {"url": URL, "metadata": {"a": "b"}}
        self.assertEqual(self.patch(image, replace({**one, **validation()})).status, 200)
        self.refused(409, image, replace({**one, **validation(os_hash_value=digest("sha512", b"other"))}))

    def test_refused(self) -> None:
        """403 for an empty list, 400 for other URLs, fewer, more, or the same one twice."""
        image = self.both()
        ours = self.urls(image)[0]
        one, two, three = ({"url": url, "metadata": {}} for url in (ours, URL, OTHER_URL))
        self.refused(403, image, replace())
        for wrong in ([one], [two], [one, three], [one, two, three], [one, two, two]):
            self.refused(400, image, replace(*wrong))
        self.refused(400, self.made(), replace(two, two))
        self.refused(403, image, replace(one, two), who=READER)


class RemoveTests(PatchTestCase):
    """remove /locations/N, for administrators."""

    def test_ours(self) -> None:
        """The data in the store is deleted, and the other copy is read."""
        image = self.both()
        answer = self.patch(image, remove(0), who=ADMIN)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(self.urls(image), [URL])
        self.assert_nothing_kept()
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", MEMBER).body, DATA)

    def test_of_the_site(self) -> None:
        """The location is removed. The data on the site is not deleted, because it is not ours."""
        image = self.both()
        self.assertEqual(self.patch(image, remove(1), who=ADMIN).status, 200)
        self.assertEqual(len(self.urls(image)), 1)
        self.assertIn("/disk", self.site.objects)

    def test_replaced(self) -> None:
        """In one patch a copy may replace another, also a removed one."""
        image = self.both()
        self.assertEqual(self.patch(image, add(OTHER_URL), remove(1), who=ADMIN).status, 200)
        self.assertEqual(self.urls(image)[1:], [OTHER_URL])
        self.assertEqual(self.patch(image, remove(1), add(OTHER_URL), who=ADMIN).status, 200)
        self.assertEqual(self.urls(image)[1:], [OTHER_URL])

    def test_refused(self) -> None:
        """403 for the last one and for non-administrators, 400 for one that does not exist, 409 for the wrong
        status.
        """
        image, single, queued = self.both(), self.uploaded(), self.made()
        self.refused(403, single, remove(0), who=ADMIN)
        self.refused(403, single, remove(7), who=ADMIN)
        self.refused(403, image, remove(0), remove(0), who=ADMIN)
        for who in (MEMBER, READER):
            self.refused(403, image, remove(1), who=who)
        self.refused(404, image, remove(1), who=STRANGER)
        for index in ("2", "-", "-1", "x"):
            self.refused(400, image, remove(index), who=ADMIN)
        self.refused(400, image, {"op": "remove", "path": "/locations"}, who=ADMIN)
        self.refused(409, queued, remove(0), who=ADMIN)
        self.server.request("POST", f"/v2/images/{image}/actions/deactivate", ADMIN)
        self.refused(409, image, remove(0), who=ADMIN)

    def test_store_that_refuses(self) -> None:
        """403 or 409 if the store refuses, and the copy stays. A store that is down deletes the data later."""
        image = self.both()
        store = self.server.store("local")
        before = self.urls(image)
        for error, status in ((StoreForbidden("local", "x"), 403), (ObjectInUse("local", "x"), 409)):
            store.fail("delete", error)
            self.assertEqual(self.patch(image, remove(0), who=ADMIN).status, status)
            store.heal()
            self.server.run_reaper()
            self.assertEqual(self.urls(image), before)
        store.fail("delete", StoreUnavailable("local", "x"))
        self.assertEqual(self.patch(image, remove(0), who=ADMIN).status, 200)
        self.assertEqual(self.urls(image), [URL])
        store.heal()
        self.server.run_reaper()
        self.assert_nothing_kept()


class ViewTests(PatchTestCase):
    """Which clients see locations."""

    stores: ClassVar[dict[str, Any]] = {
        "default": "local",
        "local": MEMORY,
        "web": {"kind": "http", "weight": 5},
    }

    def test_order(self) -> None:
        """The location in the store with the highest weight comes first, in every list, and is read first."""
        image = self.both()
        shown = self.shown(image, MEMBER)
        self.assertEqual([each["url"] for each in shown["locations"]], [URL, f"memory:///{image}"])
        self.assertEqual((shown["stores"], shown["direct_url"]), ("web,local", URL))
        [listed] = self.server.request("GET", "/v2/images", MEMBER).json["images"]
        self.assertEqual(listed, shown)
        got = self.server.request("GET", f"/v2/images/{image}/locations", ADMIN).json
        self.assertEqual(got, shown["locations"])
        calls = self.server.store("local").calls
        calls.clear()
        self.server.request("GET", f"/v2/images/{image}/file", MEMBER)
        self.assertEqual(calls, [])

    def test_none(self) -> None:
        """A queued image has an empty list, and none of the other fields."""
        shown = self.shown(self.made())
        self.assertEqual(shown["locations"], [])
        self.assertEqual(shown.keys() & {"direct_url", "stores"}, set())

    def test_deactivated(self) -> None:
        """Only administrators see any of it while the image is deactivated."""
        image = self.both()
        names = {"locations", "direct_url", "stores"}
        self.server.request("POST", f"/v2/images/{image}/actions/deactivate", ADMIN)
        self.assertEqual(self.shown(image, MEMBER).keys() & names, set())
        self.assertEqual(self.shown(image, ADMIN).keys() & names, names)
        self.server.request("POST", f"/v2/images/{image}/actions/reactivate", ADMIN)
        self.assertEqual(self.shown(image, MEMBER).keys() & names, names)

    def test_others(self) -> None:
        """Everybody who sees the image sees its location, because compute hosts ask with the token of their user."""
        image = self.made(visibility="community")
        self.patch(image, add())
        shown = self.shown(image, STRANGER)
        self.assertEqual(shown["locations"], [{"url": URL, "metadata": {"store": "web"}}])
        self.assertEqual((shown["direct_url"], shown["stores"]), (URL, "web"))


class HiddenTests(PatchTestCase):
    """show_locations and show_direct_url are off."""

    images: ClassVar[dict[str, Any]] = {"show_locations": False, "show_direct_url": False}

    def test_patch(self) -> None:
        """403, for any caller."""
        image = self.uploaded()
        for operation in (add(), replace({"url": URL, "metadata": {}}), replace(), remove(0)):
            self.refused(403, image, operation, who=ADMIN)

    def test_view(self) -> None:
        """The image has neither field, but the stores."""
        shown = self.shown(self.uploaded())
        self.assertEqual(shown.keys() & {"locations", "direct_url"}, set())
        self.assertEqual(shown["stores"], "local")

    def test_new_api(self) -> None:
        """Registering by location works all the same."""
        image = self.located()
        shown = self.shown(image)
        self.assertEqual((shown["status"], shown["checksum"]), ("active", digest("md5")))
        self.assertTrue({shown[name] for name in DATA_FIELDS} - {None})


class CreateTests(PatchTestCase):
    """POST /v2/images"""

    def test_reserved(self) -> None:
        """403: a new image has no locations."""
        for key, value in (("locations", []), ("direct_url", URL), ("stores", "web")):
            body = json.dumps({key: value}).encode()
            self.assertEqual(self.server.request("POST", "/v2/images", MEMBER, body).status, 403, key)
