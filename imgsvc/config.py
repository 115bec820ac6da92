"""The configuration: which options there are, and how a TOML file becomes them.

A kind of store reads its own options the same way: an attrs class made with `option`, and `structure`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from attrs import evolve, field, frozen

from imgsvc.endpoints import advice, is_local
from imgsvc.errors import ConfigurationError
from imgsvc.options import Seconds as Seconds
from imgsvc.options import Size as Size
from imgsvc.options import converter
from imgsvc.options import option as option
from imgsvc.options import structure as structure
from imgsvc.store_options import Store as Store
from imgsvc.store_options import Stores as Stores

KIB: Final = 1024
MIB: Final = 1024**2
TIB: Final = 1024**4


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
        "What one process may hold of bytes in flight: one half of uploads, three eighths of downloads, one of JSON.",
        256 * MIB,
        at_least=MIB,
    )
    public_endpoint: str = option(
        "The URL that clients reach the server by, for `Location` and links to versions. Empty: as in the request.",
        "",
        reload=True,
    )
    proxy_headers: bool = option(
        "Take from `X-Forwarded-Proto`, `-Host`, `-Port`, `-Prefix` or `Forwarded` how clients reach the server.",
        False,
        reload=True,
    )
    proxy_peers: tuple[str, ...] = option(
        "Whose such headers are believed: addresses, networks as `10.0.0.0/8`, `unix` for unix sockets.",
        ("127.0.0.1", "::1", "unix"),
        reload=True,
    )
    cors_origins: tuple[str, ...] = option(
        "Origins whose pages may use the API through a browser, as `https://dashboard.example`. `*`: all others, too.",
        (),
        reload=True,
    )
    disable_file: str = option("While this file exists, `/healthcheck` answers 503. Empty: never.", "", reload=True)
    health_peers: tuple[str, ...] = option(
        "Who is told by `/healthcheck?detail` what does not work: addresses, networks, `unix` for unix sockets.",
        ("127.0.0.1", "::1", "unix"),
        reload=True,
    )
    grace: Seconds = option(
        "How long transfers under way may go on after the server was told to stop.", 60.0, reload=True
    )
    idle_timeout: Seconds = option(
        "A client that sends nothing for so long, in a request or between two, is cut off.",
        60.0,
        at_least=1,
        reload=True,
    )
    send_timeout: Seconds = option(
        "A client that takes nothing of its answer for so long is cut off.", 60.0, at_least=1, reload=True
    )
    minimum_rate: Size = option(
        "A client that sends its body with fewer bytes a second, averaged over a minute, is cut off. 0: none is.",
        1024,
        reload=True,
    )
    connections: int = option(
        "Most connections of one process. 0: half of the files that it may open less 128, and no more than 16384.",
        0,
        at_least=0,
        reload=True,
    )
    connections_per_peer: int = option(
        "Most connections of one address (of IPv6: of one /64), but of `proxy_peers` and this machine. 0: no limit.",
        0,
        at_least=0,
        reload=True,
    )
    upload_lease: Seconds = option(
        "An upload whose process has not renewed it for so long is undone.", 60.0, at_least=1
    )
    reaper_interval: Seconds = option(
        "How often to look for uploads and deletions that were left unfinished.", 30.0, at_least=1
    )
    access_log: bool = option("Write one line to the log for every request.", True, reload=True)


@frozen
class Database:
    """[database]"""

    url: str = option(
        "The catalogue's database: `sqlite:///file` (a relative path is in the data folder),"
        " `postgresql://user:password@host/name` or `mysql://user:password@host/name` (MariaDB).",
        "sqlite:///imgsvc.sqlite",
    )
    must_exist: bool = option(
        "Do not start where there is no SQLite file yet, as on a mount that did not come up. false: it is made.", False
    )
    busy_timeout: Seconds = option("How long to wait for what another process, or transaction, has locked.", 5.0)
    pool_size: int = option("Connections to a database server that one process keeps, at most.", 8, at_least=1)
    connect_timeout: Seconds = option("How long a database server may take to accept a connection.", 5.0, at_least=1)
    statement_timeout: Seconds = option("How long a database server may take for one statement.", 30.0, at_least=1)


@frozen
class Images:
    """[images]"""

    size_cap: Size = option("The largest image that is taken.", TIB, at_least=1, reload=True)
    hash: str = option(
        "How to compute `os_hash_value` of new images.",
        "sha512",
        choices=("sha256", "sha384", "sha512", "sha3_256", "sha3_384", "sha3_512"),
        reload=True,
    )
    schema_file: str = option(
        "A JSON file with the schemas of custom properties, as Glance's schema-image.json. Empty: those of Glance.",
        "",
        reload=True,
    )
    check_format: bool = option(
        "Refuse bytes that are not in the image's disk format, or unsafe in it.", True, reload=True
    )
    disk_formats: tuple[str, ...] = option(
        "What `disk_format` may be.",
        ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"),
        reload=True,
    )
    container_formats: tuple[str, ...] = option(
        "What `container_format` may be.",
        ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"),
        reload=True,
    )
    vmdk_allowed_types: tuple[str, ...] = option(
        "The `createType`s of VMDK images that are taken: of those that keep a disk in one file. Empty: none.",
        ("streamOptimized", "monolithicSparse"),
        choices=("streamOptimized", "monolithicSparse"),
        reload=True,
    )
    gpt_safety_checks_nonfatal: tuple[str, ...] = option(
        "Names of safety checks of GPT disks whose failure does not refuse the image.",
        (),
        choices=("mbr",),
        reload=True,
    )
    refuse_disguised: bool = option(
        "Refuse `raw`, `ami`, `aki` and `ari` bytes that a program may take for a disk of another format.",
        False,
        reload=True,
    )
    show_direct_url: bool = option(
        "Show `direct_url`, the location of the copy that is read first.", False, reload=True
    )
    show_locations: bool = option("Show `locations` of images, and let them be changed by PATCH.", False, reload=True)
    verify_locations: bool = option("Read and hash what is registered by its location.", True, reload=True)
    location_retries: int = option("How often such a read is repeated when it fails.", 3, at_least=0, reload=True)


@frozen
class Api:
    """[api]"""

    limit_default: int = option("Images on a page of a list that does not say how many.", 25, at_least=1, reload=True)
    limit_max: int = option("Most images on a page.", 1000, at_least=1, reload=True)


@frozen
class Quotas:
    """[quotas]"""

    user_storage: Size = option(
        "What the images of one owner may take in all stores together. 0: no limit. Without effect when `unified`.",
        0,
        reload=True,
    )
    unified: bool = option(
        "Projects have the limits below, or their own (`imgsvc-admin quota`), and `/v2/info/usage` shows them.",
        False,
        reload=True,
    )
    image_size_total: Size = option(
        "When `unified`: what the images of a project may take. 0: no limit.", 0, reload=True
    )
    image_stage_total: Size = option(
        "When `unified`: what a project may have staged at a time. 0: no limit.", 0, reload=True
    )
    image_count_total: int = option("When `unified`: images of one project. 0: no limit.", 0, at_least=0, reload=True)
    image_count_uploading: int = option(
        "When `unified`: images of one project that wait for bytes at a time. 0: no limit.", 0, at_least=0, reload=True
    )
    properties: int = option("Custom properties of one image. Negative: no limit.", 128, reload=True)
    tags: int = option("Tags of one image. Negative: no limit.", 128, reload=True)
    property_value: Size = option("The value of one custom property, in UTF-8. 0: no limit.", 64 * KIB, reload=True)
    image_record: Size = option(
        "Name, tags, custom properties and locations of one image together, in UTF-8. 0: no limit.", MIB, reload=True
    )
    locations: int = option("Locations of one image. Negative: no limit.", 10, reload=True)
    members: int = option("Projects that one image is shared with. Negative: no limit.", 128, reload=True)


@frozen
class Signatures:
    """[signatures]"""

    certificates: str = option(
        "The folder of the certificates that images are signed with, `UUID.pem` or `UUID.der`. Empty: none.",
        "",
        reload=True,
    )
    barbican: str = option(
        "The URL of Barbican, where such certificates are looked for. Empty: nowhere.", "", reload=True
    )
    barbican_timeout: Seconds = option(
        "How long to wait for a certificate of Barbican.", 10.0, at_least=0.1, reload=True
    )
    trusted_ca: str = option(
        "A PEM file of the authorities of which one must have issued the certificate. Empty: it may be anybody's.",
        "",
        reload=True,
    )


@frozen
class Policy:
    """[policy]"""

    file: str = option(
        "The operator's rules in the language of oslo.policy, as Glance's `policy.yaml`. Empty: the default rules.",
        "",
        reload=True,
    )
    property_protection_file: str = option(
        "Who may do what to which custom properties, as in Glance's file. Empty: whoever may change the image.",
        "",
        reload=True,
    )
    property_protection_rules: str = option(
        "What that file gives the operations to: names of roles, or names of rules of the policy.",
        "roles",
        choices=("roles", "policies"),
        reload=True,
    )


@frozen
class IdentityProxy:
    """[identity.proxy]"""

    peers: tuple[str, ...] = option(
        "Whose identity headers are believed: addresses, networks as `10.0.0.0/8`, `unix` for unix sockets.",
        ("127.0.0.1",),
        reload=True,
    )


@frozen
class Identity:
    """[identity]"""

    mode: str = option(
        "`none`: every client is the administrator. `proxy`: a proxy in front says in headers who the client is.",
        "none",
        choices=("none", "proxy"),
        reload=True,
    )
    allow_remote: bool = option("Let mode `none` listen on addresses that other machines reach.", False, reload=True)
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
    policy: Policy = field(factory=Policy)
    signatures: Signatures = field(factory=Signatures)

    def __attrs_post_init__(self) -> None:
        names = ", ".join(self.stores.stores)
        if self.stores.default not in self.stores.stores:
            raise ConfigurationError(f"stores.default = {self.stores.default!r}: must be one of {names}")
        if self.api.limit_default > self.api.limit_max:
            raise ConfigurationError(
                f"api.limit_default = {self.api.limit_default}: must be at most api.limit_max, {self.api.limit_max}"
            )
        for endpoint in self.server.listen:
            if (meant := advice(endpoint)) is not None:
                raise ConfigurationError(f"server.listen = {endpoint!r}: must be an endpoint, as {meant}")
        if self.identity.mode == "none" and not self.identity.allow_remote:
            for endpoint in self.server.listen:
                if not is_local(endpoint):
                    raise ConfigurationError(
                        f"server.listen = {endpoint!r}: with identity.mode = 'none' must be a loopback address,"
                        " as tcp:9292:interface=127.0.0.1, or a unix socket, unless identity.allow_remote = true"
                    )


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
    return json.dumps(converter.unstructure(config))


def from_json(text: str) -> Config:
    """What `to_json` was given."""
    return structure(Config, json.loads(text), "")
