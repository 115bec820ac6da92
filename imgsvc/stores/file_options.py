"""The options of a file store."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

from imgsvc.errors import ConfigurationError
from imgsvc.options import Size, option, structure


@frozen
class FileOptions:
    """[stores.NAME] with kind = "file"."""

    path: str = option("The folder of the images.", "images")
    fsync: bool = option(
        "Write every image to the disk before it becomes active. false: a power failure may lose some.", True
    )
    file_perm: str = option('Permissions of the files, octal, as "0640". 0: as the umask allows.', "0600")
    thin_provisioning: bool = option("Write blocks of zeros as holes in the files.", False)
    direct_writes: bool = option(
        "Write past the page cache, if fsync is true and the file system can. Uploads take less CPU time, and leave the"
        " cache to images that are downloaded. The first download of an image reads the disk.",
        False,
    )
    threads: int = option("Most calls to the file system at the same time.", 8, at_least=1)
    min_free: Size = option(
        "Refuse images that would leave less free space than this. At least 32 MiB stay free on the file system of an"
        " SQLite catalogue.",
        0,
    )


def read_options(table: Mapping[str, object], path: str) -> tuple[FileOptions, int]:
    """Read the options from a store's table. Returns them, and `file_perm` as a number.

    path: of the table. Raises ConfigurationError.
    """
    given = table.get("file_perm")
    if type(given) is int:  # TOML has octal integers
        table = {**table, "file_perm": format(given, "o")}
    options = structure(FileOptions, table, path)
    if not re.fullmatch(r"(0o)?[0-7]{1,4}", options.file_perm) or (mode := int(options.file_perm, 8)) > 0o777:
        raise ConfigurationError(f'{path}.file_perm = {given!r}: must be permissions in octal, as "0640" or 0o640')
    return options, mode
