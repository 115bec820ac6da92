"""Finds out from the environment who asks: a cloud of clouds.yaml, or the OS_* variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from attrs import evolve

from imgsvc.client.identity.clouds import cloud_settings
from imgsvc.client.identity.login import Login
from imgsvc.client.identity.settings import Settings, make_login

PREFIX: Final = "OS_"
DECIDING: Final = ("auth_type", "auth_url", "token", "auth_token")
"""Settings without which the variables do not make a login."""


def find_login(cloud: str | None = None, environment: Mapping[str, str] | None = None) -> Login:
    """Find out who asks, as other clients of OpenStack do.

    cloud: the name of an entry of clouds.yaml; None for that of OS_CLOUD. environment: variables by name; None for
    those of the process.

    With a cloud, only its entry counts. Without one, the variables OS_* count. If these say nothing of a login, the
    Login is that of nobody.

    Raises LoginUnusable: something is missing or wrong. Raises LocalFileError: a file cannot be read.
    """
    variables = os.environ if environment is None else environment
    cloud = cloud or variables.get("OS_CLOUD")
    if cloud:
        return make_login(cloud_settings(cloud, variables))
    settings = variable_settings(variables)
    return make_login(settings) if any(settings.get(name) for name in DECIDING) else nobody(variables)


def nobody(variables: Mapping[str, str]) -> Login:
    """Make a Login without credentials, with the endpoint and the files of TLS that the variables OS_* name.

    Raises LoginUnusable.
    """
    settings = variable_settings(variables)
    return make_login(evolve(settings, values={**settings.values, "auth_type": "none"}))


def variable_settings(variables: Mapping[str, str]) -> Settings:
    """Read the OS_* variables."""
    values = {name.removeprefix(PREFIX).lower(): value for name, value in variables.items() if name.startswith(PREFIX)}
    if values.get("auth_token"):
        values.setdefault("token", values["auth_token"])
    if not values.get("auth_type"):
        values.pop("auth_type", None)
    return Settings(values, "Environment", PREFIX + "{}", True)
