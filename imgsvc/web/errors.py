"""The HTTP status of each domain error, and the body of an error in each format that clients read."""

from __future__ import annotations

import html
import json
from http import HTTPStatus
from typing import Final

from imgsvc import errors
from imgsvc.web.render import preferred_type

STATUS: Final[dict[type[errors.ImgsvcError], int]] = {
    errors.Invalid: 400,
    errors.BodyCut: 400,
    errors.PartUnavailable: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.StoreForbidden: 403,
    errors.NoSuchImage: 404,
    errors.NotFound: 404,
    errors.ObjectMissing: 404,
    errors.ImageExists: 409,
    errors.WrongStatus: 409,
    errors.ImageChanged: 409,
    errors.Conflict: 409,
    errors.ObjectExists: 409,
    errors.ObjectInUse: 409,
    errors.TaskCancelled: 409,
    errors.LeaseLost: 410,
    errors.StoreReadOnly: 410,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.QuotaExceeded: 413,
    errors.BodyTooLarge: 413,
    errors.StoreFull: 413,
    errors.UnsupportedType: 415,
    errors.FormatMismatch: 415,
    errors.RangeNotSatisfiable: 416,
    errors.TooManyAttempts: 429,
    errors.HeaderTooLarge: 431,
    errors.StoreWriteDenied: 503,
    errors.StoreUnavailable: 503,
    errors.DataMissing: 503,
    errors.TaskStalled: 503,
    errors.ObjectDamaged: 503,
    errors.CatalogueUnavailable: 503,
    errors.CertificatesUnavailable: 503,
    errors.RemoteUnavailable: 503,
    errors.ServiceUnavailable: 503,
    errors.Overloaded: 503,
}
"""For an error class that is missing, its nearest base class counts."""


def status_of(error: errors.ImgsvcError) -> int:
    """The HTTP status of an error; 500 if the table has none."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


def error_body(accept: str | None, status: int, message: str) -> tuple[bytes, str]:
    """The body of an error and its Content-Type, in the format that the Accept header asks for.

    accept: the header; None: there is none. Browsers and clients that accept anything get HTML, because glanceclient
    cannot read flat JSON. Clients without the header get plain text. Clients with an empty header get JSON, because
    openstacksdk sends one with uploads, and drops plain text.
    """
    phrase = HTTPStatus(status).phrase
    line = f"{status} {phrase}"
    best = preferred_type(accept, ["text/html", "application/json"])
    if best == "application/json" or accept == "":
        document = {"message": message, "code": line, "title": phrase}
        return json.dumps(document, ensure_ascii=False).encode(), "application/json"
    if best == "text/html":
        page = (
            f"<html>\n <head>\n  <title>{line}</title>\n </head>\n <body>\n  <h1>{line}</h1>\n"
            f"  {html.escape(message, quote=False)}<br /><br />\n </body>\n</html>"
        )
        return page.encode(), "text/html; charset=UTF-8"
    return f"{line}\n\n{message}\n".encode(), "text/plain; charset=UTF-8"
