"""Reads from options and the environment which server the command uses, and with which credentials."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeVar

import click
from attrs import frozen

from imgsvc.client.command import arguments
from imgsvc.client.session import check_endpoint

DEFAULT_ENDPOINT: Final = "http://127.0.0.1:9292"

F = TypeVar("F", bound=Callable[..., object])


@frozen
class Settings:
    """The endpoint and the credentials of all requests of one command. auth: a pair of strings, user and password."""

    endpoint: str
    token: str | None
    headers: dict[str, str]
    auth: tuple[str, str] | None


def settings_options(function: F) -> F:
    """A decorator that adds the options that `read_settings` takes."""
    options = (
        click.option(
            "--endpoint",
            envvar=["IMGSVC_ENDPOINT", "OS_IMAGE_ENDPOINT", "OS_ENDPOINT"],
            default=DEFAULT_ENDPOINT,
            show_default=True,
            help="URL of the Image API.",
        ),
        click.option("--token", envvar=["IMGSVC_TOKEN", "OS_TOKEN"], help="Sent as X-Auth-Token."),
        click.option(
            "--header", "-H", "headers", multiple=True, callback=arguments.headers, help="A header, as 'NAME: VALUE'."
        ),
        click.option(
            "--user", envvar="IMGSVC_USER", help="For HTTP Basic; the password is taken from IMGSVC_PASSWORD."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def read_settings(endpoint: str, token: str | None, headers: dict[str, str], user: str | None) -> Settings:
    """Make Settings of the options and the environment. Raises click.BadParameter."""
    try:
        check_endpoint(endpoint)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--endpoint") from error
    auth = (user, os.environ.get("IMGSVC_PASSWORD", "")) if user else None
    return Settings(endpoint, token, headers, auth)
