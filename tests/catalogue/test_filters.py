from __future__ import annotations

from datetime import timedelta
from itertools import count, product
from typing import Any
from uuid import UUID

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from imgsvc.errors import Forbidden, Invalid
from imgsvc.model import Caller, Filter, Image, ImageQuery, Status, Visibility
from tests.catalogue.rigs import ADMIN, NOON, CatalogueTestCase, on_every_database

ME = Caller(project_id="me")
YOU = Caller(project_id="you")
NOBODY = Caller()
SORT_KEYS = ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")


class QueryTestCase(CatalogueTestCase):
    def ids(self, query: ImageQuery) -> list[str]:
        return [image.id for image in self.successResultOf(self.catalogue.images(query)).images]

    def names(self, caller: Caller = ADMIN, limit: int = 100, **query: Any) -> list[str | None]:
        """The names of the listed images, in alphabetical order unless `sort` says otherwise."""
        query.setdefault("sort", (("name", False),))
        images = self.successResultOf(self.catalogue.images(ImageQuery(caller, limit, **query))).images
        return [image.name for image in images]


@on_every_database
class VisibilityTest(QueryTestCase):
    def setUp(self) -> None:
        super().setUp()
        for visibility in Visibility:
            for owner in ("me", "you", None):
                self.add(name=f"{visibility.value} of {owner}", visibility=visibility, owner=owner)

    def test_usual_list(self) -> None:
        """A project sees its own images and public ones."""
        public = ["public of None", "public of me", "public of you"]
        self.assertEqual(self.names(ME), ["community of me", "private of me", *public, "shared of me"])
        self.assertEqual(self.names(YOU), ["community of you", "private of you", *public, "shared of you"])
        self.assertEqual(self.names(NOBODY), public)

    def test_everything_visible(self) -> None:
        """`all` adds the community images of others."""
        community = ["community of None", "community of me", "community of you"]
        public = ["public of None", "public of me", "public of you"]
        self.assertEqual(self.names(ME, visibility="all"), [*community, "private of me", *public, "shared of me"])
        self.assertEqual(self.names(NOBODY, visibility="all"), [*community, *public])

    def test_one_visibility(self) -> None:
        """If a visibility is given, only images with it are listed."""
        for visibility in ("public", "community"):
            names = [f"{visibility} of {owner}" for owner in (None, "me", "you")]
            for caller in (ME, NOBODY, ADMIN):
                self.assertEqual(self.names(caller, visibility=visibility), names)
        for visibility in ("private", "shared"):
            self.assertEqual(self.names(ME, visibility=visibility), [f"{visibility} of me"])
            self.assertEqual(self.names(NOBODY, visibility=visibility), [])
            self.assertEqual(len(self.names(ADMIN, visibility=visibility)), 3)

    def test_nothing_to_see(self) -> None:
        """A list of visibilities of which the caller sees nothing is empty, whatever its order and filters."""
        for visibility, filters, sort in product(
            ("private", "shared"),
            ((), (Filter("tag", "eq", ("x",)),), (Filter("name", "eq", ("x",)),)),
            ((("name", False),), (("status", False), ("name", False)), (("size", True), ("name", False))),
        ):
            self.assertEqual([], self.names(NOBODY, visibility=visibility, filters=filters, sort=sort))

    def test_administrator(self) -> None:
        """An administrator sees all images except community images of others, and with `all` those too."""
        administrator = Caller(project_id="me", roles=frozenset({"admin"}))
        hidden = {"community of None", "community of you"}
        everything = self.names(administrator, visibility="all")
        self.assertEqual(len(everything), 12)
        self.assertEqual(self.names(administrator), [name for name in everything if name not in hidden])
        self.assertEqual(
            self.names(ADMIN),
            [name for name in everything if name not in {"community of me", "community of you"}],
        )

    def test_marker_seen_by_id(self) -> None:
        """The marker may be any image that the caller may see by its id, whether it is in the list or not."""
        seen = {
            ME: {"community", "public", "private of me", "shared of me", "shared of None"},
            NOBODY: {"community", "public", "shared of None"},
            ADMIN: {"community", "public", "private", "shared"},
        }
        images = self.successResultOf(self.catalogue.images(ImageQuery(ADMIN, 100, visibility="all"))).images
        for caller, names in seen.items():
            for image in images:
                listed = self.catalogue.images(ImageQuery(caller, 100, marker=image.id))
                if image.name in names or image.visibility in names:
                    self.successResultOf(listed)
                else:
                    self.failureResultOf(listed, Forbidden)


