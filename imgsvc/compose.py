"""From a configuration to a server: the one module that knows all the others, and what each of them gets."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import txaio
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IListeningPort, IReactorTime

from imgsvc import __version__
from imgsvc.catalogue import Catalogue, MetadefCatalogue, locate, open_database, without_password
from imgsvc.certificates.maker import make_certificates
from imgsvc.config import Config
from imgsvc.config import Quotas as QuotaOptions
from imgsvc.identity.administrators import Administrators
from imgsvc.identity.none import LocalAdministrator
from imgsvc.identity.policy import Policy
from imgsvc.identity.protections import Protections
from imgsvc.identity.proxy import Proxy
from imgsvc.interfaces import IIdentity, IThreads
from imgsvc.model import ProjectLimits
from imgsvc.operations.access import Access
from imgsvc.operations.activation import Activation
from imgsvc.operations.changes import Changes
from imgsvc.operations.copies import Copies
from imgsvc.operations.deletion import Deletion
from imgsvc.operations.downloads import Downloads
from imgsvc.operations.health import Health
from imgsvc.operations.images import Images, RecordLimits
from imgsvc.operations.limits import Quotas
from imgsvc.operations.locations import LocationRules, Locations, Measure
from imgsvc.operations.metadefs import Metadefs
from imgsvc.operations.patching import HiddenLocations, Patching
from imgsvc.operations.relocation import Relocation
from imgsvc.operations.sharing import Sharing
from imgsvc.operations.tagging import Tagging
from imgsvc.operations.uploads import UploadRules, Uploads
from imgsvc.peers import Peers
from imgsvc.pipeline.budget import Budget
from imgsvc.pipeline.delivery import Delivery
from imgsvc.pipeline.signatures import Signatures, load_authorities
from imgsvc.stores.registry import make_stores
from imgsvc.stores.services import StoreServices
from imgsvc.tasks.hashing import Hashing, HashRules
from imgsvc.tasks.reaper import Reaper
from imgsvc.threads import ReactorThreads
from imgsvc.web.access_log import log_access
from imgsvc.web.actions import ActionRoutes
from imgsvc.web.app import ImageApi
from imgsvc.web.cors import Cors
from imgsvc.web.creation import ImageReader
from imgsvc.web.data import DataRoutes
from imgsvc.web.fields import FieldRules
from imgsvc.web.forwarding import PublicAddress
from imgsvc.web.health import HealthRoutes
from imgsvc.web.images import ImageRoutes
from imgsvc.web.info import InfoRoutes
from imgsvc.web.listing import ListReader
from imgsvc.web.locations import LocationRoutes
from imgsvc.web.members import MemberRoutes
from imgsvc.web.metadef_definitions import DefinitionRoutes
from imgsvc.web.metadefs import MetadefRoutes
from imgsvc.web.openapi.routes import DescriptionRoutes
from imgsvc.web.patch import PatchReader
from imgsvc.web.schemas import SchemaRoutes, image_schema
from imgsvc.web.site import StreamingSite
from imgsvc.web.stores import StoreRoutes
from imgsvc.web.tags import TagRoutes
from imgsvc.web.update import UpdateRoutes
from imgsvc.web.versions import version_ids
from imgsvc.web.view import ImageView

log = txaio.make_logger()

UNDO_TIME = 5.0
"""Seconds that the undo of transfers may take which were cut off at the end of the grace period."""

Listen = Callable[[StreamingSite], Awaitable[list[IListeningPort]]]


class Server:
    """One process that serves the API. start() and then stop(), once each."""

    def __init__(
        self,
        config: Config,
        data_folder: Path,
        reactor: Any,
        make_threads: Callable[[str, int], IThreads] | None = None,
    ) -> None:
        """reactor: provides IReactorTime and IReactorThreads. make_threads: a pool, from its name and its size.

        Raises ConfigurationError.
        """
        make_threads = make_threads or (lambda name, size: ReactorThreads(reactor, name, size))
        self._config = config
        self._reactor = reactor
        self._ports: list[IListeningPort] = []
        self._patient_until = 0.0
        self._database_url = locate(config.database.url, data_folder)
        self._threads: list[IThreads] = []

        def own_threads(name: str, size: int) -> IThreads:
            self._threads.append(make_threads(name, size))
            return self._threads[-1]

        digests = own_threads("digests", digest_threads())
        certificates = own_threads("certificates", 1)
        budget = Budget(config.server.memory_budget)
        database = open_database(config.database, data_folder, own_threads, reactor)
        self._catalogue = Catalogue(database)
        self._stores = make_stores(
            config.stores.stores,
            config.stores.default,
            StoreServices(make_threads=make_threads, budget=budget, data_folder=data_folder, clock=reactor),
        )
        policy = Policy(placed(config.policy.file, data_folder), reactor.seconds)
        protections = Protections.load(
            placed(config.policy.property_protection_file, data_folder), config.policy.property_protection_rules, policy
        )
        access = Access(self._catalogue, policy)
        metadefs = Metadefs(MetadefCatalogue(database), policy)
        deletion = Deletion(access, self._catalogue, self._stores)
        changes = Changes(access, self._catalogue)
        limits = RecordLimits(config.quotas.properties, config.quotas.tags)
        quotas = Quotas(
            self._catalogue,
            size_cap=config.images.size_cap,
            user_storage=config.quotas.user_storage or None,
            unified=config.quotas.unified,
            defaults=default_limits(config.quotas),
        )
        lease = config.server.upload_lease
        self._hashing = Hashing(
            self._catalogue,
            self._stores,
            remove=deletion.remove,
            budget=budget,
            digest_threads=digests,
            clock=reactor,
            rules=HashRules(lease, config.images.location_retries),
        )
        deletion.when_deleted = self._hashing.cancel
        measure = Measure(self._stores, quotas)
        location_rules = LocationRules(
            config.images.verify_locations, config.images.hash, config.quotas.locations, lease
        )
        editor = Relocation(access, self._stores, measure, location_rules)
        self._uploads = Uploads(
            access=access,
            catalogue=self._catalogue,
            stores=self._stores,
            quotas=quotas,
            budget=budget,
            digest_threads=digests,
            signatures=Signatures(
                make_certificates(config.signatures, data_folder, reactor, certificates),
                digests,
                load_authorities(data_folder / config.signatures.trusted_ca, "signatures.trusted_ca")
                if config.signatures.trusted_ca
                else None,
            ),
            clock=reactor,
            rules=UploadRules(
                lease=lease,
                hash_algorithm=config.images.hash,
                check_format=config.images.check_format,
                vmdk_types=config.images.vmdk_allowed_types,
                nonfatal_gpt=config.images.gpt_safety_checks_nonfatal,
            ),
        )
        self._reaper = Reaper(
            self._catalogue,
            self._stores,
            remove=deletion.remove,
            resume=self._hashing.begin,
            clock=reactor,
            interval=config.server.reaper_interval,
            lease=lease,
        )
        schema_file = placed(config.images.schema_file, data_folder)
        schema = image_schema(config.images.disk_formats, config.images.container_formats, schema_file)
        schemas = SchemaRoutes(schema)
        self.description = DescriptionRoutes(schemas.documents)
        rules, view = FieldRules(schema), self._view(access, protections)
        address = PublicAddress(
            config.server.public_endpoint,
            Peers(config.server.proxy_peers, "server.proxy_peers") if config.server.proxy_headers else None,
        )
        api = ImageApi(
            Administrators(self._identity(), policy),
            [
                DataRoutes(
                    self._uploads,
                    Downloads(access, self._stores, Delivery(reactor, config.server.send_timeout)),
                    self._stores.several,
                ),
                ImageRoutes(
                    Images(access, self._catalogue, limits, quotas, protections),
                    deletion,
                    ImageReader(rules),
                    ListReader(config.api.limit_default, config.api.limit_max),
                    view,
                    [store.store_id for store in self._stores.all()],
                    address,
                ),
                UpdateRoutes(
                    Patching(
                        access,
                        changes,
                        deletion,
                        limits,
                        editor if config.images.show_locations else HiddenLocations(),
                        protections,
                    ),
                    PatchReader(schema, rules),
                    view,
                ),
                TagRoutes(Tagging(changes, limits)),
                ActionRoutes(Activation(changes)),
                MemberRoutes(Sharing(access, self._catalogue, config.quotas.members)),
                MetadefRoutes(metadefs, config.api.limit_default, config.api.limit_max, address),
                DefinitionRoutes(metadefs, address),
                schemas,
                self.description,
                LocationRoutes(
                    Locations(access, self._catalogue, self._stores, measure, location_rules, self._hashing.begin)
                ),
                StoreRoutes(Copies(access, changes, self._stores, deletion)),
                InfoRoutes(access, quotas, self._stores),
                HealthRoutes(
                    Health(self._catalogue, self._stores, reactor),
                    Peers(config.server.health_peers, "server.health_peers"),
                    placed(config.server.disable_file, data_folder),
                ),
            ],
            versions=version_ids(self._stores.several),
            address=address,
            cors=Cors(config.server.cors_origins),
        )
        self.site = StreamingSite(
            api, reactor, config.server.idle_timeout, log_access if config.server.access_log else None
        )

    def _view(self, access: Access, protections: Protections) -> ImageView:
        images = self._config.images
        return ImageView(access, self._stores, protections, images.show_direct_url, images.show_locations)

    def _identity(self) -> IIdentity:
        if self._config.identity.mode == "proxy":
            return Proxy(self._config.identity.proxy.peers)
        return LocalAdministrator()

    async def start(self, listen: Listen) -> None:
        """Open the catalogue and the stores, and then serve where `listen` binds the site.

        Raises ConfigurationError, CatalogueUnavailable, StoreError, CannotListenError.
        """
        await self._catalogue.start()
        await self._stores.start()
        self._reaper.start()
        self._ports = await listen(self.site)
        log.info(
            "imgsvc {version} on {addresses}; database {database}; stores {stores}, default {default};"
            " identity {identity}",
            version=__version__,
            addresses=", ".join(address_of(port) for port in self._ports),
            database=without_password(self._database_url),
            stores=", ".join(f"{store.store_id} ({store.kind})" for store in self._stores.all()),
            default=self._stores.default.store_id,
            identity=self._config.identity.mode,
        )

    async def stop(self) -> None:
        """Take no more connections, let the transfers that are under way finish within the grace, and close all."""
        for port in self._ports:
            await _maybe(port.stopListening())
        self.site.finish_connections()
        await self._until_idle(self._config.server.grace)
        self.site.cut_connections()
        await self._until_idle(UNDO_TIME)
        await within(UNDO_TIME, self._reaper.stop(), self._reactor)
        await within(UNDO_TIME, self._hashing.stop(), self._reactor)
        await self._catalogue.stop()
        await self._stores.stop()
        for threads in self._threads:
            threads.stop()
        log.info("stopped")

    def hasten(self) -> None:
        """Of a stop that is under way: wait no longer for what it waits for."""
        self._patient_until = self._reactor.seconds()

    async def _until_idle(self, seconds: float) -> None:
        """Wait until no connection is open and no upload at work, but no longer than this."""
        self._patient_until = self._reactor.seconds() + seconds
        while (self.site.connections or self._uploads.running) and self._reactor.seconds() < self._patient_until:
            pause: Deferred[None] = Deferred()
            self._reactor.callLater(0.05, pause.callback, None)
            await pause
        if self.site.connections or self._uploads.running:
            log.warn(
                "{connections} connections and {uploads} uploads did not end in time",
                connections=len(self.site.connections),
                uploads=len(self._uploads.running),
            )


def default_limits(quotas: QuotaOptions) -> ProjectLimits:
    """Of projects for which the operator has set none of their own."""
    return ProjectLimits(
        project_id="",
        size_total=quotas.image_size_total or None,
        stage_total=quotas.image_stage_total or None,
        count_total=quotas.image_count_total or None,
        count_uploading=quotas.image_count_uploading or None,
    )


def placed(path: str, data_folder: Path) -> Path | None:
    """Where a file of the configuration is; None for an empty path."""
    return data_folder / path if path else None


def digest_threads() -> int:
    """One for each core: digests keep a core busy, and no more of them help."""
    return max(2, len(os.sched_getaffinity(0)))


def address_of(port: IListeningPort) -> str:
    """Where a port listens, for people and for scripts: `http://127.0.0.1:9292` or the path of a unix socket."""
    host: Any = port.getHost()
    return f"http://{host.host}:{host.port}" if hasattr(host, "port") else f"unix:{host.name.decode()}"


async def within(seconds: float, work: Deferred[None], clock: IReactorTime) -> None:
    """Wait for work, but no longer than this: what a store that hangs leaves undone is done after the next start."""
    late: Deferred[None] = Deferred()
    timer = clock.callLater(seconds, late.callback, None)
    await DeferredList([work, late], fireOnOneCallback=True, consumeErrors=True)
    if timer.active():
        timer.cancel()
    else:
        log.warn("what is being cleaned up did not end in {seconds} s", seconds=seconds)


async def _maybe(result: Any) -> Any:
    return await result if isinstance(result, Deferred) else result
