"""Tests of `imgsvc-admin metadefs`, and of the definitions that it loads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imgsvc import config
from imgsvc.admin.metadefs import portable, read_files
from imgsvc.catalogue import Schema
from imgsvc.errors import ConfigurationError, NotFound
from imgsvc.metadef_model import Definition, Kind, Namespace, by_key
from imgsvc.model import Visibility
from imgsvc.operations.metadef_loading import (
    Existing,
    Outcome,
    all_namespaces,
    load_namespace,
    unload_namespace,
)
from tests.catalogue.rigs import NOON
from tests.catalogue.test_metadefs import MetadefTestCase, definition, new_namespace

OWN = Path(str(files("imgsvc") / "definitions"))
ROOT = Path(__file__).parent.parent.parent
LATER = NOON + timedelta(days=1)
THERE = (
    definition(Kind.PROPERTY, "same", {"title": "S", "type": "string"}),
    definition(Kind.PROPERTY, "changed", {"title": "C", "type": "string"}),
    definition(Kind.TAG, "gone"),
)
FIELDS = {"name": "one", "display_name": "One", "visibility": Visibility.PUBLIC}
DOCUMENTS = {
    (Kind.PROPERTY, "same"): {"title": "S", "type": "string"},
    (Kind.PROPERTY, "changed"): {"title": "C", "type": "integer"},
    (Kind.TAG, "new"): {},
}


class LoadingTests(MetadefTestCase):
    """Loading a namespace that exists."""

    def load(self, existing: Existing, documents: Any = DOCUMENTS, **fields: Any) -> Outcome:
        loading = load_namespace(self.metadefs, {**FIELDS, **fields}, documents, existing, LATER)
        outcome = self.successResultOf(Deferred.fromCoroutine(loading))
        assert isinstance(outcome, Outcome)
        return outcome

    def keys(self) -> set[tuple[Kind, str]]:
        return set(self.read("one").definitions)

    def test_added(self) -> None:
        """A missing namespace is added, whatever the mode."""
        for existing in Existing:
            name = f"new {existing}"
            self.assertEqual(self.load(existing, name=name), Outcome.ADDED)
            found = self.read(name)
            self.assertEqual((set(found.definitions), found.created_at), (set(DOCUMENTS), LATER))

    def test_skip(self) -> None:
        """The existing namespace stays unchanged."""
        before = self.keep(new_namespace("one", *THERE))
        self.assertEqual(self.load(Existing.SKIP), Outcome.UNCHANGED)
        self.assertEqual(self.read("one"), before)

    def test_merge(self) -> None:
        """Missing parts are added, and nothing is changed."""
        before = self.keep(new_namespace("one", *THERE, owner="blue", protected=True))
        self.assertEqual(self.load(Existing.MERGE), Outcome.CHANGED)
        after = self.read("one")
        self.assertEqual(after.definitions, by_key([*THERE, Definition(Kind.TAG, "new", LATER, LATER)]))
        self.assertEqual((after.owner, after.protected, after.updated_at), ("blue", True, before.updated_at))
        self.assertEqual(self.load(Existing.MERGE), Outcome.UNCHANGED)

    def test_prefer_new(self) -> None:
        """Loaded parts replace existing ones, others stay, and equal parts keep their dates."""
        self.keep(new_namespace("one", *THERE, owner="blue"))
        self.assertEqual(self.load(Existing.PREFER_NEW), Outcome.CHANGED)
        after = self.read("one")
        self.assertEqual(self.keys(), {*DOCUMENTS, (Kind.TAG, "gone")})
        self.assertEqual(after.definitions[Kind.PROPERTY, "same"], THERE[0])
        changed = after.definitions[Kind.PROPERTY, "changed"]
        self.assertEqual((changed.document["type"], changed.created_at, changed.updated_at), ("integer", NOON, LATER))
        self.assertEqual(
            (after.display_name, after.visibility, after.owner, after.created_at, after.updated_at),
            ("One", Visibility.PUBLIC, None, NOON, LATER),
        )
        self.assertEqual(self.load(Existing.PREFER_NEW), Outcome.UNCHANGED)

    def test_replace(self) -> None:
        """The loaded namespace replaces the existing one."""
        self.keep(new_namespace("one", *THERE))
        self.assertEqual(self.load(Existing.REPLACE), Outcome.CHANGED)
        self.assertEqual(self.keys(), set(DOCUMENTS))
        self.assertEqual(self.read("one").definitions[Kind.PROPERTY, "same"], THERE[0])
        now = self.read("one")
        self.assertEqual(self.load(Existing.REPLACE), Outcome.UNCHANGED)
        self.assertEqual(self.read("one"), now)

    def test_dates(self) -> None:
        """A change of definitions alone does not change the date of the namespace."""
        self.keep(new_namespace("one", *THERE, display_name="One", visibility=Visibility.PUBLIC))
        self.assertEqual(self.load(Existing.REPLACE), Outcome.CHANGED)
        self.assertEqual(self.read("one").updated_at, NOON)

    def test_unload(self) -> None:
        """A namespace is removed, also a protected one."""
        self.keep(new_namespace("one", *THERE, protected=True))
        self.successResultOf(Deferred.fromCoroutine(unload_namespace(self.metadefs, "one")))
        self.failureResultOf(self.metadefs.namespace("one"), NotFound)
        self.failureResultOf(Deferred.fromCoroutine(unload_namespace(self.metadefs, "one")), NotFound)

    def test_all(self) -> None:
        """All namespaces are read, however many, sorted by name, with their definitions."""
        names = [f"{number:03}" for number in range(201)]
        for name in names:
            self.keep(new_namespace(name, definition(Kind.TAG, "t")))

        async def walk() -> list[Namespace]:
            return [each async for each in all_namespaces(self.metadefs)]

        found = self.successResultOf(Deferred.fromCoroutine(walk()))
        self.assertEqual([each.name for each in found], names)
        self.assertEqual({len(each.definitions) for each in found}, {1})


class FileTests(SynchronousTestCase):
    """Reading files."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def write(self, name: str, document: Any) -> Path:
        path = self.folder / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    def test_read(self) -> None:
        """A folder's files are read in the order of their names, or one file. A namespace without visibility is
        public.
        """
        self.write("b.json", {"namespace": "first", "visibility": "private"})
        second = self.write("c.json", {"namespace": "second", "tags": [{"name": "t"}]})
        self.write("a.txt", "no JSON")
        expected: list[Any] = [
            ({"name": "first", "visibility": Visibility.PRIVATE}, {}),
            ({"name": "second", "visibility": Visibility.PUBLIC}, {(Kind.TAG, "t"): {}}),
        ]
        self.assertEqual(list(read_files(self.folder)), expected)
        self.assertEqual(list(read_files(second)), expected[1:])

    def test_wrong(self) -> None:
        """An invalid file is reported with its name."""
        for document, text in (
            ("{", "Expecting"),
            ("[]", "object"),
            ({"namespace": 7}, "namespace must be string"),
            ({"namespace": "n", "self": "/"}, "self"),
            ({"namespace": "n", "tags": [{"name": "t"}, {"name": "t"}]}, "twice"),
        ):
            path = self.write("wrong.json", document)
            with self.assertRaisesRegex(ConfigurationError, f"(?s){re.escape(str(path))}: .*{text}"):
                list(read_files(self.folder))
        self.assertRaises(ConfigurationError, list, read_files(self.folder / "missing.json"))
        path.unlink()
        self.assertRaises(ConfigurationError, list, read_files(self.folder))

    def test_twice(self) -> None:
        """A namespace that is in two files is reported with the names of both."""
        first, second = (self.write(name, {"namespace": "n"}) for name in ("a.json", "b.json"))
        with self.assertRaisesRegex(ConfigurationError, f"{second}: namespace 'n' is in {first}, too"):
            list(read_files(self.folder))


