"""Uploads and downloads of image data: `/v2/images/{image_id}/file`."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, Final

from attrs import define
from twisted.web.iweb import UNKNOWN_LENGTH
from werkzeug.http import http_date

from imgsvc.errors import Invalid, UnsupportedType
from imgsvc.model import Image, RequestContext, Span
from imgsvc.operations.downloads import Downloads
from imgsvc.operations.uploads import UploadRequest, Uploads
from imgsvc.web.acceleration import Acceleration
from imgsvc.web.conditions import has_current, joined
from imgsvc.web.digests import parse_digests, parse_md5
from imgsvc.web.disposition import content_disposition
from imgsvc.web.openapi.notation import COUNT, Json, Operation, header, nothing, query, sent_header
from imgsvc.web.ranges import parse_content_range, parse_range
from imgsvc.web.render import answer_nothing
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route


@define
class DataRoutes:
    """Uploads and downloads.

    several_stores: whether a client can choose the store. acceleration: hands downloads over to a proxy; None: never.
    """

    part: ClassVar[str] = "data"

    uploads: Uploads
    downloads: Downloads
    several_stores: bool
    acceleration: Acceleration | None = None

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        path = "/v2/images/<image_id>/file"
        return [
            Route("PUT", path, self.upload, _uploading, takes_body=True),
            Route("GET", path, self.download, _downloading),
        ]

    async def upload(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes:
        """204. Raises Invalid, UnsupportedType, and the errors of Uploads.put."""
        content_type = request.getHeader("content-type") or ""
        if content_type.partition(";")[0].strip().lower() != "application/octet-stream":
            raise UnsupportedType("The Content-Type of image data must be application/octet-stream.")
        if request.requestHeaders.hasHeader("content-range"):  # RFC 9110 section 14.5
            raise Invalid("Image data must be uploaded as a whole: the request has a Content-Range.")
        if request.clientproto == b"HTTP/1.0" and not request.requestHeaders.hasHeader("content-length"):
            raise Invalid("An upload by HTTP/1.0 must have a Content-Length.")  # RFC 1945 section 7.2.2
        upload = UploadRequest(
            expected_size=_expected_size(request),
            store_id=request.getHeader("x-image-meta-store") if self.several_stores else None,
            digests=_digests(request),
        )
        await self.uploads.put(context.caller, image_id, upload, request.body)
        return answer_nothing(request)

    async def download(self, request: StreamingRequest, context: RequestContext, image_id: str) -> bytes | None:
        """200; 206 for a range; 204 if there is no data; 304. Raises the errors of Downloads, conditions and ranges.

        HEAD opens the object too, so that it gets the same response as GET, but reads nothing.
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
        if self.acceleration is not None and self.acceleration.hand_over(request, reader):
            self.downloads.handed_over(source.image, reader)
            return b""
        await self.downloads.send(image, reader, request)
        return None


def _expected_size(request: StreamingRequest) -> int | None:
    """The number of bytes that the client announces; None if unknown. 0 means unknown in Glance and its clients."""
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
    """The digests that the bytes must have.

    A body is the whole representation here, so Content-Digest and Repr-Digest (RFC 9530) mean the same.
    """
    headers = request.requestHeaders
    content, representation = [
        parse_digests(name, headers.getRawHeaders(name, [])) for name in ("content-digest", "repr-digest")
    ]
    if any(content[algorithm] != representation[algorithm] for algorithm in content.keys() & representation.keys()):
        raise Invalid("Content-Digest and Repr-Digest contradict each other.")
    return content | representation | parse_md5(headers.getRawHeaders("content-md5", []))


def _etag(image: Image) -> str | None:
    """The entity tag of the data; None if no digest is known. It is strong, because the data never changes."""
    value = image.os_hash_value or image.checksum
    return None if value is None else f'"{value[:64]}"'


def _asked_span(request: StreamingRequest, size: int, etag: str | None) -> Span | None:
    """The range that the client asks for; None for the whole."""
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
    """Set the headers for caches.

    A cache must revalidate the data each time, because the caller's rights may differ.
    """
    if etag is not None:
        request.setHeader(b"etag", etag.encode())
    request.setHeader(b"last-modified", _http_date(int(image.updated_at.timestamp())))
    request.setHeader(b"cache-control", b"no-cache")


