"""Several stores: `/v2/stores/{store_id}/{image_id}`, `?prefer=`, and uploads into a read-only store."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from imgsvc.errors import ObjectInUse, ObjectMissing, StoreForbidden, StoreUnavailable
from tests.web.location_rigs import DATA, OTHER_URL, SERVICE, URL, LocationTestCase
from tests.web.rigs import ADMIN, MEMBER, MEMORY, READER, STRANGER
from tests.web.test_patch_locations import add

ABSENT = "11111111-2222-3333-4444-555555555555"


class CopyTestCase(LocationTestCase):
    """Images with copies in `local` and `web`; `far` is empty."""

    stores: ClassVar[dict[str, Any]] = {
        "default": "local",
        "local": MEMORY,
        "far": {**MEMORY, "weight": 1},
        "web": {"kind": "http", "weight": 2},
    }

    def both(self) -> str:
        """The id of an image with copies in our store and on the site."""
        image = self.uploaded()
        self.assertEqual(self.patch(image, add()).status, 200)
        return image


class DeleteTests(CopyTestCase):
    """DELETE of one copy."""

    def delete(self, store_id: str, image_id: str, who: dict[str, str] = ADMIN) -> int:
        """The status of the response."""
        return self.server.request("DELETE", f"/v2/stores/{store_id}/{image_id}", who).status

    def test_gone(self) -> None:
        """204 without a body. The data is deleted, and the other copy is read."""
        image = self.both()
        answer = self.server.request("DELETE", f"/v2/stores/local/{image}", ADMIN)
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assert_nothing_kept()
        self.assertEqual(self.shown(image)["stores"], "web")
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", MEMBER).body, DATA)

    def test_read_only_store(self) -> None:
        """The location is removed, and the site is not asked."""
        image = self.both()
        asked = len(self.site.asked)
        self.assertEqual(self.delete("web", image), 204)
        self.assertEqual(len(self.site.asked), asked)
        self.assertEqual(self.shown(image)["stores"], "local")

    def test_last(self) -> None:
        """403 for the last copy, before its store is compared. The data stays."""
        image = self.uploaded()
        for store_id in ("local", "web", "far"):
            self.assertEqual(self.delete(store_id, image), 403)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", MEMBER).body, DATA)

    def test_all_in_one_store(self) -> None:
        """403 if all copies are in the store."""
        image = self.located()
        self.assertEqual(self.patch(image, add(OTHER_URL)).status, 200)
        self.assertEqual(self.delete("web", image), 403)
        self.assertEqual(self.urls(image), [URL, OTHER_URL])

    def test_elsewhere(self) -> None:
        """404 if no copy is in the store."""
        self.assertEqual(self.delete("far", self.both()), 404)

    def test_unknown(self) -> None:
        """409 for an unknown store, before the image is looked up. 404 for an unknown image."""
        image = self.both()
        for each in (image, ABSENT):
            self.assertEqual(self.delete("nowhere", each), 409)
        self.assertEqual(self.delete("local", ABSENT), 404)

    def test_who(self) -> None:
        """401, 403 and 404."""
        image = self.both()
        statuses = [self.delete("local", image, who) for who in ({}, MEMBER, READER, STRANGER)]
        self.assertEqual(statuses, [401, 403, 403, 404])
        shared = self.made(visibility="community")
        self.assertEqual([self.delete("local", shared, who) for who in (STRANGER, SERVICE)], [403, 403])
        self.assertEqual(self.shown(image)["stores"], "web,local")

    def test_status(self) -> None:
        """409 for an image that is not active, before any check of its copies."""
        self.assertEqual(self.delete("local", self.made()), 409)
        image = self.both()
        self.server.request("POST", f"/v2/images/{image}/actions/deactivate", ADMIN)
        self.assertEqual(self.delete("local", image), 409)
        self.assertEqual(self.shown(image)["stores"], "web,local")

    def test_store_that_refuses(self) -> None:
        """403 or 409, and the copy stays."""
        image = self.both()
        store = self.server.store("local")
        for error, status in ((StoreForbidden("local", "x"), 403), (ObjectInUse("local", "x"), 409)):
            store.fail("delete", error)
            self.assertEqual(self.delete("local", image), status)
            store.heal()
            self.assertEqual(self.shown(image)["stores"], "web,local")
        self.assertEqual(self.delete("local", image), 204)
        self.assert_nothing_kept()

    def test_store_that_is_down(self) -> None:
        """204, and the data is deleted later."""
        image = self.both()
        store = self.server.store("local")
        store.fail("delete", StoreUnavailable("local", "x"))
        self.assertEqual(self.delete("local", image), 204)
        self.assertEqual(self.shown(image)["stores"], "web")
        store.heal()
        self.server.run_reaper()
        self.assert_nothing_kept()

    def test_bytes_that_are_gone_already(self) -> None:
        """204"""
        image = self.both()
        self.server.store("local").fail("delete", ObjectMissing("local", "x"), done=True)
        self.assertEqual(self.delete("local", image), 204)
        self.assertEqual(self.shown(image)["stores"], "web")

    def test_form(self) -> None:
        """400 for a body, 405 for another method."""
        image = self.both()
        self.assertEqual(self.server.request("DELETE", f"/v2/stores/local/{image}", ADMIN, b"{}").status, 400)
        answer = self.server.request("GET", f"/v2/stores/local/{image}", ADMIN)
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "DELETE"))
        self.assertEqual(self.shown(image)["stores"], "web,local")


class OneStoreTests(LocationTestCase):
    """A server with one store."""

    stores: ClassVar[dict[str, Any]] = {"local": MEMORY}

    def test_delete(self) -> None:
        """404 for any store."""
        image = self.uploaded()
        for path in (f"local/{image}", f"nowhere/{image}", f"local/{ABSENT}"):
            self.assertEqual(self.server.request("DELETE", f"/v2/stores/{path}", ADMIN).status, 404)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", MEMBER).body, DATA)

    def test_prefer(self) -> None:
        """400"""
        image = self.uploaded()
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file?prefer=local", MEMBER).status, 400)
        self.assertNotIn("stores", self.shown(image))


class PreferTests(CopyTestCase):
    """GET /v2/images/{image_id}/file?prefer="""

    def get(self, image_id: str, prefer: str, who: dict[str, str] = MEMBER) -> tuple[int, list[str]]:
        """The status, and the stores that were read from, in order."""
        read = []
        for name in ("local", "far", "web"):
            self.server.store(name).calls.clear()
        answer = self.server.request("GET", f"/v2/images/{image_id}/file?prefer={prefer}", who)
        for name in ("local", "far", "web"):
            read += [name] * ("reader" in self.server.store(name).calls)
        if answer.status == 200:
            self.assertEqual(answer.body, DATA)
        return answer.status, read

    def test_preferred(self) -> None:
        """The named stores come first. Without the parameter, the store with the highest weight does."""
        image = self.both()
        for prefer, read in (
            ("", ["web"]),
            ("local", ["local"]),
            ("web,local", ["web"]),
            ("local,web", ["local"]),
            ("far,local", ["local"]),
            ("far", ["web"]),
            (" far , local,", ["local"]),
            ("far&prefer=local", ["local"]),
        ):
            self.assertEqual(self.get(image, prefer.replace(" ", "%20")), (200, read), prefer)

    def test_others_follow(self) -> None:
        """If a preferred store fails, the others are tried."""
        image = self.both()
        self.server.store("local").fail("reader", StoreUnavailable("local", "x"))
        self.assertEqual(self.get(image, "local"), (200, ["local", "web"]))

    def test_unknown(self) -> None:
        """400 for a store that does not exist, also for an image without data."""
        for image in (self.both(), self.made()):
            self.assertEqual(self.get(image, "local,nowhere"), (400, []))

    def test_no_data(self) -> None:
        """204, as without a preference."""
        self.assertEqual(self.get(self.made(), "local"), (204, []))

    def test_who(self) -> None:
        """The same callers as for the download itself."""
        image = self.both()
        self.assertEqual([self.get(image, "local", who)[0] for who in ({}, READER, STRANGER)], [401, 403, 404])


class PolicyTests(CopyTestCase):
    """An operator's rules for copies."""

    def setUp(self) -> None:
        file = Path(self.mktemp()).absolute()
        file.write_text(
            '"download_from_store": "role:admin"\n"delete_image_location": "role:member"\n'
            '"get_image_location": "role:admin"\n'
        )
        type(self).more = {"policy": {"file": str(file)}}
        super().setUp()

    def test_prefer(self) -> None:
        """403 for callers that may download, but not choose the store."""
        image = self.both()
        path = f"/v2/images/{image}/file"
        self.assertEqual(self.server.request("GET", path, MEMBER).status, 200)
        self.assertEqual(self.server.request("GET", f"{path}?prefer=local", MEMBER).status, 403)
        self.assertEqual(self.server.request("GET", f"{path}?prefer=local", ADMIN).status, 200)

    def test_delete(self) -> None:
        """403 for callers that may delete locations, but not get them."""
        image = self.both()
        self.assertEqual(self.server.request("DELETE", f"/v2/stores/local/{image}", MEMBER).status, 403)
        self.assertEqual(self.server.request("DELETE", f"/v2/stores/local/{image}", ADMIN).status, 204)

    def test_view(self) -> None:
        """Locations are shown with the image, whatever the rule about getting them says."""
        image = self.both()
        self.assertEqual(len(self.shown(image, MEMBER)["locations"]), 2)
        self.assertEqual(len(self.shown(image, ADMIN)["locations"]), 2)


class UploadTests(CopyTestCase):
    """Uploads into a read-only store."""

    def test_refused(self) -> None:
        """410, and the image is queued for another upload."""
        image = self.made()
        answer = self.server.put(image, DATA, **MEMBER, **{"X-Image-Meta-Store": "web"})
        self.assertEqual(answer.status, 410)
        self.assert_queued(image, **MEMBER)
        self.assertEqual(self.server.put(image, DATA, **MEMBER).status, 204)
        self.assertEqual(self.site.asked, [])

    def test_headers(self) -> None:
        """The response to a new image names all stores, in the order of the configuration, also read-only ones."""
        answer = self.server.request("POST", "/v2/images", MEMBER, b"{}")
        self.assertEqual(answer.headers["openstack-image-store-ids"], "local,far,web")

    def test_location_of_an_upload(self) -> None:
        """The location of an upload is the store's own URL."""
        image = self.uploaded()
        [location] = self.shown(image)["locations"]
        self.assertEqual(location, {"url": f"memory:///{image}", "metadata": {"store": "local"}})
        self.assertEqual(self.shown(self.located(URL))["stores"], "web")
