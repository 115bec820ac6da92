"""`glance md-...` and `openstack image metadef ...`: metadata definitions with command lines of other projects."""

from __future__ import annotations

import json
from typing import Any

from tests.clients.rigs import ClientTestCase, Run

OBJECT = {"description": "d", "properties": {"x": {"title": "X", "type": "string"}}}
WHOLE = {
    "namespace": "imported",
    "properties": {"a": {"title": "A", "type": "string", "enum": ["x"]}},
    "objects": [{"name": "o", **OBJECT}],
    "tags": [{"name": "t"}],
    "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "hw_"}],
}


class MetadefClientTestCase(ClientTestCase):
    """Looks up the effects of calls."""

    def api(self, method: str, path: str, document: Any = None) -> Any:
        """The response of the daemon to a request; None: 404."""
        body = None if document is None else json.dumps(document).encode()
        status, _, answer = self.daemon.request(method, f"/v2/metadefs/{path}", body=body)
        if status == 404:
            return None
        self.assertIn(status, (200, 201, 204), answer)
        return json.loads(answer) if answer else {}

    def namespace(self, name: str) -> Any:
        """The namespace without dates and links; None if there is none."""
        found = self.api("GET", f"namespaces/{name}")
        return found and {key: found[key] for key in found if key not in ("created_at", "updated_at", "self", "schema")}


class GlanceTests(MetadefClientTestCase):
    """All commands `md-...` of glanceclient except `--append`, which fails in the client."""

    def glance(self, *calls: list[str]) -> list[Run]:
        """The results of calls that must succeed."""
        options = ["--os-image-url", self.daemon.endpoint, "--os-auth-token", "any"]
        return self.succeed("glance", options, list(calls))

    def test_namespaces(self) -> None:
        """Namespaces are created, imported, listed page by page, shown with prefixes, updated and deleted."""
        file = self.folder / "namespace.json"
        file.write_text(json.dumps(WHOLE))
        created, _, listed, filtered, shown, _, _ = self.glance(
            ["md-namespace-create", "one", "--display-name", "One", "--description", "d", "--visibility", "public"],
            ["md-namespace-import", "--file", str(file)],
            ["md-namespace-list", "--page-size", "1"],
            ["md-namespace-list", "--resource-types", "OS::Glance::Image", "--visibility", "private"],
            ["md-namespace-show", "imported", "--resource-type", "OS::Glance::Image"],
            ["md-namespace-update", "imported", "--description", "new", "--namespace", "renamed"],
            ["md-namespace-delete", "one"],
        )
        self.assertIn("| visibility   | public ", created.output)
        self.assertTrue("| one " in listed.output and "| imported " in listed.output, listed.output)
        self.assertTrue("| one " not in filtered.output and "| imported " in filtered.output, filtered.output)
        self.assertIn('["hw_a"]', shown.output)
        renamed = self.namespace("renamed")
        self.assertEqual((renamed["description"], renamed["tags"]), ("new", [{"name": "t"}]))
        self.assertEqual((self.namespace("one"), self.namespace("imported")), (None, None))

    def test_definitions(self) -> None:
        """Properties, objects, associations and tags are created, updated, shown and listed."""
        self.api("POST", "namespaces", {"namespace": "one"})
        _, _, shown, listed, _, _, object_shown, property_shown, objects, _, types, associations, _, tags, _, tag = (
            self.glance(
                ["md-property-create", "one", "--name", "p", "--title", "P", "--type", "integer", "--schema", "{}"],
                ["md-property-update", "one", "p", "--name", "q", "--title", "Q", "--schema", '{"maximum": 3}'],
                ["md-property-show", "one", "q"],
                ["md-property-list", "one"],
                ["md-object-create", "one", "--name", "o", "--schema", json.dumps(OBJECT)],
                ["md-object-update", "one", "o", "--name", "n", "--schema", '{"required": ["x"]}'],
                ["md-object-show", "one", "n"],
                ["md-object-property-show", "one", "n", "x"],
                ["md-object-list", "one"],
                ["md-resource-type-associate", "one", "--name", "OS::Nova::Flavor", "--prefix", "hw:"],
                ["md-resource-type-list"],
                ["md-namespace-resource-type-list", "one"],
                ["md-tag-create-multiple", "one", "--names", "a;b", "--delim", ";"],
                ["md-tag-list", "one"],
                ["md-tag-update", "one", "a", "--name", "c"],
                ["md-tag-show", "one", "c"],
            )
        )
        self.assertIn("| maximum     | 3 ", shown.output)
        self.assertIn("| q    | Q     | integer |", listed.output)
        self.assertIn('["x"]', object_shown.output)
        self.assertIn("| title    | X ", property_shown.output)
        self.assertIn("| n    | d ", objects.output)
        self.assertIn("OS::Nova::Flavor", types.output)
        self.assertIn("| OS::Nova::Flavor | hw: ", associations.output)
        self.assertTrue("| a " in tags.output and "| b " in tags.output, tags.output)
        self.assertIn("| name       | c ", tag.output)
        found = self.namespace("one")
        self.assertEqual(found["tags"], [{"name": "b"}, {"name": "c"}])
        self.assertEqual(found["properties"]["q"]["maximum"], 3)
        self.assertEqual((found["objects"][0]["name"], found["objects"][0]["required"]), ("n", ["x"]))

    def test_removed(self) -> None:
        """Definitions are removed one by one, and all of a kind."""
        for name in ("one", "two"):
            self.api("POST", "namespaces", {**WHOLE, "namespace": name})
        self.glance(
            ["md-tag-create", "one", "--name", "u"],
            ["md-property-delete", "one", "a"],
            ["md-object-delete", "one", "o"],
            ["md-tag-delete", "one", "t"],
            ["md-resource-type-deassociate", "one", "OS::Glance::Image"],
            ["md-namespace-properties-delete", "two"],
            ["md-namespace-objects-delete", "two"],
            ["md-namespace-tags-delete", "two"],
        )
        bare = {"visibility": "private", "protected": False}
        self.assertEqual(self.namespace("one"), {"namespace": "one", **bare, "tags": [{"name": "u"}]})
        two = self.namespace("two")
        self.assertEqual(len(two.pop("resource_type_associations")), 1)
        self.assertEqual(two, {"namespace": "two", **bare})

    def test_refused(self) -> None:
        """The user sees our message of a refusal."""
        self.api("POST", "namespaces", {"namespace": "one", "protected": True})
        options = ["--os-image-url", self.daemon.endpoint, "--os-auth-token", "any"]
        calls = [["md-namespace-create", "one"], ["md-namespace-show", "two"], ["md-namespace-delete", "one"]]
        taken, missing, protected = self.many("glance", options, calls)
        for run, text in (
            (taken, "There is a namespace 'one' already."),
            (missing, "There is no namespace 'two'."),
            (protected, "Namespace 'one' is protected"),
        ):
            self.assertEqual((run.status, text in run.error), (1, True), run.error)


