"""Reads entries of clouds.yaml, from the files in which openstacksdk looks for them, with the same precedence."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from imgsvc.client.errors import LocalFileError, LoginUnusable
from imgsvc.client.identity.settings import Settings

SUFFIXES: Final = (".yaml", ".yml", ".json")
SITE_FOLDERS: Final = ("/etc/xdg/openstack", "/etc/openstack")
OUTSIDE_WINS: Final = (
    *("domain_id", "domain_name", "user_domain_id", "user_domain_name", "project_domain_id", "project_domain_name"),
    *("project_id", "project_name", "tenant_id", "tenant_name", "token", "auth_token"),
)
"""Settings whose value beside `auth` counts, not the one in it. For all others the one in `auth` counts."""
LARGEST: Final = 1024 * 1024
"""Bytes of a file that are read."""

Entry = Mapping[str, object]


def cloud_settings(name: str, environment: Mapping[str, str]) -> Settings:
    """Read the entry of one cloud.

    name: a string. environment: variables by name; OS_CLIENT_CONFIG_FILE and OS_CLIENT_SECURE_FILE name files.
    OS_REGION_NAME chooses one of the entry's `regions`, of which the first counts else.

    Returns its settings. Raises LoginUnusable: there is no such cloud, or it cannot be used. Raises LocalFileError.
    """
    clouds, source = read_clouds(environment)
    if name not in clouds:
        known = f"there are {', '.join(sorted(clouds))}" if clouds else "there is none"
        raise LoginUnusable(f"{source or 'clouds.yaml'}: there is no cloud {name!r}; {known}.")
    source = f"{source}: cloud {name!r}"
    entry = _with_underscores(clouds[name], source)
    if "profile" in entry or "cloud" in entry:
        raise LoginUnusable(
            f"{source}: this client knows no profiles of vendors. Write the settings of the profile into the entry."
        )
    entry = _of_region(entry, environment.get("OS_REGION_NAME") or None, source)
    auth = entry.pop("auth", None) or {}
    if not isinstance(auth, dict):
        raise LoginUnusable(f"{source}: auth must be a table.")
    together = {**entry, **auth, **{key: entry[key] for key in OUTSIDE_WINS if entry.get(key) is not None}}
    for key, value in together.items():
        if isinstance(value, list) and key.endswith(("interface", "endpoint_type", "region_name")):
            raise LoginUnusable(f"{source}: {key} must be one name, not a list.")
    values = {key: text for key, value in together.items() if (text := _text(value)) is not None}
    if "auth_token" in values:
        values.setdefault("token", values["auth_token"])
    return Settings(values, source, "{}")


def cloud_names(environment: Mapping[str, str]) -> list[str]:
    """List the names of all clouds. Raises as `cloud_settings`."""
    return sorted(read_clouds(environment)[0])


def read_clouds(environment: Mapping[str, str]) -> tuple[dict[str, object], str]:
    """Read the first clouds.yaml, and put the first secure.yaml over it.

    Returns the entries by name, and the path of the first file; without one an empty string. Raises LocalFileError.
    """
    path, document = _first("clouds", "OS_CLIENT_CONFIG_FILE", environment)
    secret_path, secrets = _first("secure", "OS_CLIENT_SECURE_FILE", environment)
    clouds = _merged(document, secrets).get("clouds") or {}
    if not isinstance(clouds, dict):
        raise LoginUnusable(f"{path or secret_path}: clouds must be a table.")
    return {str(name): entry for name, entry in clouds.items()}, path or secret_path


def _first(stem: str, variable: str, environment: Mapping[str, str]) -> tuple[str, dict[str, object]]:
    given = environment.get(variable)
    if given:
        return given, _read(given)
    for path in _places(stem, environment):
        if os.path.exists(path):
            return str(path), _read(str(path))
    return "", {}


def _places(stem: str, environment: Mapping[str, str]) -> Iterator[Path]:
    """The files that may be there, most important first."""
    home = environment.get("HOME") or "~"
    personal = Path(home).expanduser() / ".config"
    folders = [Path(), Path(environment.get("XDG_CONFIG_HOME") or personal) / "openstack", personal / "openstack"]
    for folder in (*folders, *map(Path, SITE_FOLDERS)):
        for suffix in SUFFIXES:
            yield folder / f"{stem}{suffix}"


def _read(path: str) -> dict[str, object]:
    import yaml  # takes longer to import than the rest of the client needs for a request

    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise LocalFileError(path, error.strerror or "cannot be read") from error
    if len(content) > LARGEST:
        raise LocalFileError(path, f"has more than {LARGEST} bytes")
    try:
        document: object = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # The words of the error may have parts of a password, so only the line is told.
        mark = getattr(error, "problem_mark", None)
        raise LocalFileError(path, f"is not YAML{'' if mark is None else f', in line {mark.line + 1}'}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise LocalFileError(path, "is not a table with `clouds`")
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
        raise LoginUnusable(f"{source}: it must be a table.")
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
    raise LoginUnusable(
        f"{source}: it has no region {region!r}; there are {', '.join(str(t['name']) for t in tables)}."
    )


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (str, int, float)) else None
