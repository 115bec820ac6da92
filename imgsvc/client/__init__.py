"""A client of the Image API v2: calls for programs, and the `imgsvc` command.

The public names are those of `__all__`. Each is imported when it is first used: `python -m imgsvc.client` imports this
package before it can handle Ctrl-C, so the package must be imported in no time.
"""

from importlib import import_module

TYPE_CHECKING = False
"""True for type checkers. To import it from `typing` would take longer than all the rest of this module."""

if TYPE_CHECKING:
    from imgsvc.client.api import ImageClient
    from imgsvc.client.body import Body
    from imgsvc.client.errors import (
        AmbiguousName,
        BadResponse,
        ClientError,
        ImageChanged,
        LocalFileError,
        NoData,
        NoSuchImage,
        NoSuchStore,
        RequestRefused,
        TransferInterrupted,
        Unreachable,
        Unsettled,
        VerificationFailed,
    )
    from imgsvc.client.inspection import guess_disk_format
    from imgsvc.client.patience import Notice
    from imgsvc.client.progress import Progress
    from imgsvc.client.view import ImageView, MemberView
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)


__all__ = [
    "AmbiguousName",
    "BadResponse",
    "Body",
    "ClientError",
    "ImageChanged",
    "ImageClient",
    "ImageView",
    "LocalFileError",
    "MemberView",
    "NoData",
    "NoSuchImage",
    "NoSuchStore",
    "Notice",
    "Progress",
    "RequestRefused",
    "TransferInterrupted",
    "Unreachable",
    "Unsettled",
    "VerificationFailed",
    "guess_disk_format",
]

_MODULES = {
    "Body": "body",
    "ImageClient": "api",
    "ImageView": "view",
    "MemberView": "view",
    "Notice": "patience",
    "Progress": "progress",
    "guess_disk_format": "inspection",
}
"""The module of each public name that is not an error: `errors` has the others."""
