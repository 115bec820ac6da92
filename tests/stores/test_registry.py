"""The stores of a configuration."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred, fail, succeed
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.config import Store
from imgsvc.errors import ConfigurationError, StoreUnavailable, UnknownStore
from imgsvc.interfaces import IStore, IStoreRegistry
from imgsvc.store_model import Purpose, StoreSettings
from imgsvc.stores.maker import IStoreMaker
from imgsvc.stores.memory import MemoryStore
from imgsvc.stores.registry import Registry, make_stores
from tests.support.store_contract import store_services
from twisted import plugins


class FragileStore(MemoryStore):
    """Adds its calls to a list, and may fail."""

    def __init__(self, store_id: str, calls: list[str], failing: str = "") -> None:
        super().__init__(StoreSettings(store_id), 0, store_services(Path()).budget)
        self._calls = calls
        self._failing = failing

    def start(self) -> Deferred[None]:
        return self._call("start")

    def stop(self) -> Deferred[None]:
        return self._call("stop")

    def _call(self, name: str) -> Deferred[None]:
        self._calls.append(f"{name} {self.store_id}")
        return fail(StoreUnavailable(self.store_id, "is away.")) if name == self._failing else succeed(None)


class RegistryTests(SynchronousTestCase):
    """The stores of tables of the configuration."""

    def setUp(self) -> None:
        self.services = store_services(Path(self.mktemp()).absolute())

    def make(self, default: str, **tables: Store) -> Registry:
        return make_stores(tables, default, self.services)

    def test_makers(self) -> None:
        """The kinds of stores are plugins."""
        makers = list(getPlugins(IStoreMaker, plugins))
        self.assertLessEqual({"file", "memory"}, {maker.kind for maker in makers})
        for maker in makers:
            verifyObject(IStoreMaker, maker)

    def test_stores(self) -> None:
        """Each table becomes a store, in order, with its name, description and weight."""
        registry = self.make(
            "b",
            a=Store(kind="file", description="slow", weight=-1, options={"path": "elsewhere"}),
            b=Store(kind="memory", weight=7),
        )
        verifyObject(IStoreRegistry, registry)
        told = [(store.info.id, store.info.kind, store.info.description, store.info.weight) for store in registry.all()]
        self.assertEqual([("a", "file", "slow", -1), ("b", "memory", "", 7)], told)
        for store in registry.all():
            verifyObject(IStore, store)
            self.assertIs(store, registry.get(store.store_id))
        self.assertIs(registry.get("b"), registry.default)
        self.assertTrue(registry.several)
        self.successResultOf(registry.start())
        self.assertTrue((self.services.data_folder / "elsewhere").is_dir())
        self.successResultOf(registry.stop())

    def test_one_store(self) -> None:
        """With one store, `several` is false."""
        self.assertFalse(self.make("a", a=Store(kind="memory")).several)

    def test_unknown_store(self) -> None:
        """A name that is not configured is an error of the request."""
        with self.assertRaises(UnknownStore):
            self.make("a", a=Store(kind="memory")).get("b")

    def test_unknown_kind(self) -> None:
        """A kind that does not exist is refused, with the existing ones."""
        with self.assertRaisesRegex(ConfigurationError, r"stores\.a\.kind = 'tape': must be one of file, http, memory"):
            self.make("a", a=Store(kind="tape"))

    def test_wrong_option(self) -> None:
        """An invalid option of a store is refused."""
        with self.assertRaisesRegex(ConfigurationError, r"stores\.a\.capacity"):
            self.make("a", a=Store(kind="memory", options={"capacity": "lots"}))

    def test_unknown_default(self) -> None:
        """The default is one of the stores."""
        with self.assertRaisesRegex(ConfigurationError, r"stores\.default = 'b': .*: a$"):
            self.make("b", a=Store(kind="memory"))

    def test_folders(self) -> None:
        """Each store needs its own folder, by whatever path."""
        folder = self.services.data_folder
        (folder / "images").mkdir(parents=True)
        (folder / "link").symlink_to("images")
        stores = {name: Store(kind="file", options={"path": name}) for name in ("images", "images-2")}
        self.assertTrue(self.make("images", **stores).several)
        for path in ("images", "x/../images/.", "link", str(folder / "images")):
            with self.assertRaisesRegex(
                ConfigurationError, r"^stores\.b: must be in another place than store images: file:/.*/images$"
            ):
                self.make("images", **stores, b=Store(kind="file", options={"path": path}))

    def test_reserved(self) -> None:
        """A reserved store is not for images, and is found by its purpose."""
        tables = {
            "images": Store(kind="memory"),
            "area": Store(kind="file", purpose="staging", options={"path": "area"}),
            "fast": Store(kind="memory", purpose="cache"),
        }
        registry = self.make("images", **tables)
        self.assertEqual(["images"], [store.store_id for store in registry.all()])
        self.assertEqual(["images", "area", "fast"], [store.store_id for store in registry.every()])
        self.assertFalse(registry.several)
        with self.assertRaisesRegex(UnknownStore, r"'area': the stores are images\.$"):
            registry.get("area")
        staging = registry.reserved(Purpose.STAGING)
        self.assertEqual(("area", Purpose.STAGING), (staging.store_id, staging.info.reserved))
        self.assertIs(staging, registry.find("area"))
        self.assertIs(registry.find("fast"), registry.reserved(Purpose.CACHE))
        self.assertRaises(UnknownStore, registry.find, "slow")
        self.assertIsNone(self.make("images", images=Store(kind="memory")).reserved(Purpose.CACHE))
        self.successResultOf(registry.start())
        self.assertTrue((self.services.data_folder / "area").is_dir())
        self.successResultOf(registry.stop())

    def test_wrong_purposes(self) -> None:
        """The default store may not be reserved, a reserved store may not be read-only, and no two may have one
        purpose.
        """
        images, cache = Store(kind="memory"), Store(kind="memory", purpose="cache")
        for default, tables, wrong in (
            ("a", {"a": cache}, r"^stores\.default = 'a': .*: there is none$"),
            ("b", {"a": images, "b": cache}, r"^stores\.default = 'b': .*: a$"),
            ("a", {"a": images, "b": cache, "c": cache}, r"^stores\.c\.purpose = 'cache': store b has this"),
            ("a", {"a": images, "w": Store(kind="http", purpose="cache")}, r"^stores\.w\.purpose = 'cache': .* http"),
        ):
            with self.assertRaisesRegex(ConfigurationError, wrong):
                self.make(default, **tables)

    def test_start_and_stop(self) -> None:
        """Stores start in order and stop in reverse. One that fails to stop does not keep the others from stopping."""
        calls: list[str] = []
        registry = Registry([FragileStore("a", calls), FragileStore("b", calls, "stop")], "a")
        self.successResultOf(registry.start())
        self.successResultOf(registry.stop())
        self.successResultOf(registry.stop())
        self.assertEqual(["start a", "start b", "stop b", "stop a"], calls)

    def test_failed_start(self) -> None:
        """If a store does not start, the started ones are stopped."""
        calls: list[str] = []
        stores = [FragileStore("a", calls), FragileStore("b", calls, "start"), FragileStore("c", calls)]
        self.failureResultOf(Registry(stores, "a").start(), StoreUnavailable)
        self.assertEqual(["start a", "start b", "stop b", "stop a"], calls)
