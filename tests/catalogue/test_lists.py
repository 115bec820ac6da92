"""Lists, compared with a plain model of the Image API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert

from imgsvc.catalogue.images import set_values
from imgsvc.catalogue.lists import pages
from imgsvc.catalogue.rows import microseconds
from imgsvc.catalogue.tables import image_members, image_properties, image_tags, images
from imgsvc.errors import Forbidden
from imgsvc.identity.policy import sees
from imgsvc.model import Caller, Filter, Image, ImageQuery, MemberStatus, Status, Visibility
from tests.catalogue.rigs import NOON, CatalogueTestCase, new_image, on_every_database
from tests.catalogue.test_filters import SORT_KEYS, in_order

PROJECTS = ("red", "blue", "green")
CALLERS = tuple(
    Caller(project_id=project, roles=frozenset(roles))
    for project in (*PROJECTS, None)
    for roles in ((), ("admin",))
    if (project, roles) != ("green", ("admin",))
)
Sort = tuple[tuple[str, bool], ...]


@frozen
class Shared:
    """An image, and the status of each of its members."""

    image: Image
    answers: Mapping[str, MemberStatus]


SECONDS = st.integers(0, 3).map(lambda half: NOON.replace(microsecond=0) + timedelta(seconds=half / 2))
NAMES = st.sampled_from([None, "", "a", "b", "B", "ä"])
FORMATS = st.sampled_from([None, "raw", "qcow2"])
SIZES = st.sampled_from([None, 0, 5, 2**40])
STATUSES = st.sampled_from([Status.QUEUED, Status.ACTIVE, Status.SAVING])
TAGS = st.sets(st.sampled_from(["x", "y"])).map(tuple)
PROPERTIES = st.dictionaries(st.sampled_from(["os", "x:y"]), st.sampled_from(["", "a", "a" * 64, "a" * 65]))
FIELDS = {
    "name": NAMES,
    "status": STATUSES,
    "visibility": st.sampled_from(Visibility),
    "os_hidden": st.sampled_from([False, False, True]),
    "protected": st.booleans(),
    "owner": st.sampled_from([*PROJECTS, None]),
    "container_format": FORMATS,
    "disk_format": FORMATS,
    "size": SIZES,
    "created_at": SECONDS,
    "updated_at": SECONDS,
    "tags": TAGS,
    "properties": PROPERTIES,
}
IMAGES = st.lists(
    st.tuples(st.fixed_dictionaries(FIELDS), st.dictionaries(st.sampled_from(PROJECTS), st.sampled_from(MemberStatus))),
    max_size=9,
)
ONE_FILTER = st.one_of(
    *(
        st.builds(
            Filter, st.just(field), st.just("eq"), values.filter(lambda value: value is not None).map(lambda v: (v,))
        )
        for field, values in (("name", NAMES), ("status", STATUSES), ("disk_format", FORMATS), ("size", SIZES))
    ),
    st.builds(Filter, st.just("name"), st.just("in"), st.sampled_from([("a", "b"), ("a",), ("", "ä", "c")])),
    st.builds(Filter, st.just("status"), st.just("in"), st.just((Status.QUEUED, Status.SAVING))),
    st.builds(Filter, st.sampled_from(["owner"]), st.just("eq"), st.sampled_from([("red",), ("blue",), ("none",)])),
    st.builds(Filter, st.just("size"), st.sampled_from(["gte", "lte"]), st.sampled_from([(0,), (5,), (6,)])),
    st.builds(
        Filter,
        st.sampled_from(["created_at", "updated_at"]),
        st.sampled_from(["eq", "neq", "gt", "gte", "lt", "lte"]),
        SECONDS.map(lambda time: (time,)),
    ),
    st.builds(Filter, st.just("tag"), st.just("eq"), st.sampled_from([("x",), ("y",), ("z",)])),
    st.builds(
        Filter, st.sampled_from(["property:os", "property:x:y"]), st.just("eq"), st.sampled_from([("a",), ("a" * 65,)])
    ),
    st.builds(Filter, st.just("protected"), st.just("eq"), st.sampled_from([(True,), (False,)])),
)
FILTERS = st.lists(ONE_FILTER, max_size=3)
HIDDEN = st.sampled_from([(), (Filter("os_hidden", "eq", (False,)),), (Filter("os_hidden", "eq", (True,)),)])
QUERIES = st.builds(
    ImageQuery,
    caller=st.sampled_from(CALLERS),
    limit=st.integers(0, 4),
    filters=st.builds(lambda some, hidden: (*some, *hidden), FILTERS, HIDDEN),
    visibility=st.sampled_from([None, None, "all", *Visibility]),
    member_status=st.sampled_from([*MemberStatus, "all"]),
    sort=st.lists(st.tuples(st.sampled_from(SORT_KEYS), st.booleans()), min_size=1, max_size=3).map(tuple),
)


def sees_by_id(caller: Caller, shared: Shared) -> bool:
    """Section "visibility" of the Image API: one sentence for each row of its table."""
    image = shared.image
    if caller.is_admin or image.visibility in ("public", "community"):
        return True
    if image.owner is not None and image.owner == caller.project_id:
        return True
    return image.visibility == "shared" and (image.owner is None or caller.project_id in shared.answers)


def is_listed(query: ImageQuery, shared: Shared) -> bool:
    """Whether the list has the image, without regard to filters."""
    image, caller = shared.image, query.caller
    is_own = image.owner == caller.project_id if caller.is_admin else None is not image.owner == caller.project_id
    if query.visibility not in (None, "all", image.visibility):
        return False
    if image.visibility == "community" and not is_own:
        return query.visibility is not None
    if caller.is_admin or is_own or image.visibility in ("public", "community"):
        return True
    answer = shared.answers.get(caller.project_id or "")
    return image.visibility == "shared" and answer is not None and query.member_status in ("all", answer)


def passes(condition: Filter, image: Image) -> bool:
    """Whether the image passes a filter."""
    if condition.field == "tag":
        return condition.values[0] in image.tags
    if condition.field.startswith("property:"):
        return image.properties.get(condition.field.removeprefix("property:")) == condition.values[0]
    value, wanted = getattr(image, condition.field), condition.values[0]
    if isinstance(value, datetime):
        value = value.replace(microsecond=0)  # as clients see it
    if condition.operator == "in":
        return value in condition.values
    if condition.operator in ("eq", "neq"):
        return (value == wanted) is (condition.operator == "eq")
    if value is None:
        return False
    less, more = value < wanted, value > wanted
    return {"gt": more, "gte": not less, "lt": less, "lte": not more}[condition.operator]


def expected(query: ImageQuery, stock: Sequence[Shared]) -> list[str]:
    """The ids of the page."""
    in_list = {
        shared.image.id
        for shared in stock
        if is_listed(query, shared) and all(passes(condition, shared.image) for condition in query.filters)
    }
    everything = [image.id for image in in_order([shared.image for shared in stock], query.sort)]
    start = everything.index(query.marker) + 1 if query.marker else 0
    return [image_id for image_id in everything[start:] if image_id in in_list][: query.limit]


@on_every_database
class ModelTest(CatalogueTestCase):
    def test_lists(self) -> None:
        """Any list, from any marker on, has the images of the model, both as a walk and as a gather."""
        numbers = count()

        @settings(max_examples=60, deadline=None, derandomize=True, database=None)
        @given(IMAGES, st.lists(QUERIES, min_size=1, max_size=2), st.sampled_from([0, 2, 2000]), st.data())
        def check(rows: Any, queries: list[ImageQuery], limit: int, data: st.DataObject) -> None:
            self.patch(pages, "GATHER_LIMIT", limit)
            stock = self.stock(rows, next(numbers))
            for query in queries:
                self.assertEqual(expected(query, stock), self.ids(query), query)
                for shared in stock:
                    self.check_by_id(query.caller, shared)
                seen = [shared.image.id for shared in stock if sees_by_id(query.caller, shared)]
                for shared in stock:
                    if shared.image.id not in seen:
                        later = evolve(query, marker=shared.image.id)
                        self.failureResultOf(self.catalogue.images(later), Forbidden)
                if seen:
                    later = evolve(query, marker=data.draw(st.sampled_from(seen)))
                    self.assertEqual(expected(later, stock), self.ids(later), later)

        check()

    def ids(self, query: ImageQuery) -> list[str]:
        return [image.id for image in self.successResultOf(self.catalogue.images(query)).images]

    def check_by_id(self, caller: Caller, shared: Shared) -> None:
        """The policy finds the images of the model."""
        image = self.get(shared.image.id)
        self.assertEqual(frozenset(shared.answers), image.members)
        self.assertEqual(sees_by_id(caller, shared), sees(caller, image), (caller, shared))

    def stock(self, rows: Any, number: int) -> list[Shared]:
        """Put these images, and no others, into the catalogue."""
        stock = [
            Shared(new_image(id=f"{number:08d}-0000-4000-8000-{place:012d}", **fields), answers)
            for place, (fields, answers) in enumerate(rows)
        ]

        def fill(connection: Connection) -> None:
            for table in (image_members, image_properties, image_tags, images):
                connection.execute(table.delete())
            for shared in stock:
                image = shared.image
                connection.execute(insert(images).values(**set_values(image)))
                for tag in image.tags:
                    connection.execute(insert(image_tags).values(image_id=image.id, value=tag))
                for name, value in image.properties.items():
                    connection.execute(insert(image_properties).values(image_id=image.id, name=name, value=value))
                for member, status in shared.answers.items():
                    moment = microseconds(NOON)
                    row = {"member_id": member, "status": status.value, "created_at": moment, "updated_at": moment}
                    connection.execute(insert(image_members).values(image_id=image.id, **row))

        self.successResultOf(self.database.write(fill))
        return stock
