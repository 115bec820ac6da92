"""Finds the URL at which clients reach the server, directly or through proxies."""

from __future__ import annotations

import re
from typing import Final

from attrs import define

from imgsvc.errors import ConfigurationError
from imgsvc.forwarded import last_value, parameters
from imgsvc.peers import Peers
from imgsvc.web.request import StreamingRequest

_URL: Final = re.compile(r"https?://[^/?#\s]+(?:/[^?#\s]*)?")
_SCHEME: Final = re.compile(r"https?", re.IGNORECASE)
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%-]+)(?::[0-9]{1,5})?")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~%-]+)*")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


@define
class PublicAddress:
    """Gives the URL that links to this server begin with.

    public_endpoint: that URL, with http or https; empty: take it from the request.
    proxies: the peers whose headers are trusted; None: nobody. The headers are `X-Forwarded-Proto`, `-Host`, `-Port`
    and `-Prefix`, or `Forwarded` (RFC 7239), which has precedence, as in oslo.middleware. A proxy that forwards to
    another one appends its value to a list, or replaces the former value. So the last value is that of the trusted
    proxy. Values before it may come from the client. An invalid value is ignored.
    """

    public_endpoint: str = ""
    proxies: Peers | None = None

    def __attrs_post_init__(self) -> None:
        """Raises ConfigurationError: public_endpoint is not a URL."""
        if self.public_endpoint and not _URL.fullmatch(self.public_endpoint):
            raise ConfigurationError(
                f"server.public_endpoint = {self.public_endpoint!r}: must be a URL, as 'https://images.example/prefix'"
            )

    def of(self, request: StreamingRequest) -> str:
        """The URL for the client of this request: scheme, host and prefix, without a slash at the end."""
        if self.public_endpoint:
            return self.public_endpoint.rstrip("/")
        scheme = "https" if request.isSecure() else "http"
        host = (request.getHeader(b"host") or b"localhost").decode("latin-1")
        if self.proxies is None or request.client not in self.proxies:
            return f"{scheme}://{host}"
        headers = request.requestHeaders
        forwarded = parameters(last_value(headers, "forwarded"))
        scheme = _valid(_SCHEME, forwarded.get("proto"), last_value(headers, "x-forwarded-proto"), scheme).lower()
        host = _valid(_HOST, forwarded.get("host"), last_value(headers, "x-forwarded-host"), host)
        port = _valid(_PORT, last_value(headers, "x-forwarded-port"))
        if port:
            name = re.sub(r":[0-9]*$", "", host)
            host = name if port == _DEFAULT_PORTS[scheme] else f"{name}:{port}"
        return f"{scheme}://{host}{_valid(_PREFIX, last_value(headers, 'x-forwarded-prefix').rstrip('/'))}"


def _valid(pattern: re.Pattern[str], *values: str | None) -> str:
    """The first value that the pattern allows; empty if there is none."""
    return next((value for value in values if value and pattern.fullmatch(value)), "")
