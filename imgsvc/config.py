"""The configuration: which options there are, and how a TOML file becomes them.

`structure` reads one table into an attrs class whose fields were made by `option`; stores use it for the options
of their own kind. Everything wrong is a ConfigurationError of one line: key path, value, what is allowed.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, cast

import attrs
from attrs import Attribute, evolve, field, frozen
from cattrs import AttributeValidationNote, ClassValidationError, Converter, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn

from imgsvc.errors import ConfigurationError

T = TypeVar("T")

Size = Annotated[int, "bytes"]
"""Bytes. In TOML an integer, or text as "256 MiB" (1024s) or "10 GB" (1000s)."""

Seconds = Annotated[float, "seconds"]
"""A length of time. In TOML a number, or text as "60 s", "5 min", "2 h"."""

KIB: Final = 1024
MIB: Final = 1024**2
TIB: Final = 1024**4

_SIZE_UNITS: Final = {"B": 1} | {
    letter + suffix: base**power
    for power, letter in enumerate("KMGT", 1)
    for suffix, base in (("B", 1000), ("iB", 1024))
}
_TIME_UNITS: Final = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}

_ALLOWED: Final[dict[object, str]] = {
    Size: 'a size in bytes, as 1048576 or "1 MiB"',
    Seconds: 'a time in seconds, as 60 or "1 min"',
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    tuple[str, ...]: "a list of strings",
}


class _OutOfRange(ConfigurationError):
    """The text begins with the option's own name; `structure` puts the path in front."""


