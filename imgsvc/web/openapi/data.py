"""Describes the data of images: `/v2/images/{image_id}/file`."""

from __future__ import annotations

from typing import Final

from imgsvc.web.openapi.notation import COUNT, Json, Paths, header, nothing, operation, query, sent_header

BYTES: Final[Json] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_DIGEST: Final = "`sha-256=:BASE64:` or `sha-512=:BASE64:` of the data (RFC 9530)"
_DATA_HEADERS: Final = {
    "Content-MD5": sent_header("MD5 of the whole image, in hex"),
    "ETag": sent_header("Stays as long as the image does"),
    "Last-Modified": sent_header("When the image was last changed"),
    "Cache-Control": sent_header("`no-cache`: to be asked for again each time", {"const": "no-cache"}),
    "Content-Disposition": sent_header("What to save the data as: the image's name (RFC 6266)"),
    "Accept-Ranges": sent_header("`bytes`", {"const": "bytes"}),
}


def paths() -> Paths:
    """Upload and download."""
    return {
        "/v2/images/{image_id}/file": {
            "put": operation(
                "upload_image",
                "Give an image its data",
                description="Once: an image that has data takes no other. No data at all makes an image of 0 bytes.",
                parameters=[
                    header("X-OpenStack-Image-Size", "Bytes that will come; 0: unknown", COUNT),
                    header("X-Image-Meta-Store", "The store, if not the default one"),
                    header("Content-Digest", _DIGEST),
                    header("Repr-Digest", _DIGEST),
                    header("Content-MD5", "MD5 of the data, in base64 (RFC 1864) or in hex"),
                ],
                body={"required": True, "content": BYTES},
                answers={204: nothing("The image is active, and its data is stored")},
                errors={
                    400: "The formats are not set; other bytes came than the headers say, or a part; or no such store",
                    403: "The caller sees the image, but may not change it",
                    404: "There is no such image, or the caller may not see it",
                    409: "The image is not `queued`",
                    410: "The image was deleted while its data arrived, or the store takes no data",
                    413: "More bytes than the size cap, the quota or the store takes",
                    415: "The Content-Type is another one, there is a Content-Encoding, or the data is not in the"
                    " declared format or unsafe in it",
                },
            ),
            "get": operation(
                "download_image",
                "The data of an image",
                parameters=[
                    query("prefer", "Stores whose copies are tried first, commas between them"),
                    header("Range", "One range: `bytes=0-1023`, `bytes=1024-`, `bytes=-512`"),
                    header("If-Range", "The ETag for which the range is meant"),
                    header("If-Match", "ETags of which the image must have one"),
                    header("If-Unmodified-Since", "A time after which the image must not have been changed"),
                    header("If-None-Match", "ETags that the client has"),
                    header("If-Modified-Since", "The Last-Modified that the client has"),
                    header("Content-Range", "An old way to ask for a range: `bytes 0-1023/*`"),
                ],
                answers={
                    200: {"description": "The data", "content": BYTES, "headers": _DATA_HEADERS},
                    204: nothing("The image has no data"),
                    206: {
                        "description": "A part of the data",
                        "content": BYTES,
                        "headers": {**_DATA_HEADERS, "Content-Range": sent_header("`bytes FIRST-LAST/SIZE`")},
                    },
                    304: nothing("The client has the data", headers={"ETag": _DATA_HEADERS["ETag"]}),
                },
                errors={
                    400: "More than one range, a store that reads no ranges, or no such store",
                    403: "The image is deactivated, or the caller may not download it, or not choose the store",
                    404: "There is no such image, or the caller may not see it",
                    412: "The image is not what If-Match or If-Unmodified-Since says",
                    416: "The range is malformed, or holds no byte of the image",
                    503: "No store gives the data: it is away, does not answer, or lacks the object or a part of it",
                },
                error_headers={416: {"Content-Range": sent_header("`bytes */SIZE`")}},
            ),
        },
    }
