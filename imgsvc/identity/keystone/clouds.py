"""Entries of `clouds.yaml`. Source: the documentation of openstacksdk, "Configuring OpenStack SDK Applications"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml

from imgsvc.errors import ConfigurationError

__all__ = ["cloud_settings"]

LARGEST: Final = 1 << 20
"""Bytes of a file at most."""
HOME_FOLDER: Final = ".config/openstack"
SITE_FOLDER: Final = "/etc/openstack"


def cloud_settings(name: str, data_folder: Path, environment: Mapping[str, str], option: str) -> Mapping[str, str]:
    """The settings of a cloud that are texts, those of its `auth` among them.

    The file is that of OS_CLIENT_CONFIG_FILE, or the first that exists in the data folder, in `.config/openstack` of
    the account, and in /etc/openstack. What is in `secure.yaml` beside it counts, too. option: the option that names
    the cloud, for messages. Raises ConfigurationError: there is no such cloud, or a file cannot be read.
    """
    given = f"{option} = {name!r}"
    home = environment.get("HOME")
    folders = [data_folder, *([Path(home) / HOME_FOLDER] if home else []), Path(SITE_FOLDER)]
    chosen = environment.get("OS_CLIENT_CONFIG_FILE")
    file = Path(chosen) if chosen else _first(folders)
    if file is None:
        raise ConfigurationError(f"{given}: there is no clouds.yaml in {', '.join(map(str, folders))}")
    entry = _entry(file, name, given)
    if entry is None:
        raise ConfigurationError(f"{given}: {file} has no such cloud")
    if "profile" in entry or "cloud" in entry:
        raise ConfigurationError(f"{given}: {file} names a profile of a vendor there, which is not known here")
    secret = _entry(file.with_name("secure.yaml"), name, given) if file.with_name("secure.yaml").exists() else None
    tables = [entry, *([secret] if secret else [])]
    auths = [table["auth"] for table in tables if isinstance(table.get("auth"), dict)]
    return {str(key): value for table in (*tables, *auths) for key, value in _texts(table).items()}


def _texts(table: object) -> Mapping[object, str]:
    assert isinstance(table, dict)
    return {key: str(value) for key, value in table.items() if isinstance(value, str | int)}


def _first(folders: Sequence[Path]) -> Path | None:
    return next((folder / "clouds.yaml" for folder in folders if (folder / "clouds.yaml").exists()), None)


def _entry(file: Path, name: str, given: str) -> Mapping[str, object] | None:
    """The entry of a cloud; None if there is none. Raises ConfigurationError, without words of the file."""
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST + 1)
        document: object = yaml.safe_load(content) if len(content) <= LARGEST else None
    except OSError as error:
        raise ConfigurationError(f"{given}: {file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigurationError(f"{given}: {file} is not YAML") from None
    clouds = document.get("clouds") if isinstance(document, dict) else None
    entry = clouds.get(name) if isinstance(clouds, dict) else None
    return entry if isinstance(entry, dict) else None
