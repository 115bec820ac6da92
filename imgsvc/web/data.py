"""The bytes of images: `/v2/images/{image_id}/file`."""

from __future__ import annotations

from functools import lru_cache

from attrs import define
from twisted.web.iweb import UNKNOWN_LENGTH
from werkzeug.http import http_date

from imgsvc.errors import Invalid, UnsupportedType
from imgsvc.model import Image, RequestContext, Span
from imgsvc.operations.downloads import Downloads
from imgsvc.operations.uploads import UploadRequest, Uploads
from imgsvc.web.conditions import has_current, joined
from imgsvc.web.digests import parse_digests, parse_md5
from imgsvc.web.disposition import content_disposition
from imgsvc.web.ranges import parse_content_range, parse_range
from imgsvc.web.render import answer_nothing
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route


@define
class DataRoutes:
    """Upload and download."""

    uploads: Uploads
    downloads: Downloads
    several_stores: bool

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        path = "/v2/images/<image_id>/file"
        return [
            Route("PUT", path, self.upload, takes_body=True),
            Route("GET", path, self.download),
        ]

    async def upload(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes:
        """204, or the errors of Uploads.put."""
        content_type = request.getHeader("content-type") or ""
        if content_type.partition(";")[0].strip().lower() != "application/octet-stream":
            raise UnsupportedType("The Content-Type of image data is application/octet-stream.")
        if request.requestHeaders.hasHeader("content-range"):  # RFC 9110 section 14.5
            raise Invalid("An image takes its data as a whole: Content-Range says that this is a part.")
        if request.clientproto == b"HTTP/1.0" and not request.requestHeaders.hasHeader("content-length"):
            raise Invalid("An upload by HTTP/1.0 has a Content-Length.")  # RFC 1945 section 7.2.2
        upload = UploadRequest(
            expected_size=_expected_size(request),
            store_id=request.getHeader("x-image-meta-store") if self.several_stores else None,
            digests=_digests(request),
        )
        await self.uploads.put(context.caller, image_id, upload, request.body)
        return answer_nothing(request)

    async def download(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes | None:
        """200, 206, 204 without data, 304; the errors of Downloads, of the conditions and of the range.

        HEAD opens the object as well, so that its answer is that of GET, and reads nothing of it.
        """
        source = await self.downloads.find(context.caller, image_id, _preferred_stores(request))
        if source is None:
            return answer_nothing(request)
        image = source.image
        etag = _etag(image)
        _validate(request, image, etag)
        if has_current(request.requestHeaders, etag, int(image.updated_at.timestamp())):
            return answer_nothing(request, 304)
        span = _asked_span(request, source.size, etag)
        reader = await self.downloads.open(source, span or Span(0, source.size))
        if reader is None:
            for name in (b"etag", b"last-modified"):
                request.responseHeaders.removeHeader(name)
            return answer_nothing(request)
        _describe(request, image, source.size, span)
        if request.method == b"HEAD":
            reader.stopProducing()
            return b""
        await self.downloads.send(image, reader, request)
        return None


def _expected_size(request: StreamingRequest) -> int | None:
    """Bytes that the client announces; None if it does not. Glance takes 0 as unknown, and so do its clients."""
    header = request.getHeader("x-openstack-image-size")
    if header is not None:
        if not (header.isascii() and header.strip().isdigit()) or len(header) > 19:
            raise Invalid(f"X-OpenStack-Image-Size {header!r} is not a number of bytes.")
        return int(header) or None
    return None if request.body.length is UNKNOWN_LENGTH else request.body.length or None


def _preferred_stores(request: StreamingRequest) -> list[str]:
    """The stores of `?prefer=s1,s2`, in order."""
    if not request.args:
        return []
    names = b",".join(request.args.get(b"prefer", [])).decode().split(",")
    return [name.strip() for name in names if name.strip()]


def _digests(request: StreamingRequest) -> dict[str, bytes]:
    """What the bytes must have. A body is the whole representation here, so the headers of RFC 9530 say the same."""
    headers = request.requestHeaders
    content, representation = [
        parse_digests(name, headers.getRawHeaders(name, [])) for name in ("content-digest", "repr-digest")
    ]
    if any(content[algorithm] != representation[algorithm] for algorithm in content.keys() & representation.keys()):
        raise Invalid("Content-Digest and Repr-Digest contradict each other.")
    return content | representation | parse_md5(headers.getRawHeaders("content-md5", []))


def _etag(image: Image) -> str | None:
    """Strong: the bytes of an image never change. None if no digest is known."""
    value = image.os_hash_value or image.checksum
    return None if value is None else f'"{value[:64]}"'


def _asked_span(request: StreamingRequest, size: int, etag: str | None) -> Span | None:
    """The part that is asked for; None for the whole."""
    asked = joined(request.requestHeaders, "range")
    if asked is not None:
        condition = request.getHeader("if-range")
        if condition is not None and condition.strip() != etag:
            return None
        return parse_range(asked, size)
    asked = joined(request.requestHeaders, "content-range")
    return None if asked is None else parse_content_range(asked, size)


@lru_cache(maxsize=1000)
def _http_date(moment: int) -> bytes:
    return http_date(moment).encode()


def _validate(request: StreamingRequest, image: Image, etag: str | None) -> None:
    """Set what a cache may compare, and that it must: the data may be another caller's, or not for anybody any more."""
    if etag is not None:
        request.setHeader(b"etag", etag.encode())
    request.setHeader(b"last-modified", _http_date(int(image.updated_at.timestamp())))
    request.setHeader(b"cache-control", b"no-cache")


def _describe(request: StreamingRequest, image: Image, size: int, span: Span | None) -> None:
    """Set the headers of an answer with data."""
    request.setHeader(b"content-type", b"application/octet-stream")
    request.setHeader(b"accept-ranges", b"bytes")
    request.setHeader(b"content-disposition", content_disposition(image))
    if image.checksum is not None:
        # Of the whole image, also for a part, and in hex: glanceclient and openstacksdk compare it as it is.
        request.setHeader(b"content-md5", image.checksum.encode())
    if span is None:
        request.setHeader(b"content-length", b"%d" % size)
    else:
        request.setResponseCode(206)
        request.setHeader(b"content-length", b"%d" % span.length)
        request.setHeader(b"content-range", b"bytes %d-%d/%d" % (span.start, span.stop - 1, size))
