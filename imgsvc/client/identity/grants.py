"""What the session needs to send a request: where it goes, and the headers that say who asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import field, frozen


@frozen
class Grant:
    """endpoint: the URL of the Image API. headers: strings by name, which may be secret."""

    endpoint: str
    headers: Mapping[str, str] = field(repr=False)


class Access(Protocol):
    """Gives grants."""

    @property
    def endpoint(self) -> str | None:
        """The URL of the Image API; None as long as it was not looked up."""

    async def grant(self) -> Grant:
        """Get a grant for the next request. Raises ClientError: Keystone gives none."""

    def refused(self, grant: Grant) -> bool:
        """Called when the server has answered 401 to a request with this grant. Returns whether there is another."""


class FixedAccess:
    """An Access whose grants are always the same."""

    def __init__(self, endpoint: str, headers: Mapping[str, str]) -> None:
        self.endpoint = endpoint
        self._grant = Grant(endpoint, headers)

    async def grant(self) -> Grant:
        """See Access."""
        return self._grant

    def refused(self, grant: Grant) -> bool:
        """See Access."""
        return False
