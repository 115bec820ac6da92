"""GET /v2/images"""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.server import Answer
from tests.web.rigs import ADMIN, BEHIND_PROXY, MEMBER, ONE_STORE, READER, STRANGER, ApiTestCase, identity

PARAMETERS = (
    *("name", "id", "status", "size", "size_min", "tag", "os_hidden", "created_at", "sort", "sort_key", "sort_dir"),
    *("limit", "marker", "visibility", "member_status", "owner", "protected", "x"),
)


class ListTestCase(ApiTestCase):
    """Tests of lists of images."""

    def get(self, *query: tuple[str, Any], headers: dict[str, str] | None = None) -> Answer:
        """The response to a query."""
        text = f"?{urlencode(query)}" if query else ""
        return self.server.request("GET", f"/v2/images{text}", headers)

    def names(self, *query: tuple[str, Any], headers: dict[str, str] | None = None) -> list[str]:
        """The names of the images on the page."""
        answer = self.get(*query, headers=headers)
        self.assertEqual(answer.status, 200, answer.body)
        return [image["name"] for image in answer.json["images"]]

    def refused(self, *query: tuple[str, Any]) -> None:
        """The query is refused with 400."""
        self.assertEqual(self.get(*query).status, 400, query)

    def made(self, *names: str, **fields: Any) -> list[str]:
        """Create images. Returns their ids."""
        return [self.server.image(name=name, **fields)["id"] for name in names]