class OwnCatalogueTests(SynchronousTestCase):
    """The definitions that come with imgsvc."""

    def setUp(self) -> None:
        self.documents = {path: json.loads(path.read_text(encoding="utf-8")) for path in sorted(OWN.glob("*.json"))}

    def properties(self) -> dict[str, Any]:
        """The properties of all namespaces, also of their objects."""
        return {
            f"{document['namespace']} {name}": value
            for document in self.documents.values()
            for properties in (document, *document.get("objects", ()))
            for name, value in properties.get("properties", {}).items()
        }

    def test_read(self) -> None:
        """Each is valid, public and protected, and all have different names."""
        loaded = list(read_files(OWN))
        self.assertGreaterEqual(len(loaded), 30)
        self.assertEqual(len({fields["name"] for fields, _ in loaded}), len(loaded))
        self.assertEqual({fields["visibility"] for fields, _ in loaded}, {Visibility.PUBLIC})
        self.assertTrue(all(fields["protected"] and fields["description"] for fields, _ in loaded))
        self.assertGreaterEqual(
            {fields["name"] for fields, _ in loaded},
            {
                *("OS::Compute::Hypervisor", "OS::Compute::Libvirt", "OS::Compute::LibvirtImage"),
                *("OS::Compute::VirtCPUTopology", "OS::Compute::CPUPinning", "OS::Compute::Quota"),
                *("OS::Compute::RandomNumberGenerator", "OS::Compute::TPM", "OS::Compute::Watchdog"),
                *("OS::Compute::GuestMemoryBacking", "OS::Compute::HostCapabilities", "OS::Compute::VMware"),
                *("OS::Compute::XenAPI", "OS::Glance::CommonImageProperties", "OS::Glance::Signatures"),
                *("OS::OperatingSystem", "OS::Cinder::Volumetype", "OS::Software::WebServers"),
                *("OS::Software::DBMS", "OS::Software::Runtimes"),
            },
        )

    def test_associated(self) -> None:
        """Each is associated with a resource type."""
        types = {
            *("OS::Glance::Image", "OS::Nova::Flavor", "OS::Cinder::Volume"),
            *("OS::Nova::Aggregate", "OS::Nova::Server", "OS::Trove::Instance"),
        }
        for path, document in self.documents.items():
            associated = {each["name"] for each in document["resource_type_associations"]}
            self.assertTrue(associated and associated <= types, path)

    def test_properties(self) -> None:
        """Each property has a description, its limits have its type, and its default is one of its values."""
        for name, prop in self.properties().items():
            self.assertTrue(prop["title"] and prop["description"].endswith("."), name)
            bounds = {"minimum", "maximum"} & prop.keys()
            self.assertTrue(not bounds or prop["type"] in ("integer", "number"), name)
            if "enum" in prop:
                self.assertEqual(len(set(prop["enum"])), len(prop["enum"]), name)
                self.assertIn(prop.get("default", prop["enum"][0]), prop["enum"], name)
            if "pattern" in prop:
                re.compile(prop["pattern"])

    def test_keys(self) -> None:
        """With a resource type, the properties have the keys that Nova and Cinder know."""
        keys = {
            each["name"]: {
                known.get("prefix", "") + name
                for document in self.documents.values()
                for known in document["resource_type_associations"]
                if known["name"] == each["name"]
                for properties in (document, *document.get("objects", ()))
                for name in properties.get("properties", {})
            }
            for document in self.documents.values()
            for each in document["resource_type_associations"]
        }
        self.assertGreaterEqual(
            keys["OS::Glance::Image"],
            {
                *("hw_cpu_policy", "hw_cpu_sockets", "hw_disk_bus", "hw_firmware_type", "hw_mem_page_size"),
                *(
                    "hw_numa_nodes",
                    "hw_tpm_model",
                    "hw_watchdog_action",
                    "os_secure_boot",
                    "os_distro",
                    "img_signature",
                ),
                *("cinder_img_volume_type", "trait:COMPUTE_SECURITY_TPM_2_0"),
            },
        )
        self.assertGreaterEqual(
            keys["OS::Nova::Flavor"],
            {
                *("hw:cpu_policy", "hw:cpu_dedicated_mask", "hw:numa_nodes", "hw:numa_cpus.0", "hw:mem_encryption"),
                *("quota:disk_read_iops_sec", "quota:vif_inbound_average", "hw_rng:allowed", "os:secure_boot"),
                *(
                    "resources:VGPU",
                    "capabilities:cpu_info:features",
                    "hw:watchdog_action",
                    "hw:pci_numa_affinity_policy",
                ),
            },
        )