class OpenstackTests(MetadefClientTestCase):
    """All commands `image metadef ...` of openstackclient."""

    def openstack(self, *calls: list[str], succeed: bool = True) -> list[Run]:
        """The results of calls that must succeed, unless the status is given."""
        options = ["--os-auth-type", "none", "--os-endpoint", self.daemon.endpoint]
        run = self.succeed if succeed else self.many
        return run("openstack", options, [["image", "metadef", *call] for call in calls])

    def test_namespaces(self) -> None:
        """Namespaces are created, listed, shown, changed, tagged, untagged and deleted."""
        self.api("POST", "namespaces", WHOLE)
        created, listed, public, by_type, _ = self.openstack(
            [*("namespace", "create", "-f", "json", "two", "--display-name", "Two"), "--public", "--protected"],
            ["namespace", "list", "-f", "json"],
            ["namespace", "list", "-f", "json", "--visibility", "public"],
            ["namespace", "list", "-f", "json", "--resource-types", "OS::Glance::Image"],
            [*("namespace", "set", "two", "--display-name", "Other", "--private"), "--tag", "a", "--tag", "b"],
        )
        self.assertEqual((created.json["display_name"], created.json["protected"]), ("Two", True))
        names = [{each["namespace"] for each in run.json} for run in (listed, public, by_type)]
        self.assertEqual(names, [{"imported", "two"}, {"two"}, {"imported"}])
        found = self.namespace("two")
        self.assertEqual(
            (found["display_name"], found["visibility"], found["protected"], found["tags"]),
            ("Other", "private", False, [{"name": "a"}, {"name": "b"}]),
        )
        shown, _ = self.openstack(
            ["namespace", "show", "-f", "json", "imported"], ["namespace", "unset", "two", "--tag", "a"]
        )
        self.assertEqual((shown.json["namespace"], shown.json["tags"]), ("imported", [{"name": "t"}]))
        self.assertEqual(self.namespace("two")["tags"], [{"name": "b"}])
        self.openstack(["namespace", "delete", "two", "imported"])
        self.assertEqual((self.namespace("two"), self.namespace("imported")), (None, None))

    def test_definitions(self) -> None:
        """Properties and objects are created, listed, shown, changed and removed."""
        self.api("POST", "namespaces", {**WHOLE, "namespace": "one"})
        schema = '{"enum": ["a"]}'
        _, _, properties, _, shown, _, objects, _, object_shown, property_shown = self.openstack(
            ["property", "create", "one", "--name", "p", "--title", "P", "--type", "string", "--schema", schema],
            ["property", "create", "one", "--name", "r", "--title", "R", "--type", "integer", "--schema", "{}"],
            ["property", "list", "-f", "json", "one"],
            ["property", "set", "one", "p", "--name", "q", "--title", "Q", "--type", "string"],
            ["property", "show", "-f", "json", "one", "q"],
            ["object", "create", "--namespace", "one", "new"],
            ["object", "list", "-f", "json", "one"],
            ["object", "update", "one", "new", "--name", "newer"],
            ["object", "show", "-f", "json", "one", "o"],
            ["object", "property", "show", "-f", "json", "one", "o", "x"],
        )
        self.assertEqual({each["name"] for each in properties.json}, {"a", "p", "r"})
        self.assertEqual((shown.json["title"], shown.json["enum"]), ("Q", ["a"]))
        self.assertEqual({each["name"] for each in objects.json}, {"new", "o"})
        self.assertEqual(object_shown.json["description"], "d")
        self.assertEqual(property_shown.json["title"], "X")
        found = self.namespace("one")
        self.assertEqual(
            [set(found["properties"]), {each["name"] for each in found["objects"]}], [{"a", "q", "r"}, {"newer", "o"}]
        )
        self.openstack(["property", "delete", "one", "q"], ["object", "delete", "one", "o"])
        found = self.namespace("one")
        self.assertEqual(
            [set(found["properties"]), {each["name"] for each in found["objects"]}], [{"a", "r"}, {"newer"}]
        )
        self.openstack(["property", "delete", "one"], ["object", "delete", "one"])
        self.assertFalse({"properties", "objects"} & self.namespace("one").keys())

    def test_resource_types(self) -> None:
        """Resource types are associated, listed and removed; with --force also if the namespace is protected."""
        self.api("POST", "namespaces", {**WHOLE, "namespace": "one", "protected": True})
        created, types, listed, refused, forced = self.openstack(
            [
                *("resource", "type", "association", "create", "-f", "json", "one", "OS::New"),
                "--properties-target",
                "t",
            ],
            ["resource", "type", "list", "-f", "json"],
            ["resource", "type", "association", "list", "-f", "json", "one"],
            ["resource", "type", "association", "delete", "one", "OS::New"],
            ["resource", "type", "association", "delete", "one", "OS::New", "--force"],
            succeed=False,
        )
        self.assertEqual((created.json["name"], created.json["properties_target"]), ("OS::New", "t"))
        for run in (types, listed):
            self.assertEqual({each["Name"] for each in run.json}, {"OS::Glance::Image", "OS::New"})
        self.assertEqual((refused.status, "protected" in refused.error), (1, True), refused.error)
        self.assertEqual(forced.status, 0, forced.error)
        found = self.namespace("one")
        self.assertEqual([each["name"] for each in found["resource_type_associations"]], ["OS::Glance::Image"])
        self.assertTrue(found["protected"])

    def test_all_tags(self) -> None:
        """All tags are removed at once."""
        self.api("POST", "namespaces", {**WHOLE, "namespace": "one"})
        self.openstack(["namespace", "unset", "one", "--all-tags"])
        self.assertNotIn("tags", self.namespace("one"))