@on_every_database
class FilterTest(QueryTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.plain = self.add(name="a", min_ram=1, tags=("x",), properties={"os": "debian", "empty": ""})
        self.other = self.add(
            name="b",
            min_ram=2,
            os_hidden=True,
            protected=True,
            owner="you",
            disk_format="raw",
            tags=("x", "y"),
            properties={"os": "ubuntu"},
            created_at=NOON + timedelta(microseconds=1),
        )
        self.large = self.add_active(
            {"size": 2**40}, name="c", min_ram=3, created_at=NOON + timedelta(microseconds=2), disk_format="qcow2"
        )

    def check(self, names: str, *filters: tuple[str, str, tuple[Any, ...]]) -> None:
        listed = self.names(filters=tuple(Filter(*one) for one in filters))
        self.assertEqual("".join(str(name) for name in listed), names, filters)

    def test_equal(self) -> None:
        """`eq` works for every column, and null stands for no value."""
        self.check("abc")
        self.check("b", ("name", "eq", ("b",)))
        self.check("", ("name", "eq", ("B",)))
        self.check("a", ("id", "eq", (self.plain.id,)))
        self.check("c", ("status", "eq", (Status.ACTIVE,)))
        self.check("c", ("status", "eq", ("active",)))
        self.check("b", ("owner", "eq", ("you",)))
        self.check("ac", ("owner", "eq", (None,)))
        self.check("b", ("os_hidden", "eq", (True,)))
        self.check("ac", ("protected", "eq", (False,)))
        self.check("c", ("size", "eq", (2**40,)))
        self.check("c", ("os_hash_value", "eq", ("d" * 128,)))
        self.check("abc", ("visibility", "eq", ("shared",)))

    def test_order(self) -> None:
        """Numbers and times are compared. Null is neither less nor greater."""
        self.check("bc", ("min_ram", "gte", (2,)))
        self.check("c", ("min_ram", "gt", (2,)))
        self.check("ab", ("min_ram", "lte", (2,)))
        self.check("a", ("min_ram", "lt", (2,)))
        self.check("c", ("size", "gte", (0,)))
        self.check("", ("size", "lt", (2**40,)))

    def test_large_numbers(self) -> None:
        """A number that is too large for the column is greater than all values."""
        for number in (2**31, 2**63 - 1):
            self.check("abc", ("min_ram", "lt", (number,)), ("min_disk", "gt", (-number,)))
            self.check("", ("min_ram", "eq", (number,)))

    def test_times(self) -> None:
        """Times are compared as clients see them, in whole seconds."""
        self.add(name="d", created_at=NOON + timedelta(seconds=1))
        self.add(name="e", created_at=NOON.replace(microsecond=0) + timedelta(seconds=2))
        second = NOON.replace(microsecond=0) + timedelta(seconds=1)
        for operator, names in {"eq": "d", "neq": "abce", "gt": "e", "gte": "de", "lt": "abc", "lte": "abcd"}.items():
            self.check(names, ("created_at", operator, (second,)))
        between = second + timedelta(microseconds=1)
        for operator, names in {"eq": "", "neq": "abcde", "gt": "e", "gte": "e", "lt": "abcd", "lte": "abcd"}.items():
            self.check(names, ("created_at", operator, (between,)))
        self.check("d", ("created_at", "gte", (second,)), ("created_at", "lte", (second,)))

    def test_unequal_to_null(self) -> None:
        """No value is unequal to every value."""
        self.check("ac", ("disk_format", "neq", ("raw",)))

    def test_in(self) -> None:
        """`in` matches any of several values, and nothing if there are none."""
        self.check("ab", ("name", "in", ("a", "b", "x")))
        self.check("bc", ("disk_format", "in", ("raw", "qcow2")))
        self.check("", ("name", "in", ()))

    def test_tags(self) -> None:
        """An image must have all the tags."""
        self.check("ab", ("tag", "eq", ("x",)))
        self.check("b", ("tag", "eq", ("x",)), ("tag", "eq", ("y",)))
        self.check("", ("tag", "eq", ("x",)), ("tag", "eq", ("z",)))
        self.check("b", ("tag", "in", ("y", "z")))

    def test_properties(self) -> None:
        """An image must have the custom property with this value."""
        self.check("a", ("property:os", "eq", ("debian",)))
        self.check("ab", ("property:os", "in", ("debian", "ubuntu")))
        self.check("a", ("property:empty", "eq", ("",)))
        self.check("", ("property:absent", "eq", ("",)))
        self.check("", ("property:os", "eq", ("debian",)), ("property:os", "eq", ("ubuntu",)))
        self.check("", ("property:a:b' OR '1'='1", "eq", ("' OR '1'='1",)))

    def test_together(self) -> None:
        """All filters must match, and images that the caller may not see are left out."""
        self.check("b", ("tag", "eq", ("x",)), ("property:os", "eq", ("ubuntu",)), ("protected", "eq", (True,)))
        self.assertEqual(self.names(ME, filters=(Filter("name", "eq", ("b",)),)), [])

    def test_same_shape(self) -> None:
        """Queries that differ only in their values each get their own images."""
        for _ in range(2):
            for name in "abc":
                self.check(name, ("name", "eq", (name,)))
            self.check("", ("name", "eq", (None,)))
        self.assertEqual(self.names(YOU), ["b"])
        self.assertEqual(self.names(ME), [])

    def test_unknown(self) -> None:
        """An unknown column or operator is refused."""
        for one in (("deleted_at", "eq", (1,)), ("claims", "eq", (1,)), ("", "eq", ("a",)), ("name", "like", ("a",))):
            query = ImageQuery(ADMIN, 10, filters=(Filter(*one),))
            self.failureResultOf(self.catalogue.images(query), Invalid)
        self.failureResultOf(self.catalogue.images(ImageQuery(ADMIN, 10, sort=(("tags", True),))), Invalid)


@on_every_database
class PageTest(QueryTestCase):
    def test_marker(self) -> None:
        """An unknown marker is invalid."""
        self.add()
        for marker in ("nothing", ""):
            self.failureResultOf(self.catalogue.images(ImageQuery(ADMIN, 10, marker=marker)), Invalid)

    def test_deleted_on_the_way(self) -> None:
        """A client that deletes what it lists, page by page, reaches the end: a deleted image keeps its place
        in any order.
        """
        for key, down in product(SORT_KEYS, (False, True)):
            for number in range(7):
                self.now += timedelta(seconds=1)
                fields: dict[str, Any] = {"name": f"n{number}", "disk_format": "raw"} if number % 3 else {}
                fields |= {"owner": "me", "created_at": NOON + timedelta(seconds=number // 2)}
                if number % 2:
                    self.add_active(data={"size": number}, **fields)
                else:
                    self.add(**fields)
            query = ImageQuery(ME, 2, sort=((key, down),), filters=(Filter("owner", "eq", ("me",)),))
            everything = self.ids(evolve(query, limit=100))
            self.assertEqual(7, len(everything))
            seen: list[str] = []
            while page := self.ids(evolve(query, marker=seen[-1] if seen else None)):
                seen += page
                for image_id in page:
                    for pending in self.successResultOf(self.catalogue.delete(image_id)):
                        self.successResultOf(self.catalogue.forget_location(pending.key))
            self.assertEqual(everything, seen, (key, down))

    def test_deleted_fixed_key(self) -> None:
        """The same holds if a filter fixes the sort key."""
        query = ImageQuery(
            ME, 2, sort=(("status", False), ("name", False)), filters=(Filter("status", "eq", ("queued",)),)
        )
        images = [self.add(owner="me", name=f"n{number}") for number in range(5)]
        marker = None
        for expected in ([0, 1], [2, 3], [4], []):
            page = self.ids(evolve(query, marker=marker))
            self.assertEqual([images[number].id for number in expected], page)
            for image_id in page:
                self.successResultOf(self.catalogue.delete(image_id))
                marker = image_id

    def test_deleted_of_others(self) -> None:
        """A deleted image that the caller could not see is as unknown as one that never existed."""
        seen = {
            Visibility.PUBLIC: (ME, YOU, NOBODY, ADMIN),
            Visibility.COMMUNITY: (ME, YOU, NOBODY, ADMIN),
            Visibility.SHARED: (ME, ADMIN),
            Visibility.PRIVATE: (ME, ADMIN),
        }
        for visibility, callers in seen.items():
            image = self.add(owner="me", visibility=visibility)
            self.successResultOf(self.catalogue.delete(image.id))
            for caller in (ME, YOU, NOBODY, ADMIN):
                listed = self.catalogue.images(ImageQuery(caller, 10, marker=image.id))
                if caller in callers:
                    self.assertEqual([], self.successResultOf(listed).images)
                else:
                    message = str(self.failureResultOf(listed, Invalid).value)
                    unknown = self.catalogue.images(ImageQuery(caller, 10, marker="x"))
                    expected = str(self.failureResultOf(unknown, Invalid).value).replace(" x ", f" {image.id} ")
                    self.assertEqual(expected, message)

    def test_limit(self) -> None:
        """A page has at most `limit` images, also if it is 0."""
        for _ in range(3):
            self.add()
        self.assertEqual([len(self.ids(ImageQuery(ADMIN, limit))) for limit in range(5)], [0, 1, 2, 3, 3])

    def test_default_order(self) -> None:
        """The newest image comes first."""
        images = [self.add(created_at=NOON + timedelta(microseconds=place)) for place in range(3)]
        self.assertEqual(self.ids(ImageQuery(ADMIN, 10)), [image.id for image in reversed(images)])

    def test_tie_breakers(self) -> None:
        """Images with equal keys are sorted by age: in the direction of a single key, descending after several."""
        images = [self.add(name="x", created_at=NOON + timedelta(seconds=place)).id for place in range(3)]
        backwards = images[::-1]
        self.assertEqual(self.ids(ImageQuery(ADMIN, 10, sort=(("name", False),))), images)
        self.assertEqual(self.ids(ImageQuery(ADMIN, 10, sort=(("name", True),))), backwards)
        self.assertEqual(self.ids(ImageQuery(ADMIN, 10, sort=(("name", False), ("size", False)))), backwards)

    def test_pages(self) -> None:
        """All pages together are the whole list in its order, for any sort key."""
        projects = count()
        values = st.fixed_dictionaries(
            {
                "name": st.sampled_from([None, "", "a", "B", "é"]),
                "size": st.sampled_from([None, 0, 2**40]),
                "disk_format": st.sampled_from([None, "raw", "qcow2"]),
                "created_at": st.sampled_from([NOON, NOON + timedelta(microseconds=1)]),
                "updated_at": st.sampled_from([NOON + timedelta(days=1), NOON + timedelta(days=2)]),
            }
        )
        sorts = st.lists(st.tuples(st.sampled_from(SORT_KEYS), st.booleans()), max_size=4).map(tuple)
        ids = st.uuids(version=4)

        @settings(max_examples=60, deadline=None, derandomize=True, database=None)
        @given(st.dictionaries(ids, values, max_size=8), sorts, st.integers(1, 4))
        def pages(rows: dict[UUID, dict[str, Any]], sort: tuple[tuple[str, bool], ...], limit: int) -> None:
            number = next(projects)
            # Ids of earlier examples are taken. The number of the example before them makes new ones in order.
            images = [
                self.add(id=f"{number:08d}{str(image_id)[8:]}{place:02d}"[-36:], owner=f"project {number}", **fields)
                for place, (image_id, fields) in enumerate(rows.items())
            ]
            query = ImageQuery(Caller(project_id=f"project {number}"), limit, sort=sort)
            wanted = [image.id for image in in_order(images, sort)]
            self.assertEqual(self.ids(evolve(query, limit=100)), wanted)
            listed: list[str] = []
            while page := self.ids(query):
                listed += page
                query = evolve(query, marker=page[-1])
            self.assertEqual(listed, wanted)

        pages()


def in_order(images: list[Image], sort: tuple[tuple[str, bool], ...]) -> list[Image]:
    """The order that the API requires, by plain sorting: stable, from the last key to the first."""
    descending = sort[0][1] if len(sort) == 1 else True
    keys = dict(reversed((*sort, ("created_at", descending), ("id", descending))))
    # A repeated key has no effect: the first counts.
    order = [(name, keys[name]) for name in dict.fromkeys(name for name, _ in (*sort, ("created_at", 0), ("id", 0)))]
    for name, down in reversed(order):
        images = sorted(images, key=lambda image: rank(getattr(image, name)), reverse=down)
    return images


def rank(value: Any) -> tuple[bool, Any]:
    return (value is not None, 0 if value is None else value)
