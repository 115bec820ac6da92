"""PATCH /v2/images/{image_id}"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import uuid4

from attrs import evolve

from imgsvc.model import Status
from imgsvc.web.patch import MOST_OPERATIONS
from tests.support.server import fired
from tests.web.changing import ABSENT, EVERYBODY, V20, V21, ChangeTestCase, add, remove, replace
from tests.web.rigs import ADMIN, BEHIND_PROXY, MEMBER, ONE_STORE, READER, STRANGER, identity

READ_ONLY = (
    *("id", "status", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value", "created_at", "updated_at"),
    *("self", "file", "schema", "direct_url", "stores", "location", "deleted", "deleted_at"),
    *("os_glance_import_task", "os_glance", "os_glance_failed_import"),
)
VALUES: dict[str, Any] = {
    **{"name": "new", "visibility": "private", "protected": True, "os_hidden": True, "tags": ["a", "b"]},
    **{"container_format": "ovf", "disk_format": "qcow2", "min_disk": 2**31 - 1, "min_ram": 1},
}
"""Every base field that the owner may change."""


class MediaTypeTests(ChangeTestCase):
    """The two media types, and others."""

    def test_both(self) -> None:
        """Each media type has its own form of operations. Parameters and case do not matter."""
        image = self.made()
        self.assert_changed(image, [replace("name", "one")], name="one")
        self.assert_changed(image, [{"replace": "/name", "value": "two"}], MEMBER, V20, name="two")
        self.assert_changed(image, [add("a", "1")], MEMBER, f"{V21}; charset=utf-8", a="1")
        self.assert_changed(image, [{"add": "/b", "value": "2"}], MEMBER, V20.upper() + " ;x=y", b="2")

    def test_others(self) -> None:
        """Other types are 415 before the body is read, and the response names the allowed ones."""
        image = self.made()
        for media_type in (None, "", "application/json", "application/json-patch+json", V21 + "x", "a/b;" + V21):
            answer = self.assert_refused(415, image, b"no json", MEMBER, media_type)
            self.assertEqual(answer.headers["accept-patch"], f"{V20}, {V21}")

    def test_one_in_the_form_of_the_other(self) -> None:
        """An operation in the form of the other media type is 400."""
        image = self.made(key="value")
        self.assert_refused(400, image, [{"add": "/name", "value": "x"}])
        self.assert_refused(400, image, [replace("name", "x")], MEMBER, V20)


class ShapeTests(ChangeTestCase):
    """Documents that are not patches."""

    def test_bodies(self) -> None:
        """400 for anything but a JSON array of objects, 413 for a body that is too large."""
        image = self.made()
        for body in (b"", b"{", b"\xff[]", b"{}", b'"x"', b"1", b"null", b"[1]", b'["x"]', b"[null]", b"[[]]"):
            self.assert_refused(400, image, body)
        self.assert_refused(400, image, [{}, replace("name", "x")])
        self.assert_refused(400, image, [replace("name", "x"), {}])
        self.assert_refused(413, image, [add("a", "x" * (1 << 20))])

    def test_operations_of_v21(self) -> None:
        """400 for other operations, and for members that are missing or have the wrong type."""
        image = self.made(key="value")
        path, value = {"path": "/name"}, {"value": "x"}
        for operation in (
            {**path, **value},
            {"op": "replace", **value},
            {"op": "replace", **path},
            {"op": "add", "path": "/new"},
            *({"op": op, **path, **value} for op in ("move", "copy", "test", "Replace", "", None, 1, ["add"], {})),
            *({"op": "replace", "path": wrong, **value} for wrong in (None, 1, ["/name"], {}, True)),
            {"op": "move", "from": "/key", "path": "/other"},
            {"op": "copy", "from": "/key", "path": "/other"},
            {"op": "test", "path": "/key", "value": "value"},
        ):
            self.assert_refused(400, image, [operation])

    def test_operations_of_v20(self) -> None:
        """400 unless exactly one of the three members is there, with a path, and a value if one is to be set."""
        image = self.made(key="value")
        for operation in (
            {"value": "x"},
            {"add": "/a", "replace": "/name", "value": "x"},
            {"add": "/a", "remove": "/key", "value": "x"},
            {"replace": "/name"},
            {"add": "/a"},
            {"add": None, "value": "x"},
            {"remove": 1},
            {"move": "/key", "value": "x"},
        ):
            self.assert_refused(400, image, [operation], MEMBER, V20)

    def test_members_that_do_not_matter(self) -> None:
        """Other members are ignored (RFC 6902, section 4)."""
        image = self.made(key="value")
        self.assert_changed(image, [{**remove("key"), "value": "x", "from": "/a", "comment": 1}], gone=("key",))

    def test_pointers(self) -> None:
        """400 for pointers that are not `/` and one key."""
        image = self.made(key="value")
        pointers = (
            *("", "name", "key/", "/", "//", "//name", "/name/", "/name//x", "/ ", "/ /name", "/name/ /x", "/\t"),
            *("/key~", "/key~2", "/~", "/~x", "/~~0", "/name/x", "/tags/-", "/tags/0", "/key/x/y", "/a/b"),
            *("/locations/0/url", "/locations/0/", "/locations/-/metadata"),
        )
        for pointer in pointers:
            self.assert_refused(400, image, [{"op": "replace", "path": pointer, "value": "x"}])
            self.assert_refused(400, image, [{"op": "remove", "path": pointer}])
            self.assert_refused(400, image, [{"add": pointer, "value": "x"}], MEMBER, V20)

    def test_escapes(self) -> None:
        """`~1` is a slash and `~0` a tilde, in this order. Blanks around a key are stripped."""
        image = self.made(**{"a/b": "1", "a~b": "2", "a~1b": "3", "c d": "4"})
        self.assert_changed(image, [replace("a~1b", "x")], **{"a/b": "x"})
        self.assert_changed(image, [replace("a~0b", "x")], **{"a~b": "x"})
        self.assert_changed(image, [replace("a~01b", "x")], **{"a~1b": "x"})
        self.assert_changed(image, [replace("  c d\t", "x")], **{"c d": "x"})
        self.assert_changed(image, [replace(" name ", "x")], name="x")
        self.assert_changed(image, [add("~0~1\u00fc", "\U0001f4be")], **{"~/\u00fc": "\U0001f4be"})
        self.assert_refused(403, image, [replace(" status ", "active")])

    def test_location_depths(self) -> None:
        """Locations are added and removed one at a time, and replaced as a whole. Anything else is 400."""
        image = self.made()
        location = {"url": "http://x/", "metadata": {}}
        for operation in (add("locations", [location]), remove("locations"), replace("locations/0", location)):
            self.assert_refused(400, image, [operation])

    def test_location_values(self) -> None:
        """400 for values that are not locations."""
        image = self.made()
        for value in ("http://x/", {}, {"url": "http://x/"}, {"url": 1, "metadata": {}}, [], None):
            self.assert_refused(400, image, [add("locations/-", value)])
            self.assert_refused(400, image, [replace("locations", [value])])
        self.assert_refused(400, image, [replace("locations", {})])


class BaseFieldTests(ChangeTestCase):
    """The fields of every image."""

    def test_each(self) -> None:
        """Replace sets each field, with both media types. So does the `add` of v2.1."""
        for key, value in VALUES.items():
            before = self.show(self.made(), MEMBER)[key]
            self.assertNotEqual(before, value)
            self.assert_changed(self.made(), [replace(key, value)], **{key: value})
            self.assert_changed(self.made(), [add(key, value)], **{key: value})
            self.assert_changed(self.made(), [{"replace": f"/{key}", "value": value}], MEMBER, V20, **{key: value})

    def test_all_at_once(self) -> None:
        """One document may set all of them."""
        self.assert_changed(self.made(), [replace(key, value) for key, value in VALUES.items()], **VALUES)

    def test_add_of_v20(self) -> None:
        """409 for the `add` of v2.0: the field always exists, even if it is null."""
        image = self.made(name=None)
        for key, value in {**VALUES, "owner": "blue"}.items():
            self.assert_refused(409, image, [{"add": f"/{key}", "value": value}], MEMBER, V20)

    def test_remove(self) -> None:
        """403."""
        image = self.made(name="a")
        for key in (*VALUES, "owner"):
            self.assert_refused(403, image, [remove(key)])
            self.assert_refused(403, image, [{"remove": f"/{key}"}], ADMIN, V20)

    def test_nulls(self) -> None:
        """Fields that may be null can be set to null."""
        image = self.made(name="a")
        for key in ("name", "container_format", "disk_format"):
            self.assert_changed(image, [replace(key, None)], **{key: None})

    def test_values(self) -> None:
        """400 for values that the schema does not allow. The limits themselves are allowed."""
        image = self.made()
        wrong: dict[str, Any] = {
            "name": [1, True, [], {}, "x" * 256, "a\0b"],
            "visibility": [None, "", "Public", "all", 1, ["public"]],
            "protected": [None, "true", 1, 0, "True"],
            "os_hidden": [None, "false", 1, {}],
            "owner": [1, [], "x" * 256],
            "container_format": ["", "zip", 1, "BARE"],
            "disk_format": ["", "img", 1],
            "min_disk": [-1, 2**31, "1", 1.5, 1.0, None, True],
            "min_ram": [-1, 2**31, 10**30, "1", None, False],
            "tags": [None, "a", {}, [1], ["a", None], ["x" * 256], [["a"]], ["a\0b"]],
        }
        for key, values in wrong.items():
            for value in values:
                for operation in (replace(key, value), add(key, value)):
                    self.assert_refused(400, image, [operation])
                self.assert_refused(400, image, [{"replace": f"/{key}", "value": value}], ADMIN, V20)
        self.assert_changed(image, [replace("name", "\u00fc" * 255)], name="\u00fc" * 255)
        self.assert_changed(image, [replace("min_ram", 2**31 - 1)], min_ram=2**31 - 1)
        self.assert_changed(image, [replace("tags", ["t" * 255])], tags=["t" * 255])

    def test_tags(self) -> None:
        """The whole list is replaced. Duplicates count once, and an empty list removes all."""
        image = self.made(tags=["old", "kept"])
        self.assert_changed(image, [replace("tags", ["new", "kept", "new"])], tags=["kept", "new"])
        self.assert_changed(image, [replace("tags", [])], tags=[])

    def test_formats(self) -> None:
        """Formats are set before there is data. After that they are 403, also for administrators."""
        image = self.made(container_format=None, disk_format=None)
        self.assert_changed(
            image,
            [replace("disk_format", "raw"), replace("container_format", "bare")],
            disk_format="raw",
            container_format="bare",
        )
        connection = self.begin_put(image, 4, b"da", *(f"{name}: {value}" for name, value in MEMBER.items()))
        self.assert_format_is_fixed(image, "saving")
        connection.send(b"ta")
        self.assertEqual(self.final_status(connection), 204)
        self.assert_format_is_fixed(image, "active")
        self.server.request("POST", f"/v2/images/{image}/actions/deactivate", MEMBER)
        self.assert_format_is_fixed(image, "deactivated")

    def assert_format_is_fixed(self, image: str, status: str) -> None:
        """The formats cannot be changed in this status."""
        self.assertEqual(self.show(image, MEMBER)["status"], status)
        for key, value in (("disk_format", "qcow2"), ("container_format", "ovf"), ("disk_format", None)):
            self.assert_refused(403, image, [replace(key, value)])
            self.assert_refused(403, image, [add(key, value)], ADMIN)

    def test_formats_while_importing(self) -> None:
        """They can be changed while an image is importing."""
        image = self.made()
        catalogue = self.server.server.core.catalogue
        queued = self.kept(image)
        fired(catalogue.update(queued, evolve(queued, status=Status.IMPORTING)))
        self.assert_changed(image, [replace("disk_format", "vmdk")], disk_format="vmdk")

    def test_in_every_other_status(self) -> None:
        """All other fields can be changed in every status."""
        image = self.made()
        connection = self.begin_put(image, 4, b"da", *(f"{name}: {value}" for name, value in MEMBER.items()))
        self.assert_changed(image, [replace("name", "saving"), add("a", "1")], name="saving", a="1")
        connection.send(b"ta")
        self.assertEqual(self.final_status(connection), 204)
        self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", MEMBER).body, b"data")
        self.assert_changed(image, [replace("name", "active"), remove("a")], name="active", gone=("a",))
        self.server.request("POST", f"/v2/images/{image}/actions/deactivate", MEMBER)
        self.assert_changed(image, [replace("name", "deactivated")], name="deactivated")

    def test_protected(self) -> None:
        """A protected image may be changed. When its protection is removed, it may be deleted."""
        image = self.made(protected=True)
        self.assertEqual(self.server.request("DELETE", f"/v2/images/{image}", MEMBER).status, 403)
        self.assert_changed(image, [replace("name", "x")], name="x")
        self.assert_changed(image, [replace("protected", False)], protected=False)
        self.assertEqual(self.server.request("DELETE", f"/v2/images/{image}", MEMBER).status, 204)
        self.assertEqual(self.patch(image, [replace("name", "y")]).status, 404)


class PropertyTests(ChangeTestCase):
    """Custom properties."""

    def test_add(self) -> None:
        """`add` creates a property. If it exists, v2.1 overwrites it, and v2.0 is 409."""
        image = self.made(there="1")
        self.assert_changed(image, [add("new", "2")], new="2")
        self.assert_changed(image, [{"add": "/newer", "value": ""}], MEMBER, V20, newer="")
        self.assert_changed(image, [add("there", "3")], there="3")
        self.assert_refused(409, image, [{"add": "/there", "value": "4"}], MEMBER, V20)
        self.assert_refused(409, image, [{"add": "/there", "value": "3"}], MEMBER, V20)

    def test_replace(self) -> None:
        """`replace` sets a property; 409 if it does not exist."""
        image = self.made(there="1")
        self.assert_changed(image, [replace("there", "2")], there="2")
        self.assert_changed(image, [{"replace": "/there", "value": "3"}], MEMBER, V20, there="3")
        self.assert_refused(409, image, [replace("absent", "1")])
        self.assert_refused(409, image, [{"replace": "/absent", "value": "1"}], MEMBER, V20)

    def test_remove(self) -> None:
        """`remove` removes a property; 409 if it does not exist."""
        image = self.made(one="1", two="2")
        self.assert_changed(image, [remove("one")], gone=("one",))
        self.assert_changed(image, [{"remove": "/two"}], MEMBER, V20, gone=("two",))
        self.assert_refused(409, image, [remove("one")])
        self.assert_refused(409, image, [{"remove": "/two"}], MEMBER, V20)

    def test_values(self) -> None:
        """Any string is a value, also the empty one. Anything else is 400, and so are keys of more than 255
        characters.
        """
        image = self.made(a="1")
        self.assert_changed(image, [add("a", "")], a="")
        self.assert_changed(image, [add("k" * 255, "v" * 60_000)], **{"k" * 255: "v" * 60_000})
        for value in (None, 1, 1.5, True, [], {}, ["x"], "a\0b"):
            self.assert_refused(400, image, [add("a", value)])
            self.assert_refused(400, image, [replace("a", value)])
        self.assert_refused(400, image, [add("k" * 256, "v")])
        self.assert_refused(400, image, [add("a\0b", "v")])
        self.assert_refused(400, image, [add("cinder_encryption_key_deletion_policy", "never")])
        self.assert_refused(409, image, [remove("k" * 256)])

    def test_references(self) -> None:
        """The ids of kernel and ramdisk are UUIDs. Null removes them."""
        image, kernel = self.made(), str(uuid4())
        self.assert_refused(400, image, [add("kernel_id", "x")])
        self.assert_refused(400, image, [add("kernel_id", f"{kernel}\n")])
        self.assert_changed(image, [add("kernel_id", kernel)], kernel_id=kernel)
        self.assert_changed(image, [replace("kernel_id", None)], gone=("kernel_id",))
        self.assert_refused(409, image, [replace("kernel_id", None)])

    def test_names_within(self) -> None:
        """Names that the implementation uses internally are keys like any other."""
        image = self.made()
        names = (
            *("image_id", "member", "members", "extra_properties", "properties", "metadata", "claims", "data", "key"),
            *("__class__", "__dict__", "_image", "url", "doomed_at", "updated", "-", "0", "is_public"),
        )
        for name in names:
            self.assert_changed(image, [add(name, "x")], **{name: "x"})
            self.assert_refused(400, image, [add(name, ["x"])])
        self.assert_changed(image, [remove(name) for name in names], gone=names)

    def test_read_only(self) -> None:
        """403 for fields that only the server sets, whatever the operation and the value."""
        image = self.made_active()
        for key in READ_ONLY:
            for value in ("x", None, self.show(image, MEMBER).get(key)):
                for operation in (add(key, value), replace(key, value), remove(key)):
                    self.assert_refused(403, image, [operation])
                    self.assert_refused(403, image, [operation], ADMIN)
            for operation in ({"add": f"/{key}", "value": "x"}, {"remove": f"/{key}"}):
                self.assert_refused(403, image, [operation], MEMBER, V20)

    def test_locations(self) -> None:
        """403 for locations if they are not shown."""
        image = self.made_active()
        location = {"url": "http://x.test/", "metadata": {}}
        for operation in (
            add("locations/-", location),
            replace("locations", [location]),
            replace("locations", []),
            remove("locations/0"),
        ):
            self.assert_refused(403, image, [operation])
            self.assert_refused(403, image, [replace("name", "x"), operation], ADMIN)
        self.assertEqual(self.patch(ABSENT, [remove("locations/0")]).status, 404)


class OrderTests(ChangeTestCase):
    """The order of checks and operations."""

    def test_in_order(self) -> None:
        """Each operation is applied to the result of those before it."""
        image = self.made(a="1")
        self.assert_changed(
            image,
            [add("b", "1"), replace("b", "2"), remove("a"), add("a", "3"), replace("name", "x"), replace("name", "y")],
            b="2",
            a="3",
            name="y",
        )
        self.assert_changed(image, [add("c", "1"), remove("c"), replace("name", "z")], name="z")
        self.assert_refused(409, image, [remove("a"), replace("a", "1")])
        twice = {"add": "/d", "value": "1"}
        self.assert_refused(409, image, [twice, twice], MEMBER, V20)
        self.assert_changed(image, [{"remove": "/a"}, {"add": "/a", "value": "4"}], MEMBER, V20, a="4")

    def test_all_or_nothing(self) -> None:
        """If one operation is refused, none is applied."""
        image = self.made(a="1")
        good = [replace("name", "x"), add("b", "1"), replace("tags", ["t"]), remove("a")]
        for status, operation in (
            (400, replace("min_ram", -1)),
            (403, replace("status", "active")),
            (403, replace("visibility", "public")),
            (409, remove("absent")),
        ):
            self.assert_refused(status, image, [*good, operation])
            self.assert_refused(status, image, [operation, *good])

    def test_checks(self) -> None:
        """The image is looked up first, then permission is checked, then form, read-only keys and values."""
        secret, seen = self.made(visibility="private"), self.made(visibility="community")
        for status, document in (
            (400, [{"op": "move"}]),
            (400, [replace("a/b", "x")]),
            (403, [replace("status", 1)]),
            (400, [replace("name", 1)]),
            (400, [add("a", 1)]),
        ):
            for image, caller, expected in (
                (ABSENT, STRANGER, 404),
                (secret, STRANGER, 404),
                (seen, STRANGER, 403),
                (seen, MEMBER, status),
            ):
                self.assertEqual(self.patch(image, document, caller).status, expected)
        good = [replace("name", "x"), remove("absent")]
        self.assertEqual(
            [self.patch(image, good, STRANGER).status for image in (ABSENT, secret, seen)], [404, 404, 403]
        )
        self.assertEqual(self.patch("x" * 300, good).status, 404)

    def test_nothing(self) -> None:
        """An empty patch returns the image unchanged, to everybody who sees it."""
        image = self.made(visibility="community")
        before = self.kept(image)
        for headers in EVERYBODY:
            answer = self.patch(image, [], headers)
            self.assertEqual((answer.status, answer.json), (200, self.show(image, headers)))
        self.assertEqual(self.kept(image), before)
        self.assertEqual(self.patch(ABSENT, []).status, 404)
        self.assertEqual(self.patch(self.made(visibility="private"), [], STRANGER).status, 404)

    def test_no_change(self) -> None:
        """A patch without effect does not change the image or its updated_at."""
        image = self.made(name="x", tags=["b", "a"], a="1")
        before = self.kept(image)
        document = [replace("name", "x"), replace("tags", ["a", "b"]), add("a", "1"), add("b", "2"), remove("b")]
        self.assertEqual(self.patch(image, document).status, 200)
        self.assertEqual(self.kept(image), before)

    def test_many(self) -> None:
        """As many operations as are allowed are one change, and one more is refused."""
        image = self.made()
        keys = [f"key {number}" for number in range(499)]
        document = [*(add(key, "v") for key in keys), *(remove(key) for key in keys), replace("name", "x")]
        self.assertEqual(len(document), MOST_OPERATIONS - 1)
        self.assert_changed(image, [*document, replace("min_ram", 1)], name="x", min_ram=1)
        answer = self.assert_refused(413, image, [*document, replace("name", "y"), replace("min_ram", 2)])
        self.assertIn("1000 operations, not 1001", answer.body.decode())
        self.assert_refused(413, image, [{"op": "move"}] * 1001)

    def test_long_path(self) -> None:
        """The longest key may be escaped completely. A path that is longer than any key is refused, and not
        repeated.
        """
        image = self.made()
        self.assert_changed(image, [add("~1" * 255, "v")], **{"/" * 255: "v"})
        answer = self.assert_refused(400, image, [add("~1" * 100_000, "v")])
        self.assertLess(len(answer.body), 200)


class PermissionTests(ChangeTestCase):
    """Which callers may change what."""

    def test_each(self) -> None:
        """Members of the owning project and administrators may change the image. Others who see it get 403, the
        rest 404.
        """
        document = [replace("name", "x")]
        for visibility, stranger in (("community", 403), ("shared", 404), ("private", 404)):
            image = self.made(visibility=visibility)
            self.assert_refused(401, image, document, {})
            self.assert_refused(stranger, image, document, STRANGER)
            self.assert_refused(403, image, document, READER)
            self.assert_changed(image, document, MEMBER, name="x")
            self.assert_changed(image, [replace("name", "y")], ADMIN, name="y")
        public = self.made(ADMIN, visibility="public")
        self.assert_refused(403, public, document, MEMBER)

    def test_members_of_the_image(self) -> None:
        """Members of the image may not change it."""
        image = self.made()
        fired(self.server.server.core.catalogue.add_member(image, "red", 10))
        self.assert_refused(403, image, [replace("name", "x")], STRANGER)
        self.assert_refused(403, image, [add("a", "x")], STRANGER)

    def test_visibility(self) -> None:
        """Only administrators make an image public. The owner may set all else, and make a public image private
        again.
        """
        image = self.made()
        for value in ("private", "community", "shared"):
            self.assert_changed(image, [replace("visibility", value)], visibility=value)
        self.assert_refused(403, image, [replace("visibility", "public")])
        self.assert_refused(403, image, [add("visibility", "public")])
        self.assert_changed(image, [replace("visibility", "public")], ADMIN, visibility="public")
        self.assert_refused(403, image, [replace("visibility", "private")], STRANGER)
        self.assert_changed(image, [replace("visibility", "private")], visibility="private")
        self.assertEqual(self.patch(image, [replace("name", "x")], STRANGER).status, 404)

    def test_owner(self) -> None:
        """Only administrators give an image to another project, with any operation. Others get 403, and nothing
        is changed.
        """
        image = self.made()
        for owner in ("red", "blue", "", None):
            for operation in (replace("owner", owner), add("owner", owner)):
                self.assert_refused(403, image, [operation])
                self.assert_refused(403, image, [replace("name", "x"), operation])
            self.assert_refused(403, image, [{"replace": "/owner", "value": owner}], MEMBER, V20)
        self.assert_changed(image, [replace("owner", "red")], ADMIN, owner="red")
        self.assertEqual(self.patch(image, [replace("name", "x")]).status, 404)
        self.assert_changed(image, [replace("name", "x")], STRANGER, name="x")
        self.assert_changed(image, [add("owner", "blue")], ADMIN, owner="blue")

    def test_no_owner(self) -> None:
        """An empty owner means none. Then only administrators change the image."""
        for nobody in ("", None):
            image = self.made()
            self.assert_changed(image, [replace("owner", nobody)], ADMIN, owner=None)
            self.assert_refused(403, image, [replace("name", "x")])
            self.assert_refused(403, image, [replace("name", "x")], identity(None, "member", "reader"))
            self.assert_changed(image, [replace("name", "x")], ADMIN, name="x")


class QuotaTests(ChangeTestCase):
    """The limits of one image."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "identity": BEHIND_PROXY,
        "quotas": {"properties": 3, "tags": 2},
    }

    def test_tags(self) -> None:
        """413 for more tags. Duplicates count once."""
        image = self.made()
        self.assert_changed(image, [replace("tags", ["a", "b", "a"])], tags=["a", "b"])
        self.assert_refused(413, image, [replace("tags", ["a", "b", "c"])])
        self.assert_refused(413, image, [replace("tags", ["a", "b", "c"])], ADMIN)
        self.assert_changed(image, [replace("tags", ["a", "b", "c"]), replace("tags", ["c"])], tags=["c"])

    def test_properties(self) -> None:
        """413 if there are too many properties at the end. The steps between do not count."""
        image = self.made(a="1", b="1")
        self.assert_changed(image, [add("c", "1")], c="1")
        self.assert_refused(413, image, [add("d", "1")])
        self.assert_refused(413, image, [replace("name", "x"), add("d", "1")], ADMIN)
        self.assert_changed(image, [add("d", "1"), remove("a")], d="1", gone=("a",))
        self.assert_changed(image, [add("c", "2")], c="2")

    def test_over_the_limit_already(self) -> None:
        """An image that has too many, because the limit was higher, may be changed as long as none is added."""
        image = self.made(a="1", b="1", c="1", tags=["s", "t"])
        limits = self.server.config.quotas
        self.assertEqual((limits.properties, limits.tags), (3, 2))
        before = self.kept(image)
        more = evolve(before, properties={**before.properties, "d": "1", "e": "1"}, tags=("s", "t", "u"))
        fired(self.server.server.core.catalogue.update(before, more))
        self.assert_changed(image, [replace("a", "2")], a="2")
        self.assert_changed(image, [replace("name", "x"), remove("e")], name="x", gone=("e",))
        self.assert_refused(413, image, [remove("d"), add("f", "1")])
        self.assert_refused(413, image, [replace("tags", ["s", "t", "v"])])

    def test_own_properties(self) -> None:
        """Properties that the server sets are not counted."""
        image = self.made(a="1", b="1")
        before = self.kept(image)
        own = {"os_glance_failed_import": "", "os_glance_importing_to_stores": ""}
        fired(self.server.server.core.catalogue.update(before, evolve(before, properties={**before.properties, **own})))
        self.assert_changed(image, [add("c", "1")], c="1")
        self.assert_refused(413, image, [add("d", "1")])
