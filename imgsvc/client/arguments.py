"""Options of the command that are pairs."""

from __future__ import annotations

from collections.abc import Iterable

import click

from imgsvc.client.view import BASE_FIELDS


def headers(context: click.Context, parameter: click.Parameter, values: Iterable[str]) -> dict[str, str]:
    """A click callback: `NAME: VALUE`, any number of times."""
    return {name: value.strip() for name, value in _pairs(values, ":", "NAME: VALUE")}


def properties(context: click.Context, parameter: click.Parameter, values: Iterable[str]) -> dict[str, str]:
    """A click callback: `KEY=VALUE`, any number of times; no KEY of a field that every image has."""
    given = dict(_pairs(values, "=", "KEY=VALUE"))
    _refuse_fields(given)
    return given


def property_keys(context: click.Context, parameter: click.Parameter, values: Iterable[str]) -> tuple[str, ...]:
    """A click callback: `KEY`, any number of times; as `properties`."""
    keys = tuple(values)
    _refuse_fields(keys)
    return keys


def _refuse_fields(keys: Iterable[str]) -> None:
    for key in sorted(BASE_FIELDS.intersection(keys)):
        raise click.BadParameter(
            f"{key!r} is a field of every image; it has an option of its own or is set by the server"
        )


def _pairs(values: Iterable[str], separator: str, form: str) -> Iterable[tuple[str, str]]:
    for value in values:
        name, found, rest = value.partition(separator)
        if not found or not name.strip():
            raise click.BadParameter(f"{value!r} is not of the form {form}")
        yield name.strip(), rest
