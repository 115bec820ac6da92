"""Accelerated answers: nginx sends the bytes of an image by itself, after this server has authorised the download.

nginx is told by `X-Accel-Redirect` which file to send, and applies the client's Range to it. Its rules for ranges and
conditions differ from those of this server, so only those requests are handed over to which both answer the same.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from attrs import frozen

from imgsvc.interfaces import IStoredFile, IStoreReader
from imgsvc.peers import Peers
from imgsvc.web.request import StreamingRequest

HEADER: Final = "x-imgsvc-accelerated"
"""The header of requests by which the proxy says that it can send files. It must replace what its clients send."""
METHOD: Final = "x-accel"
"""The value of that header, and of `server.accelerated`."""
PREFIX: Final = "/imgsvc-files"
"""The internal locations of the proxy begin with this. The id of the store and the name of the object follow."""

_RENAMED: Final = (b"cache-control", b"content-disposition", b"accept-ranges")
"""Headers that nginx would keep by itself, also in the response of a second request when it cannot read the file. So
they get the prefix, and the configuration of nginx gives them their names back.
"""
_RENAMED_PREFIX: Final = b"x-imgsvc-"

# nginx also accepts longer numbers, but refuses those of more than 63 bits.
_RANGE: Final = re.compile(r"bytes=(?:\d{1,18}-\d{0,18}|-0*+[1-9]\d{0,17})", re.ASCII)
_CONDITIONS: Final = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "content-range")


@frozen
class Acceleration:
    """Hands downloads over to the proxy that the request came through. peers: the proxies that may be asked to."""

    peers: Peers

    def hand_over(self, request: StreamingRequest, reader: IStoreReader) -> bool:
        """Turn a response with data into one that makes the proxy send them. Returns False if it changes nothing.

        request: a GET whose response has all its headers. reader: the open span that the response describes.
        """
        if not (IStoredFile.providedBy(reader) and reader.length and self._is_able(request)):
            return False
        path = f"{PREFIX}/{quote(reader.store_id, safe='')}/{quote(reader.name, safe='')}"
        request.setHeader(b"x-accel-redirect", path.encode("ascii"))
        request.setHeader(b"content-length", b"0")
        headers = request.responseHeaders
        if request.code == 200:
            headers.removeHeader(b"accept-ranges")  # nginx adds its own, but not to a 206
        for name in _RENAMED:
            if (lines := headers.getRawHeaders(name)) is not None:
                headers.removeHeader(name)
                headers.setRawHeaders(_RENAMED_PREFIX + name, lines)
        return True

    def _is_able(self, request: StreamingRequest) -> bool:
        """Whether the proxy can send files, and answers this request as this server would."""
        headers = request.requestHeaders
        if request.client not in self.peers or headers.getRawHeaders(HEADER) != [METHOD]:
            return False
        if any(map(headers.hasHeader, _CONDITIONS)):
            return False
        asked = headers.getRawHeaders("range", [])
        if not asked:
            return True
        # A Range that does not count because of its If-Range might count for nginx, which also compares dates.
        return request.code == 206 and len(asked) == 1 and _RANGE.fullmatch(asked[0]) is not None
