"""Builds everything behind the API from the configuration, and connects it: catalogue, stores, operations, tasks."""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any
from weakref import WeakSet

from imgsvc.catalogue import Catalogue, MetadefCatalogue, open_database, sqlite_file
from imgsvc.certificates.maker import make_certificates
from imgsvc.config import Config
from imgsvc.config import Quotas as QuotaOptions
from imgsvc.daemon.background import Background
from imgsvc.event_model import ImageDeleted
from imgsvc.events import Events
from imgsvc.folders import Folders
from imgsvc.hashing import IHasher
from imgsvc.hashing.choose import choose_hasher
from imgsvc.identity.maker import Identities
from imgsvc.identity.policy import Policy
from imgsvc.identity.protections import Protections
from imgsvc.interfaces import ICertificates, IThreads
from imgsvc.model import ProjectLimits
from imgsvc.notifications.audit import make_audit
from imgsvc.notifications.maker import make_publisher
from imgsvc.operations.access import Access
from imgsvc.operations.activation import Activation
from imgsvc.operations.changes import Changes
from imgsvc.operations.deletion import Deletion
from imgsvc.operations.downloads import Downloads
from imgsvc.operations.health import Health
from imgsvc.operations.images import Images, RecordLimits
from imgsvc.operations.limits import Quotas
from imgsvc.operations.location_patching import LocationPatcher
from imgsvc.operations.locations import LocationProbe, LocationRules, Locations
from imgsvc.operations.losses import Losses
from imgsvc.operations.metadefs import Metadefs
from imgsvc.operations.patching import HiddenLocations, Patching
from imgsvc.operations.sharing import Sharing
from imgsvc.operations.store_copies import StoreCopies
from imgsvc.operations.tagging import Tagging
from imgsvc.operations.uploads import Upload, UploadRules, Uploads
from imgsvc.pipeline.budget import Budgets
from imgsvc.pipeline.cores import Cores
from imgsvc.pipeline.delivery import Delivery
from imgsvc.pipeline.digest_scheduler import DigestScheduler
from imgsvc.pipeline.inspection_rules import InspectionRules
from imgsvc.pipeline.sending import Answers
from imgsvc.pipeline.signatures import Signatures, load_authorities
from imgsvc.stores.registry import make_stores
from imgsvc.stores.services import StoreServices
from imgsvc.tasks.hashing import HashRules, LocationHashing
from imgsvc.tasks.reaper import Reaper
from imgsvc.tasks.runner import TaskRunner


