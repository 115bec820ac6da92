"""Builds the HTTP API from the configuration and the core: all groups of routes, with what each of them needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IReactorTime

from imgsvc.config import Config, Server
from imgsvc.daemon.core import Core, placed
from imgsvc.identity.administrators import Administrators
from imgsvc.peers import Peers
from imgsvc.web.acceleration import METHOD, Acceleration
from imgsvc.web.actions import ActionRoutes
from imgsvc.web.app import ImageApi
from imgsvc.web.bodies import JsonBodies
from imgsvc.web.callers import Callers
from imgsvc.web.cors import Cors
from imgsvc.web.creation import ImageReader
from imgsvc.web.data import DataRoutes
from imgsvc.web.fields import FieldRules
from imgsvc.web.forwarding import PublicAddress
from imgsvc.web.health import HealthRoutes
from imgsvc.web.image_renderer import ImageRenderer
from imgsvc.web.images import ImageRoutes
from imgsvc.web.info import InfoRoutes
from imgsvc.web.large import LargeResponses
from imgsvc.web.listing import ListReader
from imgsvc.web.locations import LocationRoutes
from imgsvc.web.members import MemberRoutes
from imgsvc.web.metadef_definitions import DefinitionRoutes
from imgsvc.web.metadefs import MetadefRoutes
from imgsvc.web.openapi.routes import DescriptionRoutes
from imgsvc.web.patch import PatchReader
from imgsvc.web.routes import RouteGroup
from imgsvc.web.schemas import SchemaRoutes, image_schema
from imgsvc.web.showing import ImageResponses
from imgsvc.web.stores import StoreRoutes
from imgsvc.web.tags import TagRoutes
from imgsvc.web.update import UpdateRoutes
from imgsvc.web.versions import VersionRoutes, version_ids


def make_api(config: Config, core: Core, data_folder: Path, clock: IReactorTime) -> ImageApi:
    """Build the HTTP API.

    core: the operations, stores and budgets that the routes use. data_folder: the folder that relative paths of the
    configuration start from. clock: the reactor, for the time that JSON bodies and other services may take.

    Raises ConfigurationError: an option is wrong, or a file that it names.
    """
    server = config.server
    address = PublicAddress(
        server.public_endpoint, Peers(server.proxy_peers, "server.proxy_peers") if server.proxy_headers else None
    )
    bodies = JsonBodies(core.budgets.answers, core.json_threads, clock)
    images = config.images
    schema = image_schema(images.disk_formats, images.container_formats, placed(images.schema_file, data_folder))
    schemas = SchemaRoutes(schema)
    versions = VersionRoutes(version_ids(core.stores.several), address)
    groups: list[RouteGroup] = [
        *_about_images(config, core, schema, address, bodies),
        *_about_definitions(config, core, address, bodies),
        versions,
        *_about_server(config, core, data_folder),
        schemas,
    ]
    return ImageApi(
        Callers(Administrators(core.identities.make(config), core.policy)),
        [*groups, DescriptionRoutes(groups, schemas.documents)],
        versions=versions,
        cors=Cors(server.cors_origins),
        answers=LargeResponses(core.answers, bodies.turns),
        clock=clock,
        service_timeout=server.service_timeout,
        events=core.events,
    )


def _about_images(
    config: Config, core: Core, schema: Mapping[str, Any], address: PublicAddress, bodies: JsonBodies
) -> list[RouteGroup]:
    images = config.images
    rules = FieldRules(schema)
    renderer = ImageRenderer(core.stores, core.protections, images.show_direct_url, images.show_locations)
    answers = ImageResponses(core.images, renderer, core.answers)
    return [
        DataRoutes(core.uploads, core.downloads, core.stores.several, _acceleration(config.server)),
        ImageRoutes(
            core.images,
            core.deletion,
            ImageReader(rules),
            ListReader(config.api.limit_default, config.api.limit_max),
            answers,
            [store.store_id for store in core.stores.all()],
            address,
            bodies,
        ),
        UpdateRoutes(core.patching, PatchReader(schema, rules), answers, bodies),
        TagRoutes(core.tagging),
        ActionRoutes(core.activation),
        MemberRoutes(core.sharing, bodies),
        LocationRoutes(core.locations, bodies),
        StoreRoutes(core.copies),
    ]


def _acceleration(server: Server) -> Acceleration | None:
    peers = Peers(server.accelerated_peers, "server.accelerated_peers")
    return Acceleration(peers) if server.accelerated == METHOD else None


def _about_definitions(config: Config, core: Core, address: PublicAddress, bodies: JsonBodies) -> list[RouteGroup]:
    return [
        MetadefRoutes(core.metadefs, config.api.limit_default, config.api.limit_max, address, core.answers, bodies),
        DefinitionRoutes(core.metadefs, address, bodies),
    ]


def _about_server(config: Config, core: Core, data_folder: Path) -> list[RouteGroup]:
    server = config.server
    return [
        HealthRoutes(
            core.health, Peers(server.health_peers, "server.health_peers"), placed(server.disable_file, data_folder)
        ),
        InfoRoutes(core.access, core.quotas, core.stores),
    ]
