"""The file name under which a client saves a downloaded image (RFC 6266)."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from imgsvc.model import Image

LONGEST_NAME: Final = 200
"""Bytes in UTF-8, without the suffix that is added. File systems allow 255."""

_OF_FORMATS: Final = frozenset({"iso", "qcow2", "raw", "vdi", "vhd", "vhdx", "vmdk"})
"""Disk formats whose files usually have the name of the format as suffix."""
_OF_CONTAINERS: Final[Mapping[str, str]] = MappingProxyType({"docker": "tar", "ova": "ova", "ovf": "ovf"})
_KNOWN: Final = frozenset(
    {
        *(*_OF_FORMATS, *_OF_CONTAINERS.values(), "bin", "efi", "hdd", "img", "qcow", "qed"),
        *("7z", "bz2", "gz", "lz4", "lzma", "tbz2", "tgz", "txz", "xz", "zip", "zst"),
    }
)
"""Suffixes that name a file format. Any other suffix may be part of the name, as in `debian-12.5`."""
_RESERVED: Final = frozenset('"*/:<>?\\|')
"""Characters that some operating systems do not allow in the names of files."""
_DROPPED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of characters that are removed: controls, and those that are invisible or change the direction."""


def content_disposition(image: Image) -> bytes:
    """The value of `Content-Disposition` for the data of an image. The file gets the image's name, or its id.

    A name without a known suffix gets the suffix of the format. `filename` is for clients that do not read `filename*`.
    It is ASCII, without characters that clients interpret differently (RFC 6266, appendix D).
    """
    suffix = _suffix(image)
    name = _cleaned(image.name or "")
    full = _with_suffix(name or image.id, suffix)
    plain = _with_suffix(_cleaned(_ascii(name)) or image.id, suffix)
    value = f'attachment; filename="{plain}"'
    return (value if plain == full else f"{value}; filename*=UTF-8''{quote(full, safe='')}").encode("ascii")


def _suffix(image: Image) -> str | None:
    if image.container_format == "compressed":  # the algorithm is unknown
        return None
    of_container = _OF_CONTAINERS.get(image.container_format or "")
    return of_container or (image.disk_format if image.disk_format in _OF_FORMATS else None)


def _cleaned(name: str) -> str:
    """The part of a name that is safe as the name of a visible file; may be empty."""
    kept = "".join("_" if each in _RESERVED else each for each in name if unicodedata.category(each) not in _DROPPED)
    return kept.strip(". ").encode()[:LONGEST_NAME].decode(errors="ignore").rstrip(". ")


def _ascii(name: str) -> str:
    """The name without accents, and with `_` for other characters that are not ASCII; empty if no letter or digit is
    left.
    """
    letters = [each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each)]
    text = "".join(each if each.isascii() and each != "%" else "_" for each in letters)
    return text if any(map(str.isalnum, text)) else ""


def _with_suffix(name: str, suffix: str | None) -> str:
    own = name.rpartition(".")[2].lower() if "." in name else None
    return name if suffix is None or own in _KNOWN else f"{name}.{suffix}"