class Core:
    """The catalogue, stores, operations and tasks of one process. It starts nothing and stops nothing: `Server` does.

    threads: the thread pools that belong to no store. budgets: the memory for bytes in flight. digest_threads: compute
    digests and signatures. digest_scheduler: the digests of all transfers, in these threads. hashing_choice: what
    computes them. json_threads: one thread, for large JSON bodies. answers: sends large JSON answers.
    identities: makes the identity of a configuration. background: services to start when the server serves.

    When the configuration changes, `renewed` builds the objects that follow its rules again. The objects that have a
    state stay.
    """

    def __init__(
        self,
        config: Config,
        data_folder: Path,
        reactor: Any,
        make_threads: Callable[[str, int], IThreads],
        folders: Folders,
    ) -> None:
        """data_folder: relative paths of the configuration start from it. reactor: provides IReactorTime and
        IReactorThreads. make_threads: makes a thread pool of a name and a size. folders: makes the stores' folders.

        Raises ConfigurationError.
        """
        self._config = config
        self._data_folder = data_folder
        self._reactor = reactor
        self._make_threads = make_threads
        self._make_lasting(folders)
        self._make_rules()
        self._make_tasks()
        self._make_operations()

    def renewed(self, config: Config) -> Core:
        """A Core for new requests that uses another configuration, with the same catalogue, stores and tasks.

        config: differs from the first configuration only in options that can change without a restart.

        Raises ConfigurationError.
        """
        core = copy(self)
        core._config = config
        core._make_rules()
        core._make_operations()
        return core

    async def stop_requests(self) -> None:
        """Stop asking other servers for certificates and identities. Requests that wait for one fail."""
        await self.identities.stop()
        for certificates in list(self._certificates):
            await certificates.stop()

    def take_over(self) -> None:
        """Make the tasks use the configuration of this Core, too."""
        self.hashing.rules = self._hash_rules()

    def _make_lasting(self, folders: Folders) -> None:
        config, data_folder, reactor = self._config, self._data_folder, self._reactor
        self.threads: list[IThreads] = []
        self.hashing_choice = choose_hasher(config.images.accelerated_hashing)
        size = digest_threads(self.hashing_choice.hasher)
        self.digest_threads = self._own_threads("digests", size)
        self.digest_scheduler = DigestScheduler(
            self.hashing_choice.hasher, self.digest_threads, size, reactor, Cores(reactor)
        )
        self.budgets = Budgets(config.server.memory_budget)
        self.answers = Answers(self.budgets.answers, reactor, config.server.send_timeout)
        self._certificate_threads = self._own_threads("certificates", 1)
        self.json_threads = self._own_threads("json", 1)
        self._database = database = open_database(config.database, data_folder, self._own_threads, reactor)
        self.catalogue = Catalogue(database)
        file = sqlite_file(config.database.url, data_folder)
        self.stores = make_stores(
            config.stores.stores,
            config.stores.default,
            StoreServices(
                make_threads=self._make_threads,
                budget=self.budgets.downloads,
                data_folder=data_folder,
                clock=reactor,
                folders=folders,
                holdings=self.catalogue,
                catalogue=None if file is None else file.parent,
            ),
        )
        self.identities = Identities(data_folder, reactor, self._own_threads, self.json_threads)
        self.losses = Losses(self.catalogue, self.stores)
        self.events = Events(reactor)
        self.audit = make_audit(config.audit, data_folder, self.events, self._own_threads, reactor)
        self.publisher = make_publisher(config.notifications, self.events, reactor)
        self.health = Health(self.catalogue, self.stores, self.losses, self.events, reactor)
        self.background = Background(reactor)
        self._running: set[Upload] = set()
        self._certificates: WeakSet[ICertificates] = WeakSet()  # uploads may use earlier ones after a reload
        self._deleting: set[int] = set()

    def _make_rules(self) -> None:
        config, data_folder = self._config, self._data_folder
        self.policy = Policy(placed(config.policy.file, data_folder), self._reactor.seconds)
        self.protections = Protections.load(
            placed(config.policy.property_protection_file, data_folder),
            config.policy.property_protection_rules,
            self.policy,
        )
        self.access = Access(self.catalogue, self.policy)
        self.metadefs = Metadefs(MetadefCatalogue(self._database), self.policy)
        self.deletion = Deletion(self.access, self.catalogue, self.stores, self.events, at_work=self._deleting)
        self.quotas = Quotas(
            self.catalogue,
            size_cap=config.images.size_cap,
            user_storage=config.quotas.user_storage or None,
            unified=config.quotas.unified,
            defaults=default_limits(config.quotas),
        )

    def _make_tasks(self) -> None:
        server = self._config.server
        self.hashing = LocationHashing(
            images=self.catalogue,
            stores=self.stores,
            remove=self.deletion.remove,
            budget=self.budgets.uploads,
            digest_threads=self.digest_threads,
            digest_scheduler=self.digest_scheduler,
            rules=self._hash_rules(),
        )
        kinds = {kind.type: kind for kind in [self.hashing]}
        self.tasks = TaskRunner(self.catalogue, kinds, self.events, self._reactor, server.upload_lease)
        self.events.subscribe(ImageDeleted, lambda event: self.tasks.cancel(event.image.id))
        self.reaper = Reaper(
            uploads=self.catalogue,
            tasks=self.catalogue,
            deletions=self.catalogue,
            images=self.catalogue,
            stores=self.stores,
            remove=self.deletion.remove,
            resume=self.tasks.begin,
            events=self.events,
            clock=self._reactor,
            interval=server.reaper_interval,
            lease=server.upload_lease,
        )
        self.background.add(lambda: None, self.tasks.stop)
        self.background.add(self.reaper.start, self.reaper.stop)

    def _own_threads(self, name: str, size: int) -> IThreads:
        self.threads.append(self._make_threads(name, size))
        return self.threads[-1]

    def _make_operations(self) -> None:
        self._make_record_operations()
        self._make_byte_operations()
        self._make_location_operations()

    def _make_record_operations(self) -> None:
        quotas = self._config.quotas
        self.limits = RecordLimits(quotas.properties, quotas.tags, quotas.property_value, quotas.image_record)
        self.changes = Changes(self.access, self.catalogue, self.events, self.quotas)
        self.images = Images(self.access, self.catalogue, self.limits, self.quotas, self.protections, self.events)
        self.tagging = Tagging(self.changes, self.limits)
        self.activation = Activation(self.changes)
        self.sharing = Sharing(self.access, self.catalogue, self.catalogue, self.events, quotas.members)
        self.copies = StoreCopies(self.changes, self.stores, self.deletion)

    def _make_byte_operations(self) -> None:
        images, signatures = self._config.images, self._config.signatures
        certificates = make_certificates(signatures, self._data_folder, self._reactor, self._certificate_threads)
        if certificates is not None:
            self._certificates.add(certificates)
        authorities = placed(signatures.trusted_ca, self._data_folder)
        self.uploads = Uploads(
            access=self.access,
            images=self.catalogue,
            claims=self.catalogue,
            stores=self.stores,
            quotas=self.quotas,
            budget=self.budgets.uploads,
            digest_threads=self.digest_threads,
            digest_scheduler=self.digest_scheduler,
            signatures=Signatures(
                certificates,
                self.digest_threads,
                load_authorities(authorities, "signatures.trusted_ca") if authorities else None,
            ),
            events=self.events,
            clock=self._reactor,
            rules=UploadRules(
                lease=self._config.server.upload_lease,
                hash_algorithm=images.hash,
                inspection=self._inspection_rules(),
            ),
            running=self._running,
        )
        delivery = Delivery(self._reactor, self._config.server.send_timeout)
        self.downloads = Downloads(self.access, self.stores, delivery, self.losses, self.events)

    def _inspection_rules(self) -> InspectionRules:
        images = self._config.images
        return InspectionRules(
            images.check_format,
            images.vmdk_allowed_types,
            images.gpt_safety_checks_nonfatal,
            images.refuse_disguised,
        )

    def _hash_rules(self) -> HashRules:
        return HashRules(self._config.images.location_retries, self._inspection_rules())

    def _make_location_operations(self) -> None:
        images, lease = self._config.images, self._config.server.upload_lease
        probe = LocationProbe(self.stores, self.quotas)
        rules = LocationRules(images.verify_locations, images.hash, self._config.quotas.locations, lease)
        self.locations = Locations(
            self.access, self.catalogue, self.catalogue, self.stores, probe, rules, self.events, self.tasks.begin
        )
        editor = LocationPatcher(self.stores, probe, rules) if images.show_locations else HiddenLocations()
        self.patching = Patching(self.access, self.changes, self.deletion, self.limits, editor, self.protections)


def default_limits(quotas: QuotaOptions) -> ProjectLimits:
    """The limits of projects for which the operator has set no limits."""
    return ProjectLimits(
        project_id="",
        size_total=quotas.image_size_total or None,
        stage_total=quotas.image_stage_total or None,
        count_total=quotas.image_count_total or None,
        count_uploading=quotas.image_count_uploading or None,
    )


def placed(path: str, data_folder: Path) -> Path | None:
    """The real path of a file of the configuration; None for an empty path. The data folder need not exist yet."""
    return Path(os.path.realpath(data_folder / path)) if path else None


def digest_threads(hasher: IHasher) -> int:
    """The number of threads for digests: one for each core, because a call of the hasher keeps one busy.

    If each digest has its own calls, there are at least 2, so that a short one need not wait for a long one. Streams
    that are hashed together would be parted by them on one core.
    """
    return max(1 if hasher.lanes > 1 else 2, len(os.sched_getaffinity(0)))
