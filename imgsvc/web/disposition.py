"""What a downloaded image is to be saved as (RFC 6266)."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from imgsvc.model import Image

LONGEST_NAME: Final = 200
"""Bytes in UTF-8, without a suffix that is added. File systems take 255."""

_OF_FORMATS: Final = frozenset({"iso", "qcow2", "raw", "vdi", "vhd", "vhdx", "vmdk"})
"""Disk formats whose files have the format's name for a suffix."""
_OF_CONTAINERS: Final[Mapping[str, str]] = MappingProxyType({"docker": "tar", "ova": "ova", "ovf": "ovf"})
_KNOWN: Final = frozenset(
    {
        *(*_OF_FORMATS, *_OF_CONTAINERS.values(), "bin", "efi", "hdd", "img", "qcow", "qed"),
        *("7z", "bz2", "gz", "lz4", "lzma", "tbz2", "tgz", "txz", "xz", "zip", "zst"),
    }
)
"""Suffixes that say what is in a file. Others may be a part of the name, as in `debian-12.5`."""
_RESERVED: Final = frozenset('"*/:<>?\\|')
"""What separates folders, or is not taken for the name of a file, on some system."""
_DROPPED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of Unicode: controls, and what turns the direction of text or is not seen."""


def content_disposition(image: Image) -> bytes:
    """The value of `Content-Disposition` for the data of an image: to be saved under the image's name, else its id.

    The format's suffix is added to a name that has none. `filename` is for clients that do not read `filename*`, and
    ASCII without what they read in different ways (RFC 6266, appendix D).
    """
    suffix = _suffix(image)
    name = _cleaned(image.name or "")
    full = _with_suffix(name or image.id, suffix)
    plain = _with_suffix(_cleaned(_ascii(name)) or image.id, suffix)
    value = f'attachment; filename="{plain}"'
    return (value if plain == full else f"{value}; filename*=UTF-8''{quote(full, safe='')}").encode("ascii")


def _suffix(image: Image) -> str | None:
    if image.container_format == "compressed":  # how, nobody says
        return None
    of_container = _OF_CONTAINERS.get(image.container_format or "")
    return of_container or (image.disk_format if image.disk_format in _OF_FORMATS else None)


def _cleaned(name: str) -> str:
    """What is left of a name that may be given to a file, and to no hidden one; perhaps nothing."""
    kept = "".join("_" if each in _RESERVED else each for each in name if unicodedata.category(each) not in _DROPPED)
    return kept.strip(". ").encode()[:LONGEST_NAME].decode(errors="ignore").rstrip(". ")


def _ascii(name: str) -> str:
    """The name with letters that have no accents, and `_` for what is not ASCII; nothing if that says nothing."""
    letters = [each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each)]
    text = "".join(each if each.isascii() and each != "%" else "_" for each in letters)
    return text if any(map(str.isalnum, text)) else ""


def _with_suffix(name: str, suffix: str | None) -> str:
    own = name.rpartition(".")[2].lower() if "." in name else None
    return name if suffix is None or own in _KNOWN else f"{name}.{suffix}"
