"""Tests of imgsvc.options and imgsvc.config."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.config import Config, Identity, Quotas, Server, Store, Stores, from_json, load, to_json
from imgsvc.endpoints import is_local
from imgsvc.errors import ConfigurationError
from imgsvc.options import Seconds, Size, allowed, option, structure
from imgsvc.store_model import Purpose


@frozen
class Inner:
    depth: int = option("How deep.", 1, at_least=1)


@frozen
class Sample:
    path: str = option("Where.")
    flag: bool = option("Whether.", False)
    count: int = option("How many.", 2, at_least=1)
    ratio: float = option("How much.", 0.5)
    size: Size = option("How large.", 1024)
    time: Seconds = option("How long.", 1.0)
    names: tuple[str, ...] = option("Which.", ())
    colour: str = option("What colour.", "red", choices=("red", "blue"))
    inner: Inner = Inner()
    colours: tuple[str, ...] = option("What colours.", ("red",), choices=("red", "blue"))


class StructureTests(SynchronousTestCase):
    """A table becomes an options class, or one line says what is wrong."""

    def sample(self, **table: object) -> Sample:
        return structure(Sample, {"path": "images", **table}, "stores.local")

    def refusal(self, **table: object) -> str:
        message = str(self.assertRaises(ConfigurationError, self.sample, **table))
        self.assertNotIn("\n", message)
        return message

    def test_defaults(self) -> None:
        """Options that are not in the table have their defaults."""
        self.assertEqual(self.sample(), Sample(path="images"))

    def test_values(self) -> None:
        """Values of every type are accepted."""
        table = {
            "flag": True,
            "count": 3,
            "ratio": 2,
            "size": "1 KiB",
            "time": 3,
            "names": ["a", "b"],
            "colour": "blue",
            "inner": {"depth": 4},
        }
        self.assertEqual(self.sample(**table), Sample("images", True, 3, 2.0, 1024, 3.0, ("a", "b"), "blue", Inner(4)))

    def test_unknown_key(self) -> None:
        """An unknown key is named with its path, and the message has the existing ones."""
        message = self.refusal(pth="x")
        self.assertTrue(message.startswith("stores.local.pth: no such option; there are path, flag, count"), message)

    def test_missing_key(self) -> None:
        """An option without default must be given."""
        error = self.assertRaises(ConfigurationError, structure, Sample, {}, "stores.local")
        self.assertEqual(str(error), "stores.local.path: must be given: a string")

    def test_wrong_types(self) -> None:
        """No value is converted to another type: not text to numbers, numbers to text, or either to a bool."""
        wrong: dict[str, tuple[object, ...]] = {
            "path": (1, None, ["a"], True, "a\0b"),
            "flag": (0, 1, "true", None),
            "count": ("3", 3.0, True, None),
            "ratio": ("0.5", True, None),
            "size": (True, None, 0.5, -1, "1 parsec", "-1 B", "1 KiB 2", "", [1], 2**63, "0.5 B", float("nan")),
            "time": (True, None, -0.1, "1 MiB", "soon", float("inf"), "٣ s"),
            "names": ("a", [1], {"a": 1}, None, ["a", "\0"]),
            "inner": (3, "depth", ["depth"]),
        }
        for name, values in wrong.items():
            for value in values:
                self.assertEqual(
                    self.refusal(**{name: value}),
                    f"stores.local.{name} = {value!r}: must be {allowed(Sample, name)}",
                )

    def test_out_of_range(self) -> None:
        """A value below the minimum, or not among the choices, is refused, also in inner tables."""
        self.assertEqual(self.refusal(count=0), "stores.local.count = 0: must be an integer, at least 1")
        self.assertEqual(self.refusal(colour="green"), "stores.local.colour = 'green': must be one of red, blue")
        for wrong in (("green",), ("red", "green"), ("Red",)):
            self.assertEqual(
                self.refusal(colours=list(wrong)), f"stores.local.colours = {wrong!r}: must be a list of red, blue"
            )
        self.assertEqual(
            self.refusal(inner={"depth": 0}), "stores.local.inner.depth = 0: must be an integer, at least 1"
        )
        self.assertEqual(self.refusal(inner={"depht": 0}), "stores.local.inner.depht: no such option; there are depth")

    def test_not_a_table(self) -> None:
        """A value in the place of a table is refused."""
        error = self.assertRaises(ConfigurationError, structure, Sample, 3, "stores.local")  # type: ignore[arg-type]
        self.assertEqual(str(error), "stores.local = 3: must be a table")

    def test_units(self) -> None:
        """Sizes and times are parsed with their units."""
        sizes = {"0": 0, "12": 12, "12 B": 12, "1KiB": 1024, "1.5 MiB": 1572864, "10 GB": 10**10, "2 TiB": 2 * 1024**4}
        for text, size in sizes.items():
            self.assertEqual(self.sample(size=text).size, size)
        times = {"0.5": 0.5, "250 ms": 0.25, "60 s": 60, "5min": 300, "2 h": 7200, "1 d": 86400}
        for text, seconds in times.items():
            self.assertEqual(self.sample(time=text).time, seconds)

    @given(st.integers(0, 2**20), st.sampled_from([("B", 1), ("KiB", 2**10), ("MB", 10**6), ("TiB", 2**40)]))
    @settings(derandomize=True, deadline=None, max_examples=50)
    def test_any_size(self, number: int, unit: tuple[str, int]) -> None:
        """A whole number of a unit is exactly as many bytes."""
        self.assertEqual(self.sample(size=f"{number} {unit[0]}").size, number * unit[1])


class ConfigTests(SynchronousTestCase):
    """The configuration file."""

    def load(self, text: str, listen: tuple[str, ...] = ()) -> Config:
        path = Path(self.mktemp())
        path.write_text(text, encoding="utf-8")
        return load(path, listen)

    def refusal(self, text: str) -> str:
        return str(self.assertRaises(ConfigurationError, self.load, text))

    def test_nothing(self) -> None:
        """No file and an empty file give the same defaults, with one store in a folder."""
        self.assertEqual(load(), Config())
        self.assertEqual(self.load(""), Config())
        self.assertEqual(Config().stores.stores, {"local": Store(kind="file", options={"path": "images"})})

    def test_file(self) -> None:
        """The file's values are used. The options of a store's kind are left as they are."""
        config = self.load(
            """
            [server]
            memory_budget = "64 MiB"
            [stores]
            default = "b"
            [stores.a]
            kind = "memory"
            [stores.b]
            kind = "file"
            path = "images"
            weight = 3
            """
        )
        self.assertEqual(config.server, Server(memory_budget=64 * 1024**2))
        self.assertEqual(
            config.stores,
            Stores("b", {"a": Store("memory"), "b": Store("file", weight=3, options={"path": "images"})}),
        )

    def test_listen(self) -> None:
        """Endpoints of the command line replace those of the file."""
        config = self.load('[server]\nlisten = ["unix:/a"]', ("unix:/b", "unix:/c"))
        self.assertEqual(config.server.listen, ("unix:/b", "unix:/c"))
        self.assertRaises(ConfigurationError, load, None, ("tcp:80",))

    def test_not_readable(self) -> None:
        """A file that is missing or not TOML is refused with its path, and the place of the fault."""
        path = Path(self.mktemp())
        error = self.assertRaises(ConfigurationError, load, path)
        self.assertEqual(str(error), f"{path}: cannot be read: No such file or directory")
        self.assertIn("(at line 2, column 5)", self.refusal("[server]\nx = y\n"))
        path.write_bytes(b"\xff")
        self.assertIn("is not TOML", str(self.assertRaises(ConfigurationError, load, path)))

    def test_only_store_is_default(self) -> None:
        """A single store needs no `default`. Of several, one must be the default."""
        self.assertEqual(self.load('[stores.a]\nkind = "memory"').stores.default, "a")
        text = '[stores.a]\nkind = "memory"\n[stores.b]\nkind = "memory"\n'
        self.assertEqual(self.refusal(text), "stores.default = 'local': must be one of a, b")
        self.assertEqual(self.load(text + 'purpose = "cache"').stores.default, "a")

    def test_purpose(self) -> None:
        """A store is for images, or for one of the purposes of the server itself."""
        stores = self.load(
            '[stores.a]\nkind = "memory"\n[stores.b]\nkind = "memory"\npurpose = "staging"'
        ).stores.stores
        settings = [store.settings(name).reserved for name, store in stores.items()]
        self.assertEqual([None, Purpose.STAGING], settings)
        self.assertEqual(
            self.refusal('[stores.a]\nkind = "memory"\npurpose = "fun"'),
            "stores.a.purpose = 'fun': must be one of images, staging, cache",
        )

    def test_wrong_stores(self) -> None:
        """A store without a kind, with an invalid name, or that is not a table, is refused."""
        self.assertEqual(self.refusal("[stores.a]\npath = 'x'"), "stores.a.kind: must be given: a string")
        self.assertEqual(self.refusal("[stores]\na = 1"), "stores.a = 1: must be a table")
        self.assertEqual(self.refusal("stores = 1"), "stores = 1: must be a table")
        for default in (3, ["a"], {"a": 1}, True):
            text = str(default).replace("'", '"').replace(": ", " = ").replace("True", "true")
            self.assertEqual(
                self.refusal(f"[stores]\ndefault = {text}"), f"stores.default = {default!r}: must be a string"
            )
        self.assertEqual(self.refusal("[stores]\ndefault = 'a'"), "stores.default = 'a': must be one of local")
        for name in ("a,b", "os_glance_staging_store", "", "a b", "-a"):
            self.assertIn("the name must be", self.refusal(f"[stores.'{name}']\nkind = 'memory'"))

    def test_limits(self) -> None:
        """The default size of a page may not be larger than the maximum."""
        self.assertIn("api.limit_default = 50: must be at most", self.refusal("[api]\nlimit_default=50\nlimit_max=10"))

    def test_json(self) -> None:
        """A configuration is passed to another process unchanged."""
        config = Config(
            server=Server(listen=("unix:/a", "unix:/b"), grace=1.5),
            stores=Stores("a", {"a": Store("s3", "text", -1, {"bucket": "x", "nested": {"a": [1, 2.5, True]}})}),
            quotas=Quotas(user_storage=2**62, tags=-1),
            identity=Identity("proxy"),
        )
        self.assertEqual(from_json(to_json(config)), config)
        self.assertEqual(from_json(to_json(Config())), Config())


class ImagesTests(SynchronousTestCase):
    """[images]"""

    def test_what_nothing_can_check(self) -> None:
        """Types of VMDK that no image can have, and checks that do not exist, are refused at the start."""
        for wrong in ("monolithicFlat", "vmfs", "streamoptimized", ""):
            with self.assertRaisesRegex(ConfigurationError, "images.vmdk_allowed_types = .*: must be a list of"):
                structure(Config, {"images": {"vmdk_allowed_types": ["monolithicSparse", wrong]}}, "")
        with self.assertRaisesRegex(ConfigurationError, "images.gpt_safety_checks_nonfatal = .* a list of mbr"):
            structure(Config, {"images": {"gpt_safety_checks_nonfatal": ["gpt"]}}, "")
        taken = {"vmdk_allowed_types": [], "gpt_safety_checks_nonfatal": ["mbr"]}
        self.assertEqual(structure(Config, {"images": taken}, "").images.vmdk_allowed_types, ())


class LocalTests(SynchronousTestCase):
    """Without identity the server listens only for its own machine."""

    local = (
        "tcp:9292:interface=127.0.0.1",
        "tcp:interface=127.1.2.3:port=9292",
        "tcp:9292:interface=localhost",
        r"tcp6:9292:interface=\:\:1",
        "ssl:9292:interface=127.0.0.1:privateKey=key.pem",
        "unix:/run/imgsvc.sock",
        r"unix:/run/a\:b:mode=660",
        "systemd:domain=UNIX:index=0",
    )
    remote = (
        "tcp:9292",
        "tcp:9292:interface=",
        "tcp:9292:interface=0.0.0.0",
        "tcp:9292:interface=192.0.2.1",
        "tcp:9292:interface=127.0.0.1:interface=0.0.0.0",
        r"tcp:9292:interface=\:\:",
        "tcp6:9292",
        "ssl:9292:privateKey=key.pem",
        "systemd:domain=INET:index=0",
        "haproxy:tcp:9292:interface=127.0.0.1",
        r"tcp:9292:x=\:interface=127.0.0.1",
        "",
        ":",
    )

    def test_is_local(self) -> None:
        """Loopback addresses and unix sockets are local. Addresses that cannot be classified are not."""
        for endpoint in self.local:
            self.assertTrue(is_local(endpoint), endpoint)
        for endpoint in self.remote:
            self.assertFalse(is_local(endpoint), endpoint)

    def test_refused(self) -> None:
        """One endpoint for other machines is refused, unless it is allowed or there is an identity."""
        server = Server(listen=("unix:/a", "tcp:80"))
        error = self.assertRaises(ConfigurationError, Config, server=server)
        self.assertIn("server.listen = 'tcp:80': with identity.mode = 'none'", str(error))
        for identity in (Identity("none", allow_remote=True), Identity("proxy")):
            self.assertEqual(Config(server=server, identity=identity).server, server)

    def test_holds_for_changed_copies(self) -> None:
        """The rule holds for changed copies of a configuration too."""
        self.assertRaises(ConfigurationError, evolve, Config(), server=Server(listen=("tcp:80",)))