def _describe(request: StreamingRequest, image: Image, size: int, span: Span | None) -> None:
    """Set the headers of a response with data."""
    request.setHeader(b"content-type", b"application/octet-stream")
    request.setHeader(b"accept-ranges", b"bytes")
    request.setHeader(b"content-disposition", content_disposition(image))
    if image.checksum is not None:
        # The MD5 of the whole image, even for a range, and in hex: glanceclient and openstacksdk compare it with that.
        request.setHeader(b"content-md5", image.checksum.encode())
    if span is None:
        request.setHeader(b"content-length", b"%d" % size)
    else:
        request.setResponseCode(206)
        request.setHeader(b"content-length", b"%d" % span.length)
        request.setHeader(b"content-range", b"bytes %d-%d/%d" % (span.start, span.stop - 1, size))


# --- the description of the API


_BYTES: Final[Json] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


def _uploading() -> Operation:
    digest = "`sha-256=:BASE64:` or `sha-512=:BASE64:` of the data (RFC 9530)"
    return Operation(
        "upload_image",
        "Upload the data of an image",
        description="The data of an image cannot be replaced. An empty body makes an image of 0 bytes.",
        parameters=[
            header("X-OpenStack-Image-Size", "Number of bytes that will be sent; 0: unknown", COUNT),
            header("X-Image-Meta-Store", "Store for the data, instead of the default one"),
            header("Content-Digest", digest),
            header("Repr-Digest", digest),
            header("Content-MD5", "MD5 of the data, in base64 (RFC 1864) or in hex"),
        ],
        body={"required": True, "content": _BYTES},
        answers={204: nothing("The image is active, and its data is stored")},
        errors={
            400: "The formats are not set; the data does not match the headers, or is a part; or the store is unknown",
            403: "The caller may see the image, but not change it",
            404: "There is no such image, or the caller may not see it",
            409: "The image is not `queued`",
            410: "The image was deleted while its data arrived, or the store does not accept data",
            413: "The data has more bytes than the size cap, the quota or the store allows",
            415: "The Content-Type is another one, there is a Content-Encoding, or the data does not have the"
            " declared format or is unsafe in it",
        },
    )


def _downloading() -> Operation:
    headers = {
        "Content-MD5": sent_header("MD5 of the whole image, in hex"),
        "ETag": sent_header("It never changes, because the data does not"),
        "Last-Modified": sent_header("When the image was last changed"),
        "Cache-Control": sent_header("`no-cache`: a cache must revalidate the data each time", {"const": "no-cache"}),
        "Content-Disposition": sent_header("The file name for the data, made from the image's name (RFC 6266)"),
        "Accept-Ranges": sent_header("`bytes`", {"const": "bytes"}),
    }
    return Operation(
        "download_image",
        "Download the data of an image",
        parameters=[
            query("prefer", "Stores whose copies are tried first, separated by commas"),
            header("Range", "One range: `bytes=0-1023`, `bytes=1024-`, `bytes=-512`"),
            header("If-Range", "The ETag to which the range belongs"),
            header("If-Match", "ETags, one of which the image must have"),
            header("If-Unmodified-Since", "A time after which the image must not have been changed"),
            header("If-None-Match", "ETags that the client has"),
            header("If-Modified-Since", "The Last-Modified that the client has"),
            header("Content-Range", "An old form of a range: `bytes 0-1023/*`"),
        ],
        answers={
            200: {"description": "The data", "content": _BYTES, "headers": headers},
            204: nothing("The image has no data"),
            206: {
                "description": "A part of the data",
                "content": _BYTES,
                "headers": {**headers, "Content-Range": sent_header("`bytes FIRST-LAST/SIZE`")},
            },
            304: nothing("The client has the data", headers={"ETag": headers["ETag"]}),
        },
        errors={
            400: "There is more than one range, the store cannot read ranges, or there is no such store",
            403: "The image is deactivated, or the caller may not download it or may not choose the store",
            404: "There is no such image, or the caller may not see it",
            412: "The condition in If-Match or If-Unmodified-Since does not hold",
            416: "The range is malformed, or contains no byte of the image",
            503: "No store can read the data: a store is away, does not answer, or lacks the object or a part of it",
        },
        error_headers={416: {"Content-Range": sent_header("`bytes */SIZE`")}},
    )
