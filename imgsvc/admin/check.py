"""`imgsvc-admin check`: whether a daemon with this configuration would start and serve. It changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from attrs import evolve, frozen

from imgsvc import config as configuration
from imgsvc.admin.running import with_reactor
from imgsvc.admin.setting import Setting
from imgsvc.catalogue import Schema, sqlite_file, without_password
from imgsvc.daemon.listening import read_certificates
from imgsvc.daemon.server import Server
from imgsvc.errors import CatalogueUnavailable, ConfigurationError, ImgsvcError
from imgsvc.hashing.choose import choose_hasher
from imgsvc.hashing.speed import measure_speed
from imgsvc.identity.policy import Policy
from imgsvc.identity.protections import Protections
from imgsvc.interfaces import IMarkedStore, IStore

__all__ = ["check"]


MEASURED_FOR: Final = 0.2
"""Seconds of processor time for measuring the digests."""
NEW: Final = "which the daemon makes"
"""Said of something that does not exist yet."""


@frozen
class Finding:
    """The result of one check. name: of what was checked. text: what the check says of it."""

    name: str
    is_well: bool
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {'ok' if self.is_well else 'NOT OK'}: {self.text}"


@click.command()
@click.pass_obj
def check(setting: Setting) -> None:
    """Check whether a daemon can serve with the configuration, its files, the database, the stores and Keystone.

    Prints one line for each. The exit status is 1 if anything is wrong. Changes nothing; the daemon may run.
    """
    findings = []
    for finding in _findings(setting):
        findings.append(finding)
        click.echo(str(finding))
    if not all(finding.is_well for finding in findings):
        raise SystemExit(1)
    if any(finding.name == "database" and finding.text.endswith(NEW) for finding in findings):
        click.echo("There is no catalogue yet: a daemon with this configuration begins as a new, empty server.")


def _findings(setting: Setting) -> Iterator[Finding]:
    config, folder = setting.config, setting.data_folder
    yield _looked_at("data folder", partial(_folder, folder))
    for endpoint in config.server.listen:
        yield _looked_at(f"listener {endpoint}", partial(_listener, endpoint))
    policy = _looked_at("policy", partial(_policy, setting))
    yield policy
    # An error of the policy was reported: check the rest without the policy.
    rest = config if policy.is_well else evolve(config, policy=configuration.Policy())
    yield _looked_at("digests", partial(_digests, config.images))
    stores: list[IStore] = []
    yield _looked_at("configuration", partial(_wire, rest, folder, stores))
    if config.audit.output == "file":
        yield _looked_at("audit", partial(_audit_file, folder / config.audit.file, folder))
    yield _looked_at("database", partial(_database, setting))
    if config.identity.mode == "keystone":
        yield _looked_at("keystone", partial(_keystone, config.identity.keystone, folder))
    for store in stores:
        yield _looked_at(f"store {store.store_id}", partial(_store, setting, store))


def _looked_at(name: str, look: Callable[[], str]) -> Finding:
    """Make a finding of the text that `look` returns, or of the error that it raises."""
    try:
        return Finding(name, True, look())
    except ImgsvcError as error:
        return Finding(name, False, " ".join(str(error).split()))


def _listener(endpoint: str) -> str:
    return "an endpoint" if read_certificates(endpoint) is None else "its certificate and key can be used"


def _folder(path: Path) -> str:
    """Check that a folder exists and can be used, or can be made. Raises ConfigurationError."""
    there = next(each for each in (path, *path.parents) if os.path.lexists(each))
    if not there.is_dir():
        raise ConfigurationError(f"{path}: {there} is not a folder")
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigurationError(f"{path}: {there} may not be written by this account")
    return str(path) if there == path else f"{path}, {NEW}"


def _audit_file(path: Path, data_folder: Path) -> str:
    """Check that the audit can be written, or made in its folder. Raises ConfigurationError."""
    if path.exists():
        if path.is_dir() or not os.access(path, os.W_OK):
            raise ConfigurationError(f"{path}: may not be written by this account")
        return str(path)
    if path.parent != data_folder and not path.parent.is_dir():
        raise ConfigurationError(f"{path}: {path.parent} is not a folder")
    _folder(path.parent)
    return f"{path}, {NEW}"


def _policy(setting: Setting) -> str:
    options = setting.config.policy
    policy = Policy(setting.data_folder / options.file if options.file else None, lambda: 0.0)
    path = options.property_protection_file
    Protections.load(setting.data_folder / path if path else None, options.property_protection_rules, policy)
    return ", ".join(each for each in (options.file or "the default rules", path) if each)


def _digests(options: configuration.Images) -> str:
    """Say what computes the digests of uploads, and measure how fast."""
    choice = choose_hasher(options.accelerated_hashing)
    algorithms = {"md5", options.hash}
    counts = sorted({1, choice.hasher.lanes})
    speeds = [
        f"{measure_speed(choice.hasher, algorithms, count, MEASURED_FOR / len(counts)) / 1e6:.0f} MB/s of"
        f" {'one stream' if count == 1 else f'{count} streams together'}"
        for count in counts
    ]
    return f"{choice}, on one core {', '.join(speeds)}"


def _wire(config: configuration.Config, folder: Path, stores: list[IStore]) -> str:
    """Make a server of the configuration without starting it. Adds its stores to `stores`."""
    from twisted.internet import reactor

    stores += Server(config, folder, reactor).core.stores.every()
    return f"identity {config.identity.mode}, workers = {config.server.workers}"


def _database(setting: Setting) -> str:
    options = setting.config.database
    schema = Schema(options, setting.data_folder)
    file = sqlite_file(options.url, setting.data_folder)
    found = schema.version()
    name = without_password(options.url) if file is None else str(file)
    if file is not None and found is None:
        _folder(file.parent)
        return f"{name}, {NEW}"
    if file is not None and found is not None and found < schema.head:
        return f"{name}, version {found}, which the daemon brings to {schema.head}"
    if found != schema.head:
        raise ConfigurationError(
            f"{name}, version {found or 'none'}, needed {schema.head}: `imgsvc-admin database upgrade`"
        )
    return f"{name}, version {found}"


def _keystone(options: configuration.IdentityKeystone, folder: Path) -> str:
    """Log in at Keystone with the account of the server. Raises ConfigurationError, ServiceUnavailable."""
    from imgsvc.identity.keystone.maker import make_keystone
    from imgsvc.identity.keystone.settings import settings_of

    settings = settings_of(options, folder)

    async def log_in(reactor: Any) -> None:
        client = make_keystone(settings, reactor).client
        try:
            await client.check_account()
        finally:
            await client.stop()

    with_reactor(log_in)
    return f"{settings.account.auth_url} accepts the account, and lets it check tokens"


def _store(setting: Setting, store: IStore) -> str:
    """Check whether the folder of a store can be used and belongs to the store, if it has one."""
    folder = store.info.folder
    text = f"of kind {store.info.kind}" if folder is None else _folder(Path(folder))
    if IMarkedStore.providedBy(store):
        try:
            catalogue_id, object_count = Schema(setting.config.database, setting.data_folder).holdings(store.store_id)
        except CatalogueUnavailable:
            return text  # the error of the database was reported
        fault = store.mark_fault(catalogue_id, object_count)
        if fault is not None:
            raise ConfigurationError(
                f"{folder} {fault}: is it mounted? If this folder is the right one, run"
                f" `imgsvc-admin store adopt {store.store_id}` with the options of this command before `store`"
            )
    return text
