"""Makes the identity by Keystone that the options ask for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from attrs import frozen

from imgsvc.identity.keystone.checks import TokenChecks
from imgsvc.identity.keystone.client import Connect, KeystoneClient
from imgsvc.identity.keystone.facts import KEYSTONE
from imgsvc.identity.keystone.identity import Keystone
from imgsvc.identity.keystone.settings import TABLE, Settings
from imgsvc.remote.fetch import trust
from imgsvc.remote.json_service import JsonService, connect
from imgsvc.remote.service_calls import ServiceLimits, TokenSource

__all__ = ["KeystoneParts", "connection", "make_keystone"]


@frozen
class KeystoneParts:
    """identity: checks tokens. client: its requests, which `stop` ends. settings: what both were made of."""

    identity: Keystone
    client: KeystoneClient
    settings: Settings


def make_keystone(
    settings: Settings, reactor: Any, now: Callable[[], float] = time.time, connected: Connect | None = None
) -> KeystoneParts:
    """The identity, and what asks Keystone for it.

    reactor: for requests. now: the time in seconds since 1970. connected: makes the clients of Keystone; None: as the
    settings say.

    Raises ConfigurationError.
    """
    options = settings.options
    client = KeystoneClient(settings.account, connected or connection(settings, reactor), now)
    identity = Keystone(
        TokenChecks(client.check, reactor, options.cache_time),
        f'Keystone uri="{settings.public_url}"',
        options.service_token_roles,
        options.service_token_roles_required,
        now,
    )
    return KeystoneParts(identity, client, settings)


def connection(settings: Settings, reactor: Any) -> Connect:
    """What makes clients of Keystone. reactor: see imgsvc.remote.json_service.connect. Raises ConfigurationError."""
    tls = trust(settings.ca_file, f"{TABLE}.ca_file") if settings.ca_file else None

    def connected(url: str, tokens: TokenSource | None) -> JsonService:
        return connect(KEYSTONE, url, reactor, limits(settings), option=f"{TABLE}.auth_url", tokens=tokens, tls=tls)

    return connected


def limits(settings: Settings) -> ServiceLimits:
    """The limits of requests to Keystone."""
    return ServiceLimits(settings.options.timeout, attempts=2)
