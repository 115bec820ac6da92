"""The options of the configuration, and how they are read from a TOML file.

Each kind of store reads its own options in the same way, with an attrs class made of `option`, and `structure`.
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
from imgsvc.identity_options import Identity as Identity
from imgsvc.identity_options import IdentityKeystone as IdentityKeystone
from imgsvc.identity_options import IdentityProxy as IdentityProxy
from imgsvc.identity_options import IdentityUsers as IdentityUsers
from imgsvc.notification_options import Audit as Audit
from imgsvc.notification_options import Notifications as Notifications
from imgsvc.notification_options import NotificationsWebhook as NotificationsWebhook
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
    workers: int = option("Processes that serve requests. 1: the daemon itself serves.", 1, at_least=1)
    memory_budget: Size = option(
        "Memory of one process for bytes in flight: 4/8 are for uploads, 3/8 for downloads, 1/8 for JSON.",
        256 * MIB,
        at_least=MIB,
    )
    public_endpoint: str = option(
        "The URL by which clients reach the server, for `Location` and links to versions. Empty: as the request says.",
        "",
        reload=True,
    )
    proxy_headers: bool = option(
        "Take the URL of the server from `X-Forwarded-Proto`, `-Host`, `-Port`, `-Prefix` or `Forwarded`.",
        False,
        reload=True,
    )
    proxy_peers: tuple[str, ...] = option(
        "Proxies whose forwarding headers are trusted: addresses, networks as `10.0.0.0/8`, `unix` for unix sockets.",
        ("127.0.0.1", "::1", "unix"),
        reload=True,
    )
    accelerated: str = option(
        "`x-accel`: let nginx in front of the server send images of file stores by itself, after each download was"
        " authorised. nginx needs a location for each store.",
        "off",
        choices=("off", "x-accel"),
        reload=True,
    )
    accelerated_peers: tuple[str, ...] = option(
        "The proxies that may be asked so, if they send `X-Imgsvc-Accelerated`: addresses, networks, `unix`.",
        ("127.0.0.1", "::1", "unix"),
        reload=True,
    )
    cors_origins: tuple[str, ...] = option(
        "Origins whose pages may use the API in a browser, as `https://dashboard.example`. `*`: all others too.",
        (),
        reload=True,
    )
    disable_file: str = option("While this file exists, `/healthcheck` answers 503. Empty: never.", "", reload=True)
    health_peers: tuple[str, ...] = option(
        "Clients that may see in `/healthcheck?detail` what fails: addresses, networks, `unix` for unix sockets.",
        ("127.0.0.1", "::1", "unix"),
        reload=True,
    )
    grace: Seconds = option("How long transfers may continue when the server stops.", 60.0, reload=True)
    idle_timeout: Seconds = option(
        "Disconnect a client that sends nothing for this time, in a request or between two.",
        60.0,
        at_least=1,
        reload=True,
    )
    send_timeout: Seconds = option(
        "Disconnect a client that reads nothing of its response for this time.", 60.0, at_least=1, reload=True
    )
    service_timeout: Seconds = option(
        "How long a request waits at most for other services, such as Barbican, counted from its beginning.",
        30.0,
        at_least=0.1,
        reload=True,
    )
    minimum_rate: Size = option(
        "Disconnect a client that sends fewer bytes of a body per second, averaged over a minute. 0: no limit.",
        1024,
        reload=True,
    )
    connections: int = option(
        "Most connections of one process. 0: half of (the files that it may open - 128), at most 16384.",
        0,
        at_least=0,
        reload=True,
    )
    connections_per_peer: int = option(
        "Most connections of one address (IPv6: one /64). `proxy_peers` and this machine have no limit. 0: no limit.",
        0,
        at_least=0,
        reload=True,
    )
    upload_lease: Seconds = option(
        "Undo an upload if its process has not renewed its lease for this time.", 60.0, at_least=1
    )
    reaper_interval: Seconds = option(
        "How often the server looks for unfinished uploads and deletions.", 30.0, at_least=1
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
        "Refuse to start if the SQLite file is missing, as after a failed mount. false: create the file.", False
    )
    busy_timeout: Seconds = option("How long to wait for a lock of another process or transaction.", 5.0)
    pool_size: int = option("Most connections to a database server that one process keeps.", 8, at_least=1)
    connect_timeout: Seconds = option("How long a database server may take to accept a connection.", 5.0, at_least=1)
    statement_timeout: Seconds = option("How long a database server may take for one statement.", 30.0, at_least=1)


@frozen
class Images:
    """[images]"""

    size_cap: Size = option("The largest image that the server accepts.", TIB, at_least=1, reload=True)
    hash: str = option(
        "The algorithm of `os_hash_value` for new images.",
        "sha512",
        choices=("sha256", "sha384", "sha512", "sha3_256", "sha3_384", "sha3_512"),
        reload=True,
    )
    accelerated_hashing: bool = option(
        "Compute digests with instructions of this processor that hashlib does not use, if it has them.", True
    )
    schema_file: str = option(
        "A JSON file with the schemas of custom properties, as Glance's schema-image.json. Empty: those of Glance.",
        "",
        reload=True,
    )
    check_format: bool = option(
        "Refuse data that are not in the disk format of the image, or that are unsafe in this format.",
        True,
        reload=True,
    )
    disk_formats: tuple[str, ...] = option(
        "Allowed values of `disk_format`.",
        ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"),
        reload=True,
    )
    container_formats: tuple[str, ...] = option(
        "Allowed values of `container_format`.",
        ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"),
        reload=True,
    )
    vmdk_allowed_types: tuple[str, ...] = option(
        "Allowed `createType`s of VMDK images. These keep a disk in one file. Empty: no VMDK images.",
        ("streamOptimized", "monolithicSparse"),
        choices=("streamOptimized", "monolithicSparse"),
        reload=True,
    )
    gpt_safety_checks_nonfatal: tuple[str, ...] = option(
        "Safety checks of GPT disks that an image may fail without being refused.",
        (),
        choices=("mbr",),
        reload=True,
    )
    refuse_disguised: bool = option(
        "Refuse `raw`, `ami`, `aki` and `ari` data that a program may mistake for a disk of another format.",
        False,
        reload=True,
    )
    show_direct_url: bool = option(
        "Show `direct_url`, the location of the copy that is read first.", False, reload=True
    )
    show_locations: bool = option("Show `locations` of images, and allow PATCH to change them.", False, reload=True)
    verify_locations: bool = option(
        "Read images that are registered by their location, to check the data and compute digests.", True, reload=True
    )
    location_retries: int = option("How many times to retry such a read when it fails.", 3, at_least=0, reload=True)


@frozen
class Api:
    """[api]"""

    limit_default: int = option(
        "Images on a page of a list if the request does not say how many.", 25, at_least=1, reload=True
    )
    limit_max: int = option("Most images on a page.", 1000, at_least=1, reload=True)


@frozen
class Quotas:
    """[quotas]"""

    user_storage: Size = option(
        "Bytes of the images of one owner in all stores together. 0: no limit. Has no effect when `unified`.",
        0,
        reload=True,
    )
    unified: bool = option(
        "Projects have the limits below, or those of `imgsvc-admin quota`. `/v2/info/usage` shows them.",
        False,
        reload=True,
    )
    image_size_total: Size = option("When `unified`: bytes of all images of one project. 0: no limit.", 0, reload=True)
    image_stage_total: Size = option(
        "When `unified`: staged bytes of one project at one time. 0: no limit.", 0, reload=True
    )
    image_count_total: int = option(
        "When `unified`: number of images of one project. 0: no limit.", 0, at_least=0, reload=True
    )
    image_count_uploading: int = option(
        "When `unified`: images of one project that wait for their data at one time. 0: no limit.",
        0,
        at_least=0,
        reload=True,
    )
    properties: int = option("Most custom properties of one image. Negative: no limit.", 128, reload=True)
    tags: int = option("Most tags of one image. Negative: no limit.", 128, reload=True)
    property_value: Size = option(
        "Most bytes of the value of one custom property, in UTF-8. 0: no limit.", 64 * KIB, reload=True
    )
    image_record: Size = option(
        "Most bytes of name, tags, custom properties and locations of one image together, in UTF-8. 0: no limit.",
        MIB,
        reload=True,
    )
    locations: int = option("Most locations of one image. Negative: no limit.", 10, reload=True)
    members: int = option("Most projects that one image is shared with. Negative: no limit.", 128, reload=True)


@frozen
class Signatures:
    """[signatures]"""

    certificates: str = option(
        "The folder with the certificates for signed images, named `UUID.pem` or `UUID.der`. Empty: none.",
        "",
        reload=True,
    )
    barbican: str = option(
        "The URL of Barbican, as another source of these certificates. Empty: Barbican is not used.", "", reload=True
    )
    barbican_timeout: Seconds = option("How long to wait for Barbican.", 10.0, at_least=0.1, reload=True)
    trusted_ca: str = option(
        "A PEM file of authorities, one of which must have issued the certificate. Empty: any certificate is accepted.",
        "",
        reload=True,
    )


@frozen
class Policy:
    """[policy]"""

    file: str = option(
        "A file with rules in the language of oslo.policy, like Glance's `policy.yaml`. Empty: the default rules.",
        "",
        reload=True,
    )
    property_protection_file: str = option(
        "A file that protects custom properties, like Glance's. Empty: all who may change an image may change them.",
        "",
        reload=True,
    )
    property_protection_rules: str = option(
        "Whether that file names roles, or rules of the policy.",
        "roles",
        choices=("roles", "policies"),
        reload=True,
    )


@frozen
class Config:
    """The whole configuration. Raises ConfigurationError if one option does not fit another."""

    server: Server = field(factory=Server)
    database: Database = field(factory=Database)
    stores: Stores = field(factory=Stores)
    images: Images = field(factory=Images)
    api: Api = field(factory=Api)
    quotas: Quotas = field(factory=Quotas)
    identity: Identity = field(factory=Identity)
    policy: Policy = field(factory=Policy)
    signatures: Signatures = field(factory=Signatures)
    audit: Audit = field(factory=Audit)
    notifications: Notifications = field(factory=Notifications)

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
                        " as tcp:9292:interface=127.0.0.1, or a unix socket, unless identity.allow_remote = true."
                        " To serve other machines, add --first-user NAME: it asks for a password, and everybody needs"
                        " a user and a password then (identity.mode = 'users')"
                    )


# --- reading and handing on


def load(path: Path | None = None, listen: Sequence[str] = (), mode: str | None = None) -> Config:
    """Read the configuration.

    path: of a TOML file; None for the defaults. listen: endpoints, strings; if there are any, they replace
    `server.listen`. mode: replaces `identity.mode`; None: it does not.

    Raises ConfigurationError.
    """
    table = {} if path is None else _read(path)
    if mode is not None and isinstance(table.get("identity", {}), dict):
        table["identity"] = {**table.get("identity", {}), "mode": mode}
    config = structure(Config, table, "")
    return evolve(config, server=evolve(config.server, listen=tuple(listen))) if listen else config


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: is not TOML: {error}") from error


def to_json(config: Config) -> str:
    """Write the configuration as text, for `from_json` in another process."""
    return json.dumps(converter.unstructure(config))


def from_json(text: str) -> Config:
    """Read the text of `to_json`."""
    return structure(Config, json.loads(text), "")