class PageTests(ListTestCase):
    """Pages, and the links between them."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "api": {"limit_default": 3, "limit_max": 5}}

    def test_nothing(self) -> None:
        """A list without images."""
        answer = self.get()
        self.assertEqual(answer.json, {"images": [], "first": "/v2/images", "schema": "/v2/schemas/images"})
        self.assertEqual(answer.headers["content-type"], "application/json")

    def test_whole_images(self) -> None:
        """An image in a list is the same as alone."""
        (image,) = self.made("a", tags=["x", "y"], os_distro="debian")
        self.server.put(image, b"data")
        self.assertEqual(self.get().json["images"], [self.show(image)])

    def test_newest_first(self) -> None:
        """The default order and the default limit."""
        self.made("a", "b", "c", "d")
        self.assertEqual(self.names(), ["d", "c", "b"])

    def test_limit(self) -> None:
        """A page has as many images as requested, at most the configured number, and none for 0."""
        self.made(*"abcdef")
        for limit, number in ((1, 1), (5, 5), (6, 5), (10**18, 5), (10**30, 5), (0, 0)):
            self.assertEqual(len(self.names(("limit", limit))), number)
        self.assertNotIn("next", self.get(("limit", 0)).json)
        for limit in ("-1", "x", "", "1.5", " 1", "\u0661", "9" * 5000):
            self.refused(("limit", limit))

    def walk(self, *query: tuple[str, Any]) -> list[str]:
        """The names on all pages."""
        path, names = f"/v2/images?{urlencode(query)}", []
        for _ in range(20):
            page = self.server.request("GET", path).json
            names += [image["name"] for image in page["images"]]
            self.assertTrue(page["first"].startswith("/v2/images"))
            if "next" not in page:
                return names
            path = page["next"]
            self.assertTrue(path.startswith("/v2/images?"))
        raise AssertionError("no end")

    def test_walk(self) -> None:
        """All pages together have all images once, in every order."""
        self.made(*"cabdefg")
        self.assertEqual(self.walk(("limit", 2)), list("gfedbac"))
        self.assertEqual(self.walk(("limit", 2), ("sort", "name:asc")), list("abcdefg"))
        self.assertEqual(self.walk(("limit", 2), ("sort", "name")), list("gfedcba"))
        self.assertEqual(self.walk(("limit", 2), ("sort", "disk_format:asc,name:asc")), list("abcdefg"))
        self.assertEqual(self.walk(("limit", 7)), list("gfedbac"))

    def test_links_keep_the_query(self) -> None:
        """Links repeat every parameter, also repeated ones. The marker is the id of the last image."""
        ids = self.made("a", "b", "c", tags=["x", "y z"], **{"key&=": "v\u00fc"})
        query = (("tag", "x"), ("tag", "y z"), ("sort_key", "name"), ("sort_key", "id"), ("sort_dir", "asc"))
        query = (*query, ("key&=", "v\u00fc"), ("limit", "2"))
        page = self.get(*query).json
        self.assertEqual([image["id"] for image in page["images"]], ids[:2])
        self.assertEqual(sorted(parse_qsl(urlsplit(page["first"]).query)), sorted(query))
        self.assertEqual(sorted(parse_qsl(urlsplit(page["next"]).query)), sorted([*query, ("marker", ids[1])]))
        last = self.server.request("GET", page["next"]).json
        self.assertEqual([image["id"] for image in last["images"]], ids[2:])
        self.assertEqual(last["first"], page["first"])
        self.assertNotIn("next", last)

    def test_marker(self) -> None:
        """A marker that is not the id of an image is 400. A deleted image keeps its place."""
        (image,) = self.made("a")
        self.assertEqual(self.names(("marker", image)), [])
        self.made("b")
        self.server.request("DELETE", f"/v2/images/{image}")
        self.assertEqual(self.names(("marker", image), ("sort_dir", "asc")), ["b"])
        for marker in (str(uuid4()), "x", "", "x" * 300):
            self.refused(("marker", marker))


class FilterTests(ListTestCase):
    """Which images are listed."""

    def test_equal(self) -> None:
        """Fields that must be equal."""
        (image,) = self.made("a", min_disk=3, min_ram=64, owner="blue", os_distro="debian", tags=["x", "y"])
        self.server.put(image, b"data")
        self.made("b", disk_format="qcow2", container_format="ova", min_disk=5)
        shown = self.show(image)
        for key in ("id", "name", "status", "checksum", "os_hash_value", "min_ram", "owner", "size", "virtual_size"):
            self.assertEqual(self.names((key, shown[key])), ["a"], key)
        for key, value in (
            ("disk_format", "raw"),
            ("container_format", "bare"),
            ("os_distro", "debian"),
            ("min_disk", 3),
        ):
            self.assertEqual(self.names((key, value)), ["a"], key)
        self.assertEqual(self.names(("os_hash_algo", "sha512")), ["a"])
        self.assertEqual(self.names(("name", "a"), ("status", "queued")), [])
        self.assertEqual(self.names(("nothing", "x")), [])
        self.assertEqual(self.names(("properties", "x")), [])

    def test_numbers(self) -> None:
        """Minimum and maximum. A value that is not a number is 400."""
        for size in (1, 5, 9):
            (image,) = self.made(str(size), min_disk=size, min_ram=size)
            self.server.put(image, bytes(size))
        self.made("none")
        for key in ("size", "min_disk", "min_ram", "virtual_size"):
            self.assertEqual(self.names((f"{key}_min", 5)), ["9", "5"], key)
            self.assertEqual(self.names((f"{key}_min", 5), (f"{key}_max", 8)), ["5"], key)
            for value in (-1, -(10**40), 10**40):
                self.assertEqual(self.names((f"{key}_min", value), ("size_min", 1)), ["9", "5", "1"] * (value < 0), key)
                self.assertEqual(self.names((f"{key}_max", value), ("size_min", 1)), ["9", "5", "1"] * (value > 0), key)
                self.assertEqual(self.names((key, value)), [], key)
            for value in ("x", "", "1.5", "--1", "9" * 5000):
                self.refused((f"{key}_max", value))
                self.refused((key, value))

    def test_tags(self) -> None:
        """Images must have all the tags."""
        self.made("a", tags=["x", "y"])
        self.made("b", tags=["y"])
        self.assertEqual(self.names(("tag", "y")), ["b", "a"])
        self.assertEqual(self.names(("tag", "y"), ("tag", "x")), ["a"])
        self.assertEqual(self.names(("tag", "x,y")), [])

    def test_flags(self) -> None:
        """`os_hidden` is accepted in any case, `protected` in lower case only."""
        self.made("seen")
        self.made("hidden", os_hidden=True)
        self.made("safe", protected=True)
        self.assertEqual(self.names(), ["safe", "seen"])
        for value in ("true", "True", "TRUE"):
            self.assertEqual(self.names(("os_hidden", value)), ["hidden"])
        self.assertEqual(self.names(("os_hidden", "False")), ["safe", "seen"])
        self.assertEqual(self.names(("protected", "true")), ["safe"])
        self.assertEqual(self.names(("protected", "false")), ["seen"])
        for query in (("protected", "True"), ("protected", "1"), ("os_hidden", "1"), ("os_hidden", "")):
            self.refused(query)

    def test_in(self) -> None:
        """`in:` and `eq:` work; other operators are 400."""
        ids = self.made("a", "b,c", 'd"e', "f\\g", "h")
        for key, value, names in (
            ("name", "in:a,h", ["h", "a"]),
            ("name", 'in:"b,c",a', ["b,c", "a"]),
            ("name", r'in:"d\"e"', ['d"e']),
            ("name", r'in:"f\\g"', ["f\\g"]),
            ("name", "in:x", []),
            ("name", "in:,a", ["a"]),
            ("name", "eq:a", ["a"]),
            ("id", f"in:{ids[0]},{ids[4]}", ["h", "a"]),
            ("status", "in:queued,saving", ["h", "f\\g", 'd"e', "b,c", "a"]),
            ("disk_format", "in:qcow2,vmdk", []),
            ("container_format", "in:bare", ["h", "f\\g", 'd"e', "b,c", "a"]),
        ):
            self.assertEqual(self.names((key, value)), names, value)
        for value in ('in:"a', 'in:a"b', 'in:"a"b', 'in:"', 'in:"a\\'):
            self.refused(("name", value))
        for key in ("id", "status", "disk_format", "container_format"):
            self.refused((key, "neq:x"))

    def test_names_with_colons(self) -> None:
        """A colon in a name belongs to it, unless `in` or `eq` comes before it."""
        self.made("ubuntu:22.04", "in:x", "neq:a")
        self.assertEqual(self.names(("name", "ubuntu:22.04")), ["ubuntu:22.04"])
        self.assertEqual(self.names(("name", "neq:a")), ["neq:a"])
        self.assertEqual(self.names(("name", "eq:in:x")), ["in:x"])
        self.assertEqual(self.names(("name", 'in:"ubuntu:22.04","in:x"')), ["in:x", "ubuntu:22.04"])

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(st.lists(st.text(st.sampled_from('ab,"\\: '), min_size=1, max_size=6), min_size=1, max_size=4, unique=True))
    def test_quoting(self, names: list[str]) -> None:
        """A quoted name is found by `in:`, whatever characters it has, and nothing else is found."""
        run = uuid4().hex
        ids = [self.server.image(name=name, run=run)["id"] for name in (*names, "other")]
        quoted = ",".join('"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in names)
        answer = self.get(("name", f"in:{quoted}"), ("run", run))
        self.assertEqual({image["id"] for image in answer.json["images"]}, set(ids[: len(names)]))

    def test_times(self) -> None:
        """Times work with and without an operator. Offsets are respected."""
        self.made("a")
        for value, found in (
            ("gt:2000-01-01T00:00:00Z", True),
            ("gte:2000-01-01T00:00:00", True),
            ("lt:2000-01-01T00:00:00Z", False),
            ("lte:2099-01-01T00:00:00+05:30", True),
            ("neq:2000-01-01T00:00:00Z", True),
            ("eq:2000-01-01T00:00:00Z", False),
            ("2000-01-01T00:00:00Z", False),
            ("gt:2000-01-01", True),
        ):
            for key in ("created_at", "updated_at"):
                self.assertEqual(self.names((key, value)), ["a"] if found else [], value)
        for value in (
            "",
            "x",
            "gt:",
            "gt:x",
            "in:2000-01-01T00:00:00Z",
            "like:2000-01-01T00:00:00Z",
            "25:00",
            "gt:9999-99-99",
        ):
            self.refused(("created_at", value))
        answer = self.server.request("GET", "/v2/images?created_at=gt:2000-01-01T00:00:00+01:00")
        self.assertEqual(answer.status, 400)

    def test_shown_times(self) -> None:
        """The time that is shown finds the image, because clients do not know the fraction of the second."""
        (image,) = self.made("a")
        for key in ("created_at", "updated_at"):
            shown = self.show(image)[key]
            for operator, found in (
                ("", True),
                ("eq:", True),
                ("gte:", True),
                ("lte:", True),
                ("neq:", False),
                ("gt:", False),
                ("lt:", False),
            ):
                self.assertEqual(self.names((key, f"{operator}{shown}")), ["a"] if found else [], operator)
            before, after = shown.replace("Z", "-00:01"), shown.replace("Z", "+00:01")
            self.assertEqual(self.names((key, f"lt:{before}")), ["a"])
            self.assertEqual(self.names((key, f"gt:{after}")), ["a"])
            self.assertEqual(self.names((key, shown.replace("Z", ".5Z"))), [])

    def test_statuses(self) -> None:
        """Each status is a filter. A text that is not a status finds no image."""
        _, active, deactivated = self.made("queued", "active", "deactivated")
        for image in (active, deactivated):
            self.server.put(image, b"data")
        answer = self.server.request("POST", f"/v2/images/{deactivated}/actions/deactivate")
        self.assertEqual(204, answer.status)
        saving = self.begin_put(*self.made("saving"), 10, b"some")
        for status in ("queued", "active", "deactivated", "saving"):
            self.assertEqual(self.names(("status", status)), [status])
        self.assertEqual(self.names(("status", "in:queued,active")), ["active", "queued"])
        for status in ("uploading", "importing", "pending_delete", "killed", "deleted", "nothing", ""):
            self.assertEqual(self.names(("status", status)), [])
        saving.lose()
        self.assertEqual(self.names(("status", "queued")), ["saving", "queued"])

    def test_other_names(self) -> None:
        """Field names that are not columns are taken for custom properties, which no image has."""
        self.made("a")
        for key in ("self", "file", "schema", "stores", "locations", "direct_url", "tags", "deleted_at", "image_id"):
            self.assertEqual(self.names((key, "a")), [], key)

    def test_many(self) -> None:
        """A hundred filters are accepted, and no more. Repeated ones count once."""
        self.made("a", tags=["x"])
        self.assertEqual(self.names(*[("tag", "x")] * 300), ["a"])
        self.assertEqual(self.names(*[("tag", f"{number}") for number in range(99)]), [])
        self.refused(*[("tag", f"{number}") for number in range(101)])

    def test_many_values(self) -> None:
        """Five hundred values are accepted, and no more. Repeated ones count once."""
        self.made("a")
        self.assertEqual(self.names(("name", "in:" + "a," * 3000 + "b")), ["a"])
        numbers = [*map(str, range(250))]
        self.assertEqual(
            self.names(("name", ",".join(["in:a", *numbers])), ("id", ",".join(["in:a", *numbers[:248]]))), []
        )
        self.refused(("name", ",".join(["in:a", *numbers])), ("id", ",".join(["in:a", *numbers[:249]])))

    def test_refused(self) -> None:
        """Values that a parameter does not allow are 400."""
        for query in (
            *(("visibility", "everyone"), ("visibility", ""), ("member_status", "maybe"), ("changes-since", "x")),
            *(("name", "a\0b"), ("a\0b", "x"), ("tag", "\0")),
        ):
            self.refused(query)
        for text in ("name=%ff", "%ff=x", "marker=%ED%A0%80"):
            self.assertEqual(self.server.request("GET", f"/v2/images?{text}").status, 400, text)
        self.assertEqual(self.server.request("GET", "/v2/images", body=b"{}").status, 400)

    def test_query_string(self) -> None:
        """Only `&` separates parameters, `+` is a blank, and a name alone has an empty value."""
        self.made("a;b", "a", "a b", "")
        for query, names in (
            ("name=a;b", ["a;b"]),
            ("name=a%3Bb;limit=0", []),
            ("name=a+b&&", ["a b"]),
            ("name", [""]),
            ("=a&=", []),
        ):
            answer = self.server.request("GET", f"/v2/images?{query}")
            self.assertEqual([image["name"] for image in answer.json["images"]], names, query)
        for query in ("os_hidden", "limit", "sort", "marker", "name=\xff"):
            self.assertEqual(self.server.request("GET", f"/v2/images?{query}").status, 400, query)

    def test_overlooked(self) -> None:
        """`deleted` has no effect."""
        (image,) = self.made("a")
        self.server.request("DELETE", f"/v2/images/{image}")
        self.made("b")
        for value in ("true", "false", "x"):
            self.assertEqual(self.names(("deleted", value)), ["b"])

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(PARAMETERS) | st.text(max_size=5),
                st.text(max_size=10)
                | st.sampled_from(["in:a", "all", "name:asc", "asc", "1", "true", "gt:2000-01-01"]),
            ),
            max_size=4,
        )
    )
    def test_anything(self, query: list[tuple[str, str]]) -> None:
        """No query causes a failure. A valid one can be repeated by its link."""
        text = "&".join(f"{quote(key, errors='ignore')}={quote(value, errors='ignore')}" for key, value in query)
        answer = self.server.request("GET", f"/v2/images?{text}")
        self.assertIn(answer.status, (200, 400))
        if answer.status == 200:
            self.assertEqual(self.server.request("GET", answer.json["first"]).status, 200)


class SortTests(ListTestCase):
    """The order of lists."""

    def test_forms(self) -> None:
        """`sort`, or `sort_key` with `sort_dir`. The default direction is down."""
        self.made("b", min_ram=1)
        self.made("a", "c", disk_format="qcow2")
        for query, names in (
            ([("sort", "name")], "cba"),
            ([("sort", "name:asc")], "abc"),
            ([("sort", "disk_format:asc,name:desc")], "cab"),
            ([("sort", " disk_format : desc , name : asc ")], "bac"),
            ([("sort_key", "name")], "cba"),
            ([("sort_key", "name"), ("sort_dir", "asc")], "abc"),
            ([("sort_key", " name "), ("sort_dir", " asc ")], "abc"),
            ([("sort_dir", "asc")], "bac"),
            ([("sort_key", "container_format"), ("sort_key", "status"), ("sort_dir", "asc")], "bac"),
            ([("sort", "container_format:asc,status:asc")], "cab"),
            ([("sort_key", "disk_format"), ("sort_key", "name"), ("sort_dir", "asc")], "acb"),
            ([("sort_key", "disk_format"), ("sort_key", "name"), ("sort_dir", "desc"), ("sort_dir", "asc")], "bac"),
        ):
            self.assertEqual("".join(self.names(*query)), names, query)
        for key in ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at"):
            self.assertEqual(len(self.names(("sort", f"{key}:asc"))), 3)

    def test_refused(self) -> None:
        """Both styles at once, unknown keys and directions, and too many or too few of them are refused."""
        for query in (
            [("sort", "owner")],
            [("sort", "name:up")],
            [("sort", "")],
            [("sort", "name:asc,")],
            [("sort", "name:asc:desc")],
            [("sort_key", "min_ram")],
            [("sort_dir", "ASC")],
            [("sort", "name"), ("sort_key", "name")],
            [("sort", "name"), ("sort_dir", "asc")],
            [("sort_key", "name"), ("sort_dir", "asc"), ("sort_dir", "desc")],
            [("sort_key", "name"), ("sort_key", "id"), ("sort_key", "size"), ("sort_dir", "asc"), ("sort_dir", "desc")],
        ):
            self.refused(*query)


class VisibilityTests(ListTestCase):
    """What two projects see of each other's images."""

    tables: ClassVar[dict[str, Any] | None] = {"stores": ONE_STORE, "identity": BEHIND_PROXY}

    def setUp(self) -> None:
        super().setUp()
        for owner in ("blue", "red"):
            for visibility in ("public", "community", "shared", "private"):
                body = f'{{"name": "{owner} {visibility}", "visibility": "{visibility}", "owner": "{owner}"}}'
                self.assertEqual(self.server.request("POST", "/v2/images", ADMIN, body.encode()).status, 201)

    def test_members(self) -> None:
        """A member sees all images of its project, and those of others by their visibility."""
        own = {f"blue {visibility}" for visibility in ("public", "community", "shared", "private")}
        for query, wanted in (
            ([], own | {"red public"}),
            ([("visibility", "all")], own | {"red public", "red community"}),
            ([("visibility", "public")], {"blue public", "red public"}),
            ([("visibility", "community")], {"blue community", "red community"}),
            ([("visibility", "shared")], {"blue shared"}),
            ([("visibility", "private")], {"blue private"}),
            ([("owner", "red")], {"red public"}),
            ([("owner", "red"), ("visibility", "community")], {"red community"}),
        ):
            for who in (MEMBER, READER):
                self.assertEqual(set(self.names(*query, headers=who)), wanted, query)

    def test_administrators(self) -> None:
        """Administrators see everything, but community images of others only if they ask for them."""
        everything = {f"{o} {v}" for o in ("blue", "red") for v in ("public", "community", "shared", "private")}
        self.assertEqual(set(self.names(headers=ADMIN)), everything - {"blue community", "red community"})
        self.assertEqual(set(self.names(("visibility", "all"), headers=ADMIN)), everything)
        self.assertEqual(set(self.names(("visibility", "private"), headers=ADMIN)), {"blue private", "red private"})

    def test_no_project(self) -> None:
        """A caller without a project sees public images, and community images if it asks for them."""
        nobody = identity(None, "member", "reader")
        self.assertEqual(set(self.names(headers=nobody)), {"blue public", "red public"})
        wanted = {"blue public", "red public", "blue community", "red community"}
        self.assertEqual(set(self.names(("visibility", "all"), headers=nobody)), wanted)
        for visibility in ("shared", "private"):
            self.assertEqual(self.names(("visibility", visibility), headers=nobody), [])

    def test_no_owner(self) -> None:
        """An image without an owner is in lists if it is public, and in the lists of administrators."""
        for visibility in ("public", "community", "shared", "private"):
            body = f'{{"name": "{visibility}", "visibility": "{visibility}", "owner": null}}'
            self.assertEqual(self.server.request("POST", "/v2/images", ADMIN, body.encode()).status, 201)
        own = {f"blue {visibility}" for visibility in ("public", "community", "shared", "private")}
        self.assertEqual(set(self.names(headers=MEMBER)), own | {"red public", "public"})
        self.assertEqual(set(self.names(("visibility", "shared"), headers=MEMBER)), {"blue shared"})
        self.assertLessEqual({"public", "shared", "private"}, set(self.names(headers=ADMIN)))
        self.assertNotIn("community", self.names(headers=ADMIN))
        self.assertIn("community", self.names(("visibility", "all"), headers=ADMIN))

    def test_who_may(self) -> None:
        """Callers without a role get 403, and those without identity 401."""
        self.assertEqual(self.get(headers=identity("blue")).status, 403)
        self.assertEqual(self.get(headers={}).status, 401)

    def test_marker(self) -> None:
        """A marker that the caller may not see is 403."""
        images = self.get(headers=STRANGER).json["images"]
        ids = {image["name"]: image["id"] for image in images}
        self.assertEqual(self.get(("marker", ids["red private"]), headers=MEMBER).status, 403)
        self.assertEqual(self.get(("marker", ids["red public"]), headers=MEMBER).status, 200)
