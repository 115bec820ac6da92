"""`imgsvc-admin policy`: shows the rules in force, and what they allow to whom."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import click
from attrs import evolve

from imgsvc.admin.setting import Setting
from imgsvc.errors import Invalid
from imgsvc.identity.actions import ACTIONS
from imgsvc.identity.policy import Policy, sees, within_bounds
from imgsvc.model import Caller, Image, Visibility

__all__ = ["policy"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@click.group()
def policy() -> None:
    """Who may do what."""


@policy.command("list")
@click.pass_obj
def list_rules(setting: Setting) -> None:
    """Show every rule, whether it is a default or from the policy file, and rules that have no effect."""
    rules = _policy(setting).rules
    for name in rules:
        click.echo(f"{name}\t{'file' if name in rules.own else 'default'}\t{rules.text(name) or '@'}")
    for warning in rules.warnings():
        click.echo(warning, err=True)


@policy.command()
@click.option("--role", "roles", multiple=True, help="A role of the caller. May be repeated.")
@click.option("--service-role", "service_roles", multiple=True, help="A role of a service that passes the request on.")
@click.option("--user", help="The id of the caller.")
@click.option("--project", help="The project of the caller.")
@click.option("--owner", help="The project that owns the image. Without it and --visibility there is no image.")
@click.option("--visibility", type=click.Choice([each.value for each in Visibility]), help="Of the image.")
@click.option("--member", "members", multiple=True, help="A project that the image is shared with. May be repeated.")
@click.option("--property", "properties", multiple=True, metavar="KEY=VALUE", help="Of the image. May be repeated.")
@click.option("--all", "everything", is_flag=True, help="Ask for every action.")
@click.argument("actions", nargs=-1)
@click.pass_obj
def check(
    setting: Setting,
    roles: tuple[str, ...],
    service_roles: tuple[str, ...],
    user: str | None,
    project: str | None,
    owner: str | None,
    visibility: str | None,
    members: tuple[str, ...],
    properties: tuple[str, ...],
    everything: bool,
    actions: tuple[str, ...],
) -> None:
    """Say whether a caller may do ACTIONS to an image, and by which rule. The exit status is 1 if one is refused.

    Without options of an image, an image is assumed that the caller's own project owns. Name all roles that a token
    has: here the role member does not include the role reader.
    """
    if bool(actions) == everything:
        raise click.UsageError("Name the actions, or use --all.")
    asked = _policy(setting)
    caller = Caller(user, project, _lower(roles), _lower(service_roles))
    caller = evolve(caller, is_admin=asked.permits("context_is_admin", caller))
    image = None
    if owner is not None or visibility is not None or members or properties:
        image = Image(
            "image",
            EPOCH,
            EPOCH,
            owner=owner or None,
            visibility=Visibility(visibility or Visibility.SHARED),
            members=frozenset(members),
            properties=dict(_pair(text) for text in properties),
        )
    refused = False
    for action in ACTIONS if everything else actions:
        if action not in ACTIONS:
            raise Invalid(f"There is no action {action!r}; `imgsvc-admin policy list` shows all.")
        allowed = asked.allows(action, caller, image)
        refused = refused or not allowed
        reason = _reason(asked, action, caller, image)
        click.echo(f"{action}\t{'yes' if allowed else 'no'}\t{reason}")
    if refused and not everything:
        raise SystemExit(1)


def _policy(setting: Setting) -> Policy:
    file = setting.config.policy.file
    return Policy(setting.data_folder / file if file else None)


def _reason(asked: Policy, action: str, caller: Caller, image: Image | None) -> str:
    """Say what decided: the two limits of every image come before the rule."""
    if not within_bounds(action, caller, image):
        if image is not None and not sees(caller, image):
            return "the caller does not see the image"
        return "the image is not the caller's, whatever the rule says"
    return f"{'file' if action in asked.rules.own else 'default'}: {asked.rules.text(action) or '@'}"


def _lower(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise Invalid(f"{text!r} is not of the form KEY=VALUE.")
    return key, value
