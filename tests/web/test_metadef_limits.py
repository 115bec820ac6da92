"""How much a namespace of metadata definitions may contain, in the whole server."""

from __future__ import annotations

from typing import Any

from imgsvc.metadef_model import Definition, Kind, Namespace, by_key
from imgsvc.operations.metadef_limits import LARGEST_NAMESPACE, MOST_DEFINITIONS
from tests.catalogue.rigs import NOON
from tests.support.server import fired
from tests.web.metadef_rigs import ROOT, MetadefTestCase, path
from tests.web.rigs import ADMIN

PROPERTY = {"title": "T", "type": "string"}


def tags(number: int, start: int = 0) -> list[dict[str, str]]:
    """A list of so many tags."""
    return [{"name": f"tag {each}"} for each in range(start, start + number)]


def large(number: int, size: int = 60_000) -> dict[str, Any]:
    """Properties with so many bytes each."""
    return {f"large {each}": {**PROPERTY, "description": "x" * size} for each in range(number)}


class NumberTests(MetadefTestCase):
    """How many definitions a namespace may have."""

    def test_at_once(self) -> None:
        """As many definitions as the limit, of all kinds together, are accepted. One more is refused, and
        nothing is created.
        """
        properties = {f"p{number}": PROPERTY for number in range(500)}
        objects = [{"name": f"o{number}"} for number in range(10)]
        types = [{"name": f"t{number}"} for number in range(10)]
        parts = {"properties": properties, "objects": objects, "resource_type_associations": types}
        self.made("full", **parts, tags=tags(MOST_DEFINITIONS - 520))
        answer = self.send("POST", ROOT, {"namespace": "more", **parts, "tags": tags(MOST_DEFINITIONS - 519)})
        self.assert_status(413, answer, "1000 definitions, not 1001")
        self.assert_status(404, self.send("GET", path("more")))

    def test_before_they_are_looked_at(self) -> None:
        """A request with too many definitions is refused before each is checked."""
        self.assert_status(413, self.send("POST", ROOT, {"namespace": "n", "tags": [7] * (MOST_DEFINITIONS + 1)}))

    def test_one_more(self) -> None:
        """A full namespace takes no definition of any kind. Its own can be changed, and removed ones make room."""
        self.made("full", tags=tags(MOST_DEFINITIONS))
        for collection, document in (
            ("properties", {"name": "p", **PROPERTY}),
            ("objects", {"name": "o"}),
            ("resource_types", {"name": "t"}),
        ):
            self.assert_unchanged(413, "POST", path("full", collection), document)
        self.assert_unchanged(413, "POST", path("full", "tags", "new"))
        appending = {**ADMIN, "X-Openstack-Append": "true"}
        self.assert_unchanged(413, "POST", path("full", "tags"), {"tags": [{"name": "new"}]}, appending)
        self.assert_unchanged(413, "POST", path("full", "tags"), {"tags": tags(MOST_DEFINITIONS + 1)})
        self.assert_status(200, self.send("PUT", path("full", "tags", "tag 1"), {"name": "renamed"}))
        self.assert_status(201, self.send("POST", path("full", "tags"), {"tags": tags(MOST_DEFINITIONS, 7)}))
        self.assert_status(204, self.send("DELETE", path("full", "tags", "tag 7")))
        self.assert_status(201, self.send("POST", path("full", "tags", "new")))


class BytesTests(MetadefTestCase):
    """How many bytes the definitions of a namespace may have."""

    def test_one_more(self) -> None:
        """A change that makes the namespace too large is refused. Changes that fit, or make it smaller, are
        accepted.
        """
        self.made("ns", properties=large(LARGEST_NAMESPACE // 60_200))
        one_more = {"name": "more", **PROPERTY, "description": "x" * 60_000}
        self.assert_unchanged(413, "POST", path("ns", "properties"), one_more)
        self.assert_status(201, self.send("POST", path("ns", "properties"), {"name": "more", **PROPERTY}))
        self.assert_unchanged(413, "PUT", path("ns", "properties", "more"), one_more)
        self.assert_status(200, self.send("PUT", path("ns", "properties", "large 0"), {"name": "small", **PROPERTY}))
        self.assert_status(200, self.send("PUT", path("ns", "properties", "more"), one_more))

    def test_larger_already(self) -> None:
        """A namespace that was larger before the limit is shown as it is. It can shrink, but not grow."""
        documents = {**large(40), **{f"small {each}": PROPERTY for each in range(1100)}}
        definitions = [Definition(Kind.PROPERTY, name, NOON, NOON, each) for name, each in documents.items()]
        fired(
            self.server.server.core.metadefs.catalogue.add(
                Namespace("old", NOON, NOON, definitions=by_key(definitions))
            )
        )
        self.assertEqual(len(self.shown("old")["properties"]), 1140)
        self.assert_unchanged(413, "POST", path("old", "tags", "new"))
        replacement = {"name": "large 0", **PROPERTY, "description": "x" * 60_001}
        self.assert_unchanged(413, "PUT", path("old", "properties", "large 0"), replacement)
        replacement["description"] = "y" * 60_000
        self.assert_status(200, self.send("PUT", path("old", "properties", "large 0"), replacement))
        self.assert_status(204, self.send("DELETE", path("old", "properties", "large 1")))
        self.assert_status(200, self.send("PUT", path("old"), {"namespace": "old", "display_name": "Old"}))
        self.assert_status(204, self.send("DELETE", path("old")))


class ListTests(MetadefTestCase):
    """Lists of namespaces with many definitions."""

    def test_large(self) -> None:
        """A large page has the same contents as small ones, and as many namespaces as requested."""
        types = [{"name": f"type {number}", "prefix": "\N{GRINNING FACE}"} for number in range(700)]
        for name in ("a", "b", "c"):
            self.made(name, resource_type_associations=types)
        whole = {each: self.send("GET", path(each)).json for each in ("a", "b", "c")}
        answer = self.send("GET", f"{ROOT}?limit=2")
        self.assertGreater(len(answer.body), 128 << 10)
        self.assertEqual([whole["c"], whole["b"]], answer.json["namespaces"])
        self.assertEqual(f"{ROOT}?limit=2&marker=b", answer.json["next"])
        self.assertEqual(0, self.server.server.core.budgets.answers.held)

    def test_types(self) -> None:
        """A list accepts at most a hundred resource types."""
        self.assert_status(200, self.send("GET", f"{ROOT}?resource_types={','.join(map(str, range(100)))}"))
        answer = self.send("GET", f"{ROOT}?resource_types={','.join(map(str, range(101)))}")
        self.assert_status(400, answer, "may have 100 types, not 101")
