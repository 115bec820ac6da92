"""A client of the Image API v2: calls for programs, and the `imgsvc` command.

The public names are those of `__all__`.
"""

from imgsvc.client.api import ImageClient
from imgsvc.client.body import Body
from imgsvc.client.errors import (
    AmbiguousName,
    Broken,
    ClientError,
    ImageChanged,
    LocalFileError,
    Malformed,
    NoData,
    NoSuchImage,
    NoSuchStore,
    Refused,
    Unreachable,
    Unsettled,
    VerificationFailed,
)
from imgsvc.client.inspection import guess_disk_format
from imgsvc.client.patience import Notice
from imgsvc.client.progress import Progress
from imgsvc.client.view import ImageView, MemberView

__all__ = [
    "AmbiguousName",
    "Body",
    "Broken",
    "ClientError",
    "ImageChanged",
    "ImageClient",
    "ImageView",
    "LocalFileError",
    "Malformed",
    "MemberView",
    "NoData",
    "NoSuchImage",
    "NoSuchStore",
    "Notice",
    "Progress",
    "Refused",
    "Unreachable",
    "Unsettled",
    "VerificationFailed",
    "guess_disk_format",
]
