"""Finds the Image API in the catalogue of Keystone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from imgsvc.client.answers import printable
from imgsvc.client.errors import NoImageEndpoint
from imgsvc.client.identity.login import Login, Scope
from imgsvc.client.urls import check_endpoint


@frozen
class _Entry:
    interface: str
    region: str
    url: str


def find_endpoint(catalogue: Iterable[Mapping[str, object]], login: Login, keystone: str) -> str:
    """Find the URL of the Image API.

    catalogue: the services (Identity API v3, "Service catalog and endpoints"). login: says which endpoint is wanted.
    keystone: its URL, for messages.

    Returns the first endpoint that fits. Raises NoImageEndpoint.
    """
    services = [service for service in catalogue if service.get("type") == login.service_type]
    entries = [entry for service in services for entry in _entries(service)]
    for entry in entries:
        if entry.interface == login.interface and login.region in (None, entry.region):
            try:
                check_endpoint(entry.url)
            except ValueError as error:
                raise NoImageEndpoint(
                    f"Keystone at {keystone} names an endpoint of the Image API that is of no use: {error}."
                ) from error
            return entry.url
    wanted = f"the interface {login.interface!r}" + (f" in the region {login.region!r}" if login.region else "")
    known = ", ".join(sorted({f"{entry.interface} in {entry.region}" for entry in entries}))
    there = f"there is {printable(known)}" if known else "there is none at all"
    if not known and login.scope == Scope():
        there += ", perhaps because the login names no project"
    raise NoImageEndpoint(
        f"Keystone at {keystone} knows no endpoint of the service {login.service_type!r} with {wanted} for this login: "
        f"{there}."
    )


def _entries(service: Mapping[str, object]) -> list[_Entry]:
    endpoints = service.get("endpoints")
    found = []
    for endpoint in endpoints if isinstance(endpoints, list) else []:
        if isinstance(endpoint, dict):
            region = endpoint.get("region_id") or endpoint.get("region") or ""
            found.append(_Entry(str(endpoint.get("interface")), str(region), str(endpoint.get("url"))))
    return found
