"""The versions of the API (Image API, "API versions"): which there are tells clients what the server can do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

CURRENT: Final = "v2.17"
ONE_STORE: Final = ("v2.15", "v2.9", "v2.17", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0")
SEVERAL_STORES: Final = (
    *("v2.15", "v2.13", "v2.12", "v2.11", "v2.10", "v2.9", "v2.8"),
    *("v2.17", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0"),
)


def version_ids(several_stores: bool) -> tuple[str, ...]:
    """The ids that are listed, in order."""
    return SEVERAL_STORES if several_stores else ONE_STORE


def versions_document(ids: Iterable[str], base_url: str) -> dict[str, Any]:
    """The document of `GET /versions`. base_url: scheme and host, without a slash at the end."""
    return {
        "versions": [
            {
                "id": version,
                "status": "CURRENT" if version == CURRENT else "SUPPORTED",
                "links": [{"rel": "self", "href": f"{base_url}/v2/"}],
            }
            for version in ids
        ]
    }
