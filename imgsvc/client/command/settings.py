"""Reads from options and the environment which server the command uses, and with which credentials."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeVar

import click
from attrs import evolve, field, frozen
from click.shell_completion import CompletionItem

from imgsvc.client.command import arguments
from imgsvc.client.errors import ClientError, LocalFileError, LoginUnusable
from imgsvc.client.identity.clouds import cloud_names
from imgsvc.client.identity.finding import find_login, nobody
from imgsvc.client.identity.login import Basic, Login
from imgsvc.client.urls import check_endpoint

DEFAULT_ENDPOINT: Final = "http://127.0.0.1:9292"
LOCAL_FILE: Final = 6
"""The exit code if a file cannot be read."""

F = TypeVar("F", bound=Callable[..., object])


@frozen
class Settings:
    """Which server all requests of one command go to, and who asks.

    endpoint: None: Keystone's catalogue tells it. headers: sent with every request.
    """

    endpoint: str | None
    headers: dict[str, str] = field(repr=False)
    login: Login


class UnreadableFile(click.ClickException):
    """A file of the settings cannot be used."""

    exit_code = LOCAL_FILE


def complete_cloud(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Called by click. Completes the name of a cloud of clouds.yaml; of none if the file cannot be used."""
    try:
        return [CompletionItem(name) for name in cloud_names(os.environ) if name.startswith(incomplete)]
    except ClientError:
        return []


def settings_options(function: F) -> F:
    """A decorator that adds the options that `read_settings` takes."""
    options = (
        click.option(
            "--endpoint",
            envvar="IMGSVC_ENDPOINT",
            help=f"URL of the Image API. Default: that of the login, or {DEFAULT_ENDPOINT}.",
        ),
        click.option(
            "--os-cloud",
            "cloud",
            shell_complete=complete_cloud,
            help="The entry of clouds.yaml to log in with. Default: OS_CLOUD, else the other variables OS_*.",
        ),
        click.option("--token", envvar="IMGSVC_TOKEN", help="Sent as X-Auth-Token, instead of a login."),
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


def read_settings(
    endpoint: str | None, cloud: str | None, token: str | None, headers: dict[str, str], user: str | None
) -> Settings:
    """Make Settings of the options and the environment. Raises click.ClickException."""
    if endpoint is not None:
        try:
            check_endpoint(endpoint)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--endpoint") from error
    if cloud and (token or user):
        raise click.UsageError("--os-cloud is a login of its own: leave out --token, --user and their variables.")
    try:
        login = _login(cloud, token, user)
    except LoginUnusable as error:
        raise click.UsageError(str(error)) from error
    except LocalFileError as error:
        raise UnreadableFile(str(error)) from error
    chosen = endpoint or login.endpoint
    if user and not token:
        token = os.environ.get("OS_TOKEN")  # else it is a login, which --user replaces
    sent = {"X-Auth-Token": token, **headers} if token else headers
    return Settings(chosen if chosen or login.auth_url else DEFAULT_ENDPOINT, sent, login)


def _login(cloud: str | None, token: str | None, user: str | None) -> Login:
    if not token and not user:
        return find_login(cloud, os.environ)
    login = nobody(os.environ)
    return evolve(login, credentials=Basic(user, os.environ.get("IMGSVC_PASSWORD", ""))) if user else login
