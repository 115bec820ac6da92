"""Checks options of the command: pairs, keys, and orders of lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import click
from click.shell_completion import CompletionItem

from imgsvc.client.view import BASE_FIELDS
from imgsvc.image_fields import SORT_KEYS, FilterForm, names_of

_NUMBERS: Final = names_of(lambda field: field.filter is FilterForm.NUMBER)
LIST_PARAMETERS: Final = BASE_FIELDS | {
    *("limit", "marker", "sort", "sort_key", "sort_dir", "member_status", "deleted", "changes-since", "tag"),
    *(f"{field}_{bound}" for field in _NUMBERS for bound in ("min", "max")),
}
"""Parameters of a list that are not custom properties."""


def headers(context: click.Context, parameter: click.Parameter, values: Iterable[str]) -> dict[str, str]:
    """Called by click. Reads `NAME: VALUE`, which may be given several times."""
    return {name: value.strip() for name, value in _pairs(values, ":", "NAME: VALUE")}


def properties(context: click.Context, parameter: click.Parameter, values: Iterable[str]) -> dict[str, str]:
    """Called by click. Reads `KEY=VALUE`, which may be given several times. KEY must not be a field of every image."""
    given = dict(_pairs(values, "=", "KEY=VALUE"))
    _refuse_fields(given)
    return given


def filters(context: click.Context, parameter: click.Parameter, values: Iterable[str]) -> dict[str, str]:
    """Called by click. Reads `KEY=VALUE`, filters of a list. KEY must not be another parameter of lists."""
    given = dict(_pairs(values, "=", "KEY=VALUE"))
    for key in sorted(LIST_PARAMETERS.intersection(given)):
        raise click.BadParameter(f"{key!r} is not a property that lists can be filtered by")
    return given


def sorting(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Called by click. Reads `KEY`, `KEY:asc` or `KEY:desc`, several with commas. Returns each with its direction."""
    if value is None:
        return None
    keys = []
    for each in value.split(","):
        key, _, direction = each.strip().partition(":")
        if key not in SORT_KEYS or direction not in ("", "asc", "desc"):
            raise click.BadParameter(f"{each!r} is not one of {', '.join(SORT_KEYS)}, with :asc or :desc behind it")
        keys.append(f"{key}:{direction or 'asc'}")
    return ",".join(keys)


def complete_sorting(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Called by click. Completes the last key of `sorting` in the shell."""
    before, comma, last = incomplete.rpartition(",")
    return [CompletionItem(before + comma + key) for key in SORT_KEYS if key.startswith(last)]


def property_keys(context: click.Context, parameter: click.Parameter, values: Iterable[str]) -> tuple[str, ...]:
    """Called by click. Reads `KEY`, which may be given several times. KEY must not be a field of every image."""
    keys = tuple(values)
    _refuse_fields(keys)
    return keys


def _refuse_fields(keys: Iterable[str]) -> None:
    for key in sorted(BASE_FIELDS.intersection(keys)):
        raise click.BadParameter(f"{key!r} is a field of every image: it has its own option, or the server sets it")


def _pairs(values: Iterable[str], separator: str, form: str) -> Iterable[tuple[str, str]]:
    for value in values:
        name, found, rest = value.partition(separator)
        if not found or not name.strip():
            raise click.BadParameter(f"{value!r} is not of the form {form}")
        yield name.strip(), rest