def option(
    help: str,
    default: Any = attrs.NOTHING,
    *,
    at_least: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """A field of an options class. Without `default` the option must be given.

    The field's type is one of bool, int, float, str, tuple[str, ...], Size, Seconds. help: a sentence for the
    operator. at_least: lowest value (for a tuple: length). choices: the only values allowed.
    """

    def check(instance: Any, attribute: Attribute[Any], value: Any) -> None:
        measure = len(value) if isinstance(value, tuple) else value
        if (at_least is not None and measure < at_least) or (choices and value not in choices):
            raise _OutOfRange(f"{attribute.name} = {value!r}: must be {allowed(type(instance), attribute.name)}")

    metadata = {"help": help, "at_least": at_least, "choices": tuple(choices)}
    return field(default=default, metadata=metadata, validator=check)


def allowed(cls: type[Any], name: str) -> str:
    """What the option `name` of an options class may be, in words."""
    attribute = attrs.fields_dict(attrs.resolve_types(cls))[name]
    if attribute.metadata.get("choices"):
        return "one of " + ", ".join(attribute.metadata["choices"])
    text = _ALLOWED.get(attribute.type, "a table")
    if attribute.metadata.get("at_least") is not None:
        text += f", at least {attribute.metadata['at_least']}"
    return text


def structure(cls: type[T], table: Mapping[str, object], path: str) -> T:
    """The options class `cls` from a TOML table. path: the table's own key path, as `stores.local`; may be empty.

    Raises ConfigurationError for unknown or missing keys, wrong types and values out of range.
    """
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{path} = {table!r}: must be a table")
    try:
        return _converter.structure(table, cls)
    except ClassValidationError as error:
        raise ConfigurationError(_complaint(error, table, path)) from None


def _complaint(error: ClassValidationError, table: Mapping[str, Any], path: str) -> str:
    """The first thing wrong in an error of cattrs, as one line."""
    prefix = f"{path}." if path else ""
    first = error.exceptions[0]
    if isinstance(first, _OutOfRange):
        return f"{prefix}{first}"
    if isinstance(first, ConfigurationError):
        return str(first)
    options = attrs.fields_dict(error.cl)
    if isinstance(first, ForbiddenExtraKeysError):
        return f"{prefix}{sorted(first.extra_fields)[0]}: no such option; there are {', '.join(options)}"
    name = next(note.name for note in first.__notes__ if isinstance(note, AttributeValidationNote))
    if name not in table:
        return f"{prefix}{name}: must be given: {allowed(error.cl, name)}"
    if isinstance(first, ClassValidationError):
        return _complaint(first, table[name], f"{prefix}{name}")
    return f"{prefix}{name} = {table[name]!r}: must be {allowed(error.cl, name)}"


def _quantity(value: object, units: Mapping[str, float]) -> float:
    """A number, or text of a number and one of `units`. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value) if isinstance(value, float) else value
    else:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", value) if isinstance(value, str) else None
        if match is None or (match[2] and match[2] not in units):
            raise ValueError(value)
        number = (float(match[1]) if "." in match[1] else int(match[1])) * units.get(match[2], 1)
    if not 0 <= number < 2**63:
        raise ValueError(value)
    return number


def _size(value: object, _: object) -> int:
    number = _quantity(value, _SIZE_UNITS)
    if number != int(number):
        raise ValueError(value)
    return int(number)


def _seconds(value: object, _: object) -> float:
    return float(_quantity(value, _TIME_UNITS))


def _exactly(*types: type) -> Any:
    """A hook that takes values of these types as they are, and no bool for an int."""

    def take(value: Any, target: Any) -> Any:
        if type(value) not in types:
            raise TypeError(value)
        return target(value)

    return take


def _strings(value: object, _: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise TypeError(value)
    return tuple(value)


def _table_hook(cls: type[Any]) -> Any:
    read = make_dict_structure_fn(cls, _converter, _cattrs_forbid_extra_keys=True)

    def take(value: Any, target: Any) -> Any:
        if not isinstance(value, Mapping):
            raise TypeError(value)
        return read(value, target)

    return take


_converter: Final = Converter(detailed_validation=True)
_converter.register_structure_hook_factory(attrs.has, _table_hook)
_converter.register_structure_hook(bool, _exactly(bool))
_converter.register_structure_hook(int, _exactly(int))
_converter.register_structure_hook(float, _exactly(int, float))
_converter.register_structure_hook(str, _exactly(str))
_converter.register_structure_hook_func(lambda type: type == tuple[str, ...], _strings)
_converter.register_structure_hook_func(lambda type: type == Mapping[str, object], lambda value, _: dict(value))
_converter.register_structure_hook_func(lambda type: type == Size, _size)
_converter.register_structure_hook_func(lambda type: type == Seconds, _seconds)


# --- the options


@frozen
class Server:
    """[server]"""

    listen: tuple[str, ...] = option(
        "Where to listen: server endpoint strings of Twisted, `tcp:`, `ssl:`, `unix:` or `systemd:`.",
        ("tcp:9292:interface=127.0.0.1",),
        at_least=1,
    )
    workers: int = option("Processes that serve requests. 1: the daemon itself does.", 1, at_least=1)
    memory_budget: Size = option(
        "What one process may hold of uploads and downloads in flight.", 256 * MIB, at_least=MIB
    )
    public_endpoint: str = option(
        "The URL that clients reach the server by, for links to versions. Empty: taken from the request.", ""
    )
    disable_file: str = option("While this file exists, `/healthcheck` answers 503. Empty: never.", "")
    grace: Seconds = option("How long transfers under way may go on after the server was told to stop.", 60.0)
    idle_timeout: Seconds = option(
        "A client that sends nothing for so long, in a request or between two, is cut off.", 60.0, at_least=1
    )
    send_timeout: Seconds = option(
        "A client that takes nothing of its answer for so long is cut off.", 60.0, at_least=1
    )
    upload_lease: Seconds = option(
        "An upload whose process has not renewed it for so long is undone.", 60.0, at_least=1
    )
    reaper_interval: Seconds = option(
        "How often to look for uploads and deletions that were left unfinished.", 30.0, at_least=1
    )
    access_log: bool = option("Write one line to the log for every request.", True)


@frozen
class Database:
    """[database]"""

    url: str = option(
        "The catalogue's database, as SQLAlchemy writes it. A relative path of SQLite is in the data folder.",
        "sqlite:///imgsvc.sqlite",
    )
    busy_timeout: Seconds = option("How long to wait for a database that another process has locked.", 5.0)


@frozen
class Store:
    """[stores.NAME]. options: the rest of the table; the store's kind knows what may be in it."""

    kind: str = option("What kind of store this is, as `file` or `memory`.")
    description: str = option("A line for people, shown by `/v2/info/stores`.", "")
    weight: int = option("Of several stores that hold an image, the heaviest is read first.", 0)
    options: Mapping[str, object] = field(factory=dict, hash=False)


@frozen
class Stores:
    """[stores]"""

    default: str = option("The store that takes an upload which names none.", "local")
    stores: Mapping[str, Store] = field(
        factory=lambda: {"local": Store(kind="file", options={"path": "images"})}, hash=False
    )


@frozen
class Images:
    """[images]"""

    size_cap: Size = option("The largest image that is taken.", TIB, at_least=1)
    hash: str = option(
        "How to compute `os_hash_value` of new images.",
        "sha512",
        choices=("sha256", "sha384", "sha512", "sha3_256", "sha3_384", "sha3_512"),
    )
    check_format: bool = option("Refuse bytes that are not in the image's disk format, or unsafe in it.", True)
    disk_formats: tuple[str, ...] = option(
        "What `disk_format` may be.",
        ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"),
    )
    container_formats: tuple[str, ...] = option(
        "What `container_format` may be.", ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
    )
    vmdk_allowed_types: tuple[str, ...] = option(
        "The `createType`s of VMDK images that are taken. Empty: none.", ("streamOptimized", "monolithicSparse")
    )
    gpt_safety_checks_nonfatal: tuple[str, ...] = option(
        "Names of safety checks of GPT disks whose failure does not refuse the image.", ()
    )


@frozen
class Api:
    """[api]"""

    limit_default: int = option("Images on a page of a list that does not say how many.", 25, at_least=1)
    limit_max: int = option("Most images on a page.", 1000, at_least=1)


@frozen
class Quotas:
    """[quotas]"""

    user_storage: Size = option("What the images of one owner may take in all stores together. 0: no limit.", 0)
    image_size_total: Size = option(
        "When the images of a project take so much, it may upload no more. 0: no limit.", 0
    )
    image_count_uploading: int = option("Uploads of one project at a time. 0: no limit.", 0, at_least=0)
    properties: int = option("Custom properties of one image. Negative: no limit.", 128)
    tags: int = option("Tags of one image. Negative: no limit.", 128)


@frozen
class IdentityProxy:
    """[identity.proxy]"""

    peers: tuple[str, ...] = option(
        "Whose identity headers are believed: addresses, networks as `10.0.0.0/8`, `unix` for unix sockets.",
        ("127.0.0.1",),
    )


@frozen
class Identity:
    """[identity]"""

    mode: str = option(
        "`none`: every client is the administrator. `proxy`: a proxy in front says in headers who the client is.",
        "none",
        choices=("none", "proxy"),
    )
    allow_remote: bool = option("Let mode `none` listen on addresses that other machines reach.", False)
    proxy: IdentityProxy = field(factory=IdentityProxy)


@frozen
class Config:
    """The whole configuration. What one option demands of another holds for every instance.

    Raises ConfigurationError.
    """

    server: Server = field(factory=Server)
    database: Database = field(factory=Database)
    stores: Stores = field(factory=Stores)
    images: Images = field(factory=Images)
    api: Api = field(factory=Api)
    quotas: Quotas = field(factory=Quotas)
    identity: Identity = field(factory=Identity)

    def __attrs_post_init__(self) -> None:
        names = ", ".join(self.stores.stores)
        if self.stores.default not in self.stores.stores:
            raise ConfigurationError(f"stores.default = {self.stores.default!r}: must be one of {names}")
        if self.api.limit_default > self.api.limit_max:
            raise ConfigurationError(
                f"api.limit_default = {self.api.limit_default}: must be at most api.limit_max, {self.api.limit_max}"
            )
        if self.identity.mode == "none" and not self.identity.allow_remote:
            for endpoint in self.server.listen:
                if not is_local(endpoint):
                    raise ConfigurationError(
                        f"server.listen = {endpoint!r}: with identity.mode = 'none' must be a loopback address"
                        " or a unix socket, unless identity.allow_remote = true"
                    )


def is_local(endpoint: str) -> bool:
    """Whether nothing but this machine can reach a server endpoint of Twisted, as far as its text tells."""
    kind, *arguments = [re.sub(r"\\(.)", r"\1", part) for part in re.findall(r"((?:\\.|[^:\\])+)(?::|$)", endpoint)]
    if kind == "unix" or (kind == "systemd" and "domain=UNIX" in arguments):
        return True
    interface = next((a.removeprefix("interface=") for a in arguments if a.startswith("interface=")), "")
    if kind not in ("tcp", "tcp6", "ssl"):
        return False
    try:
        return ip_address(interface).is_loopback
    except ValueError:
        return interface == "localhost"


# --- reading and handing on


def load(path: Path | None = None, listen: Sequence[str] = ()) -> Config:
    """The configuration of a TOML file, or the defaults. listen: endpoints that replace those of the file.

    Raises ConfigurationError.
    """
    config = structure(Config, {} if path is None else _read(path), "")
    return evolve(config, server=evolve(config.server, listen=tuple(listen))) if listen else config


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: is not TOML: {error}") from error


def to_json(config: Config) -> str:
    """The configuration as text, for `from_json` in another process."""
    return json.dumps(_converter.unstructure(config))


def from_json(text: str) -> Config:
    """What `to_json` was given."""
    return structure(Config, json.loads(text), "")


_STORE_NAME: Final = re.compile(r"(?!os_glance)[A-Za-z0-9][A-Za-z0-9._-]*")


def _stores(table: Any, _: object) -> Stores:
    """[stores]: a table for each store beside `default`, which may be left out when there is one store."""
    if not isinstance(table, Mapping):
        raise TypeError(table)
    stores = {name: _store(name, value) for name, value in table.items() if name != "default"}
    if not stores:
        return Stores(**table)
    for name in stores:
        if not _STORE_NAME.fullmatch(name):
            raise ConfigurationError(
                f"stores.{name}: the name must be letters, digits, '.', '_', '-', and not begin with os_glance"
            )
    default = table.get("default", next(iter(stores)) if len(stores) == 1 else "local")
    return Stores(default=cast(str, default), stores=stores)


def _store(name: str, table: Any) -> Store:
    path = f"stores.{name}"
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{path} = {table!r}: must be a table")
    own = {key: value for key, value in table.items() if key in _STORE_KEYS}
    return evolve(
        structure(Store, own, path), options={key: value for key, value in table.items() if key not in _STORE_KEYS}
    )


_STORE_KEYS: Final = frozenset({"kind", "description", "weight"})
_converter.register_structure_hook(Stores, _stores)
_converter.register_unstructure_hook(
    Stores, lambda stores: {"default": stores.default} | {n: _store_table(s) for n, s in stores.stores.items()}
)


def _store_table(store: Store) -> dict[str, object]:
    return {"kind": store.kind, "description": store.description, "weight": store.weight, **store.options}
