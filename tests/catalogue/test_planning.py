"""The plans of lists: which query gets which plan. No database is needed."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy.dialects import sqlite
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.catalogue import lists
from imgsvc.catalogue.lists.compiling import compile_page, compile_values
from imgsvc.catalogue.lists.planning import (
    GATHER_LIMIT,
    ByValue,
    Gather,
    IndexRun,
    MarkerShape,
    Plan,
    Walk,
    counted_filters,
    plan,
    rarest_filter,
)
from imgsvc.catalogue.lists.shapes import QueryShape, SortKey
from imgsvc.errors import Invalid
from imgsvc.model import Caller, Filter, ImageQuery, Visibility

PROJECT = Caller(project_id="p")
ADMIN = Caller(project_id="p", roles=frozenset({"admin"}))
SHOWN = Filter("os_hidden", "eq", (False,))
ACTIVE = Filter("status", "eq", ("active",))
TAG = Filter("tag", "eq", ("a",))
PROPERTY = Filter("property:os", "eq", ("debian",))
AGE = ("created_at", "id")
DOCUMENT = Path(__file__).parents[2] / "docs" / "architecture.md"

Sort = tuple[tuple[str, bool], ...]


def query(
    *filters: Filter, sort: Sort = (("created_at", True),), visibility: str | None = None, caller: Caller = PROJECT
) -> ImageQuery:
    return ImageQuery(caller, 25, filters, visibility, sort=sort)


def plan_for(asked: ImageQuery, *counts: int, marker: MarkerShape | None = None) -> Plan:
    """The plan if so many images pass each of the counted filters."""
    shape = QueryShape.of(asked)
    counted = dict(zip(counted_filters(shape), counts, strict=True))
    return plan(shape, marker, rarest_filter(counted, GATHER_LIMIT))


class PlanTests(SynchronousTestCase):
    """Each query gets a plan by its shape and by the counts."""

    def walk(self, asked: ImageQuery, *counts: int, marker: MarkerShape | None = None) -> Walk:
        found = plan_for(asked, *counts, marker=marker)
        assert isinstance(found, Walk), found
        return found

    def test_runs(self) -> None:
        """A walk has an index run for each visibility, and by owner if only own images are shown."""
        walk = self.walk(query(SHOWN, sort=(("name", False),)))
        by_all, by_owner = "ix_images_visibility_name", "ix_images_owner_visibility_name"
        hidden = QueryShape.of(query(SHOWN)).filters[0]
        wanted = {
            IndexRun(by_all, Visibility.PUBLIC, None, hidden),
            *(IndexRun(by_owner, each, "caller", hidden) for each in ("community", "private", "shared")),
        }
        self.assertEqual((wanted, True), (set(walk.runs), walk.as_member))
        walk = self.walk(query(visibility="public", caller=ADMIN))
        index = "ix_images_visibility_created_at"
        wanted = {IndexRun(index, Visibility.PUBLIC, None, is_hidden) for is_hidden in (False, True)}
        self.assertEqual((wanted, False), (set(walk.runs), walk.as_member))

    def test_runs_of_one_owner(self) -> None:
        """A filter by owner selects the index by owner for an administrator too."""
        asked = query(Filter("owner", "eq", ("q",)), visibility="private", caller=ADMIN)
        owner = QueryShape.of(asked).filters[0]
        self.assertEqual({owner}, {run.owner for run in self.walk(asked).runs})

    def test_sorted(self) -> None:
        """The index has the whole order for one key, followed by age in the same direction."""
        for sort, is_sorted in (
            ((("name", False),), True),
            ((("name", True), ("created_at", True)), True),
            ((("name", False), ("created_at", True)), False),
            ((("name", False), ("size", False)), False),
            ((("id", False), ("name", True)), True),
        ):
            self.assertEqual(is_sorted, self.walk(query(sort=sort)).is_sorted, sort)

    def test_gather(self) -> None:
        """Images are gathered by the filter that fewest pass, if these are few."""
        asked = query(TAG, PROPERTY, SHOWN)
        tag, by_property, shown = QueryShape.of(asked).filters
        for counts, by in (((5, 9), tag), ((9, 5), by_property), ((GATHER_LIMIT, 5), by_property), ((0, 0), tag)):
            found = plan_for(asked, *counts)
            assert isinstance(found, Gather), found
            self.assertEqual((by, 2), (found.by, len(found.tested)))
            self.assertEqual(AGE, tuple(key.name for key in found.order))
        self.assertEqual((tag, by_property), self.walk(asked, GATHER_LIMIT, GATHER_LIMIT).tested)
        self.assertNotIn(shown, self.walk(asked, GATHER_LIMIT, GATHER_LIMIT).tested)

    def test_gather_before_by_value(self) -> None:
        """Few images are sorted by any keys, without a list for each value."""
        sort = (("status", False), ("name", False))
        self.assertIsInstance(plan_for(query(TAG, sort=sort), 5), Gather)
        self.assertIsInstance(plan_for(query(TAG, sort=sort), GATHER_LIMIT), ByValue)

    def test_by_value(self) -> None:
        """A list by several keys, of which the first has few values, is made by value. Other lists are not."""
        several: Sort = (("status", True), ("name", False))
        found = plan_for(query(SHOWN, sort=several))
        assert isinstance(found, ByValue), found
        self.assertEqual(SortKey("status", True), found.key)
        self.assertEqual({None}, {run.owner for run in found.runs})
        self.walk(query(sort=(("status", True),)))
        self.walk(query(sort=(("name", True), ("status", False))))
        self.walk(query(ACTIVE, sort=several), GATHER_LIMIT)

    def test_fixed_keys(self) -> None:
        """A key that a filter fixes is not sorted by, unless the marker has another value in it."""
        asked = query(ACTIVE, sort=(("status", False), ("name", False)))
        inside = MarkerShape.of(asked, {"status": "active", "name": None, "created_at": 1, "id": "x"})
        outside = MarkerShape.of(asked, {"status": "queued", "name": None, "created_at": 1, "id": "x"})
        walk = self.walk(asked, GATHER_LIMIT, marker=inside)
        self.assertEqual(["name", *AGE], [key.name for key in walk.order])
        self.assertEqual((True, False, False), walk.marker_nulls)
        walk = self.walk(asked, GATHER_LIMIT, marker=outside)
        self.assertEqual(["status", "name", *AGE], [key.name for key in walk.order])
        self.assertEqual((False, True, False, False), walk.marker_nulls)

    def test_index_of_fixed_key(self) -> None:
        """A list by age uses the index of a key that a filter fixes. This filter is neither counted nor tested."""
        walk = self.walk(query(ACTIVE))
        self.assertTrue(all(run.index.endswith("visibility_status") for run in walk.runs))
        self.assertEqual(((QueryShape.of(query(ACTIVE)).filters[0],), ()), (walk.by_index, walk.tested))
        named = self.walk(query(ACTIVE, Filter("name", "eq", ("a",))), GATHER_LIMIT)
        self.assertTrue(all(run.index.endswith("visibility_name") for run in named.runs))
        walk = self.walk(query(ACTIVE, sort=(("size", False),)), GATHER_LIMIT)
        self.assertTrue(all(run.index.endswith("visibility_size") for run in walk.runs))
        self.assertEqual((), walk.by_index)

    def test_counted(self) -> None:
        """Filters with an index are counted, except those that limit an index run of a walk."""
        since = Filter("size", "gte", (5,))
        for filters, sort, wanted in (
            ((TAG, PROPERTY, SHOWN), "created_at", 2),
            ((since,), "name", 1),
            ((since,), "size", 0),
            ((Filter("min_ram", "gte", (1,)), Filter("checksum", "eq", ("c",))), "name", 0),
            ((Filter("tag", "neq", ("a",)), Filter("name", "neq", ("a",))), "size", 0),
            ((Filter("name", "in", ("a", "b")),), "name", 1),
        ):
            counted = counted_filters(QueryShape.of(query(*filters, sort=((sort, False),))))
            self.assertEqual(wanted, len(counted), (filters, sort))

    def test_nothing_to_see(self) -> None:
        """Nothing is counted for a list that shows nobody's images."""
        self.assertEqual((), counted_filters(QueryShape.of(query(TAG, visibility="private", caller=Caller()))))

    def test_unknown(self) -> None:
        """An unknown field, operator or sort key is refused first."""
        for asked in (
            query(Filter("deleted_at", "eq", (1,))),
            query(Filter("name", "like", ("a",))),
            query(Filter("created_at", "in", ())),
            query(sort=(("tags", True),)),
        ):
            self.assertRaises(Invalid, QueryShape.of, asked)


