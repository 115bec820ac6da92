"""Reads entries of clouds.yaml, and of secure.yaml. Source: openstacksdk, "Configuring OpenStack SDK Applications"."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from attrs import field, frozen

__all__ = ["Cloud", "CloudFileError", "CloudsError", "read_cloud", "read_clouds"]

SUFFIXES: Final = (".yaml", ".yml", ".json")
OUTSIDE_WINS: Final = (
    *("domain_id", "domain_name", "user_domain_id", "user_domain_name", "project_domain_id", "project_domain_name"),
    *("project_id", "project_name", "tenant_id", "tenant_name", "token", "auth_token"),
)
"""Settings whose value beside `auth` counts, not the one in it. For all others the one in `auth` counts."""
LARGEST: Final = 1024 * 1024
"""Bytes of a file that are read."""


class CloudsError(Exception):
    """There is no such entry, or it cannot be used. The text has no secret."""


class CloudFileError(CloudsError):
    """A file cannot be used. reason: without words of the file, which may be secret."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


@frozen
class Cloud:
    """The settings of one entry that are texts, those of its `auth` among them. source: the file and the entry."""

    source: str
    values: Mapping[str, str] = field(repr=False)


def read_cloud(name: str, folders: Iterable[Path], environment: Mapping[str, str]) -> Cloud:
    """Read the entry of one cloud.

    name: a string. folders: where the files may be, the most important first. environment: variables by name.
    OS_CLIENT_CONFIG_FILE and OS_CLIENT_SECURE_FILE name files. OS_REGION_NAME chooses one of the entry's `regions`, of
    which the first counts else.

    Raises CloudsError: there is no such cloud, it has no usable form, or it names the profile of a vendor. Raises
    CloudFileError.
    """
    places = list(folders)
    clouds, source = read_clouds(places, environment)
    if not source:
        raise CloudsError(f"cloud {name!r}: there is no clouds.yaml in {', '.join(map(_shown, places))}")
    source = f"{source}: cloud {name!r}"
    if name not in clouds:
        known = f"there are {', '.join(sorted(clouds))}" if clouds else "there is none"
        raise CloudsError(f"{source}: no such cloud; {known}")
    entry = _with_underscores(clouds[name], source)
    if "profile" in entry or "cloud" in entry:
        raise CloudsError(
            f"{source}: profiles of vendors are not known. Write the settings of the profile into the entry"
        )
    entry = _of_region(entry, environment.get("OS_REGION_NAME") or None, source)
    auth = entry.pop("auth", None) or {}
    if not isinstance(auth, dict):
        raise CloudsError(f"{source}: auth must be a table")
    together = {**entry, **auth, **{key: entry[key] for key in OUTSIDE_WINS if entry.get(key) is not None}}
    for key, value in together.items():
        if isinstance(value, list) and key.endswith(("interface", "endpoint_type", "region_name")):
            raise CloudsError(f"{source}: {key} must be one name, not a list")
    values = {key: text for key, value in together.items() if (text := _text(value)) is not None}
    if "auth_token" in values:
        values.setdefault("token", values["auth_token"])
    return Cloud(source, values)


def read_clouds(folders: Iterable[Path], environment: Mapping[str, str]) -> tuple[dict[str, object], str]:
    """Read the first clouds.yaml, and put the first secure.yaml over it. The parameters are those of `read_cloud`.

    Returns the entries by name, and the path of the first file; an empty string if there is none. Raises CloudsError.
    """
    places = list(folders)
    path, document = _first("clouds", places, environment.get("OS_CLIENT_CONFIG_FILE"))
    secret_path, secrets = _first("secure", places, environment.get("OS_CLIENT_SECURE_FILE"))
    clouds = _merged(document, secrets).get("clouds") or {}
    if not isinstance(clouds, dict):
        raise CloudsError(f"{path or secret_path}: clouds must be a table")
    return {str(name): entry for name, entry in clouds.items()}, path or secret_path


def _first(stem: str, folders: Iterable[Path], chosen: str | None) -> tuple[str, dict[str, object]]:
    """Read the file that is chosen, or the first one in the folders. Without one the path is empty."""
    if chosen:
        return chosen, _read(chosen)
    paths = (folder / f"{stem}{suffix}" for folder in folders for suffix in SUFFIXES)
    path = next((str(path) for path in paths if os.path.exists(path)), "")
    return path, _read(path) if path else {}


def _shown(folder: Path) -> str:
    return "this folder" if folder == Path() else str(folder)


def _read(path: str) -> dict[str, object]:
    import yaml  # takes long to import, and few need it

    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise CloudFileError(path, f"cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise CloudFileError(path, f"has more than {LARGEST} bytes")
    try:
        document: object = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # The words of the error may have parts of a password, so only the line is told.
        mark = getattr(error, "problem_mark", None)
        raise CloudFileError(path, f"is not YAML{'' if mark is None else f', in line {mark.line + 1}'}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise CloudFileError(path, "is not a table with `clouds`")
    return document


def _merged(under: dict[str, object], over: dict[str, object]) -> dict[str, object]:
    """Put one table over another, also the tables in them."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _with_underscores(entry: object, source: str) -> dict[str, object]:
    if not isinstance(entry, dict):
        raise CloudsError(f"{source}: it must be a table")
    return {
        str(key).replace("-", "_"): _with_underscores(value, source) if isinstance(value, dict) else value
        for key, value in entry.items()
    }


def _of_region(entry: dict[str, object], region: str | None, source: str) -> dict[str, object]:
    """Take the settings of one of the entry's `regions`, if it has them."""
    regions = entry.pop("regions", None)
    if not isinstance(regions, list) or not regions:
        return entry if region is None else {**entry, "region_name": region}
    tables = [each if isinstance(each, dict) else {"name": each} for each in regions]
    for table in tables:
        if region in (None, table.get("name")):
            values = _with_underscores(table.get("values") or {}, source)
            return {**_merged(entry, values), "region_name": table.get("name")}
    raise CloudsError(f"{source}: it has no region {region!r}; there are {', '.join(str(t['name']) for t in tables)}")


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (str, int, float)) else None
