"""Finds clouds.yaml where openstacksdk looks for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from imgsvc.client.errors import ClientError, LocalFileError, LoginUnusable
from imgsvc.client.identity.settings import Settings
from imgsvc.clouds import CloudFileError, CloudsError, read_cloud, read_clouds

SITE_FOLDERS: Final = ("/etc/xdg/openstack", "/etc/openstack")


def cloud_settings(name: str, environment: Mapping[str, str]) -> Settings:
    """Read the entry of one cloud.

    name: a string. environment: variables by name, which `read_cloud` explains.

    Raises LoginUnusable: there is no such cloud, or it cannot be used. Raises LocalFileError.
    """
    try:
        cloud = read_cloud(name, _folders(environment), environment)
    except CloudsError as problem:
        raise _explained(problem) from problem
    return Settings(cloud.values, cloud.source, "{}")


def cloud_names(environment: Mapping[str, str]) -> list[str]:
    """List the names of all clouds. Raises as `cloud_settings`."""
    try:
        return sorted(read_clouds(_folders(environment), environment)[0])
    except CloudsError as problem:
        raise _explained(problem) from problem


def _folders(environment: Mapping[str, str]) -> list[Path]:
    """The folders where the files may be, the most important first."""
    personal = Path(environment.get("HOME") or "~").expanduser() / ".config"
    chosen = Path(environment.get("XDG_CONFIG_HOME") or personal)
    return [Path(), chosen / "openstack", personal / "openstack", *map(Path, SITE_FOLDERS)]


def _explained(problem: CloudsError) -> ClientError:
    if isinstance(problem, CloudFileError):
        return LocalFileError(problem.path, problem.reason)
    return LoginUnusable(f"{problem}.")
