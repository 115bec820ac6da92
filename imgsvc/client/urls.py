"""Checks the URLs of servers, and encodes them."""

from __future__ import annotations

from urllib.parse import urlsplit

from hyperlink import EncodedURL


class Url(EncodedURL):
    """A URL for treq. hyperlink takes an IPv6 address for a name, and refuses it."""

    def to_uri(self) -> EncodedURL:
        return self if ":" in self.host else super().to_uri()


def check_endpoint(endpoint: str) -> None:
    """Check the URL of a server. endpoint: a string. Raises ValueError that says what is wrong."""
    if "@" in endpoint.partition("://")[2].partition("/")[0]:  # perhaps with a password, which no message must show
        raise ValueError("the URL must not have a user name")
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        Url.from_text(endpoint).to_uri().to_text().encode("ascii")
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{endpoint!r} is not an http or https URL")
    if parts.query or parts.fragment:
        raise ValueError(f"{endpoint!r} has more than a path after the host")