class FloorTests(SynchronousTestCase):
    """The modules of lists call each other in one direction only."""

    FLOORS = (
        "shapes",
        "keeping",
        "planning",
        "hints",
        "order",
        "conditions",
        "selects",
        "mariadb",
        "compiling",
        "pages",
    )

    def test_imports(self) -> None:
        """Each module imports only modules that come before it."""
        folder = Path(lists.__file__).parent
        self.assertEqual({*self.FLOORS, "__init__"}, {path.stem for path in folder.glob("*.py")})
        for number, name in enumerate(self.FLOORS):
            text = (folder / f"{name}.py").read_text("utf-8")
            imported = set(re.findall(r"from imgsvc\.catalogue\.lists(?:\.| import )(\w+)", text))
            self.assertLessEqual(imported, set(self.FLOORS[:number]), name)
            self.assertTrue(imported or number == 0 or name == "hints", name)


class DocumentTests(SynchronousTestCase):
    """The statements in docs/architecture.md are those of the code."""

    def statement(self, kind: type, asked: ImageQuery, *counts: int, marker: MarkerShape | None = None) -> str:
        dialect = sqlite.dialect(paramstyle="named")
        shape, found = QueryShape.of(asked), plan_for(asked, *counts, marker=marker)
        self.assertIsInstance(found, kind)
        if isinstance(found, ByValue):
            return compile_values(shape, found, dialect).text(dialect)
        return compile_page(shape, found, None, False, dialect).text(dialect)

    def test_statements(self) -> None:
        """There is one statement for each plan. Only its line breaks may differ."""
        blocks = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
        inside = MarkerShape(frozenset(), passes=True)
        wanted = [
            self.statement(Walk, query(TAG, SHOWN, visibility="public", sort=(("name", False),)), 2000, marker=inside),
            self.statement(Gather, query(TAG, SHOWN, visibility="public"), 5),
            self.statement(
                ByValue, query(SHOWN, visibility="public", sort=(("status", False), ("name", False)), caller=ADMIN)
            ),
        ]
        self.assertEqual([words(text) for text in wanted], [words(block) for block in blocks])


def words(text: str) -> str:
    """The text with single blanks, and none inside parentheses."""
    return re.sub(r"(?<=\() | (?=\))", "", " ".join(text.split()))
