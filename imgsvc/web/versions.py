"""The versions of the API (Image API, "API versions"). They tell clients which features the server has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from attrs import frozen

from imgsvc.web.forwarding import PublicAddress
from imgsvc.web.openapi.notation import TEXT, Operation, array, choice, fields, json_answer
from imgsvc.web.render import answer_json
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import OpenRoute

_OLDEST: Final = ("v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0")
_OF_STORES: Final = ("v2.13", "v2.12", "v2.11", "v2.10", "v2.9", "v2.8")


@frozen
class VersionRoutes:
    """Lists the versions. ids: the listed versions. address: gives the URL that their links begin with."""

    part: ClassVar[str] = "service"

    ids: Sequence[str]
    address: PublicAddress

    def routes(self) -> list[OpenRoute]:
        """See RouteGroup."""
        return [OpenRoute("GET", "/versions", self.list, _listing)]

    async def list(self, request: StreamingRequest) -> bytes:
        """200 with the versions."""
        return self.answer(request, 200)

    def answer(self, request: StreamingRequest, status: int) -> bytes:
        """The response with the versions; also for a path without a version, with status 300."""
        return answer_json(request, versions_document(self.ids, self.address.of(request)), status)


def version_ids(several_stores: bool, cache: bool = False) -> tuple[str, ...]:
    """The listed ids, in Glance's order. several_stores, cache: whether the server has these."""
    stores = _OF_STORES if several_stores else ("v2.9",)
    if cache:
        return ("v2.18", "v2.17", "v2.16", "v2.15", "v2.14", *stores, *_OLDEST)
    return ("v2.15", *stores, "v2.17", *_OLDEST)


def versions_document(ids: Sequence[str], base_url: str) -> dict[str, Any]:
    """The document of `GET /versions`. base_url: scheme and host, without a slash at the end."""
    current = max(ids, key=lambda version: int(version.partition(".")[2]))
    return {
        "versions": [
            {
                "id": version,
                "status": "CURRENT" if version == current else "SUPPORTED",
                "links": [{"rel": "self", "href": f"{base_url}/v2/"}],
            }
            for version in ids
        ]
    }


# --- the description of the API


def _listing() -> Operation:
    version = fields(
        ("id", "status", "links"),
        id=TEXT,
        status=choice("CURRENT", "SUPPORTED"),
        links=array(fields(("rel", "href"), rel=TEXT, href=TEXT)),
    )
    return Operation(
        "list_versions",
        "List the versions of the API",
        answers={200: json_answer("The versions", fields(("versions",), versions=array(version)))},
    )