class CommandTests(SynchronousTestCase):
    """The command, with its own database."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        Schema(config.Database(), self.folder).upgrade()

    def run_command(self, *arguments: str | Path) -> tuple[int, str]:
        """Status and output of the command."""
        code = "from imgsvc.admin.command import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, "--data", self.folder, "metadefs", *arguments],
            env={"PYTHONPATH": ":".join([str(ROOT), *sys.path])},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return done.returncode, (done.stdout + done.stderr).strip()

    def test_life(self) -> None:
        """Namespaces are loaded, loaded again, exported, unloaded, and loaded from the export, without a difference."""
        number = len(list(OWN.glob("*.json")))
        self.assertEqual(self.run_command("load"), (0, f"{number} added"))
        self.assertEqual(self.run_command("load", "--replace"), (0, f"{number} unchanged"))
        exported, again = self.folder / "exported", self.folder / "again"
        self.assertEqual(self.run_command("export", exported), (0, f"{number} written"))
        status, text = self.run_command("export", exported)
        self.assertEqual((status, "is not empty" in text), (1, True))
        own = {fields["name"]: (fields, documents) for fields, documents in read_files(OWN)}
        self.assertEqual({fields["name"]: (fields, documents) for fields, documents in read_files(exported)}, own)
        self.assertEqual(self.run_command("unload", "OS::Compute::Quota"), (0, "1 removed"))
        status, text = self.run_command("unload", "OS::Compute::Quota")
        self.assertEqual((status, "OS::Compute::Quota" in text), (1, True))
        self.assertEqual(self.run_command("unload", "OS::Compute::TPM", "OS::Compute::Quota")[0], 1)
        self.assertEqual(self.run_command("load", exported), (0, f"1 added, {number - 1} unchanged"))
        self.assertEqual(self.run_command("unload")[0], 2)
        self.assertEqual(self.run_command("unload", "--all"), (0, f"{number} removed"))
        self.assertEqual(self.run_command("export", again), (0, "0 written"))

    def test_wrong_file(self) -> None:
        """An invalid file is reported in one line, and nothing is loaded from the others either."""
        files_folder = self.folder / "files"
        files_folder.mkdir()
        (files_folder / "a.json").write_text('{"namespace": "n"}')
        (files_folder / "b.json").write_text('{"namespace": 7}')
        status, text = self.run_command("load", files_folder)
        self.assertEqual(status, 1)
        self.assertRegex(text, r"^Error: .*b\.json: The namespace is not valid: namespace must be string\.$")
        self.assertEqual(self.run_command("export", self.folder / "exported"), (0, "0 written"))

    def test_wrong_folder(self) -> None:
        """A folder that cannot be written is reported in one line."""
        (self.folder / "file").touch()
        for folder in ("file/folder", "/proc/folder"):
            status, text = self.run_command("export", self.folder / folder)
            self.assertEqual((status, text.count("\n")), (1, 0))
            self.assertRegex(text, "^Error: .*folder: (Not a directory|No such file or directory)$")

    def test_names(self) -> None:
        """Namespaces whose names give the same file name are written to separate files."""
        files_folder = self.folder / "files"
        files_folder.mkdir()
        names = ["a::b", "a/b", "A::B", "..", "\u00e9"]
        for number, name in enumerate(names):
            (files_folder / f"{number}.json").write_text(json.dumps({"namespace": name}))
        self.assertEqual(self.run_command("load", files_folder), (0, f"{len(names)} added"))
        self.assertEqual(self.run_command("export", self.folder / "exported"), (0, f"{len(names)} written"))
        found = {fields["name"] for fields, _ in read_files(self.folder / "exported")}
        self.assertEqual(found, set(names))


class PortableTests(SynchronousTestCase):
    """The document of a namespace in a file."""

    def test_portable(self) -> None:
        """It has everything that a client may set, and nothing else."""
        namespace = new_namespace(
            "one",
            definition(Kind.PROPERTY, "p", {"title": "T", "type": "string"}),
            definition(Kind.OBJECT, "o", {"description": "d"}),
            definition(Kind.TAG, "t"),
            definition(Kind.ASSOCIATION, "r", {"prefix": "x"}),
            owner="blue",
        )
        self.assertEqual(
            portable(namespace),
            {
                "namespace": "one",
                "visibility": "private",
                "protected": False,
                "owner": "blue",
                "properties": {"p": {"title": "T", "type": "string"}},
                "objects": [{"name": "o", "description": "d"}],
                "tags": [{"name": "t"}],
                "resource_type_associations": [{"name": "r", "prefix": "x"}],
            },
        )
