"""Reads the query of `GET /v2/images` (Image API, "List images")."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from attrs import define, frozen

from imgsvc.errors import Invalid
from imgsvc.image_fields import FIELDS, SORT_KEYS, FilterForm
from imgsvc.model import Caller, Filter, ImageQuery, MemberStatus, Visibility

TIME_OPERATORS: Final = frozenset({"gt", "gte", "lt", "lte", "eq", "neq"})
NOT_FILTERS: Final = frozenset(
    {"limit", "marker", "sort", "sort_key", "sort_dir", "visibility", "member_status", "deleted"}
)
MEMBER_STATUSES: Final = frozenset({*MemberStatus, "all"})
MOST_FILTERS: Final = 100
"""Filters of one list, at most. Each is a condition in the database."""
MOST_VALUES: Final = 500
"""Values of all filters of a list, at most. Each is a parameter of a statement, which is cached."""
LARGEST_NUMBER: Final = 2**63 - 1
_INTEGER: Final = re.compile("-?[0-9]{1,4000}")  # Python parses no more digits

Arguments = Mapping[bytes, Sequence[bytes]]


@frozen
class AskedList:
    """A requested list: its query, and the parameters of its URL."""

    query: ImageQuery
    parameters: tuple[tuple[str, str], ...]

    def link(self, marker: str | None) -> str:
        """The path of the page after `marker` of the same list; None: of its first page."""
        more = () if marker is None else (("marker", marker),)
        text = urlencode(self.parameters + more)
        return f"/v2/images?{text}" if text else "/v2/images"


@define
class ListReader:
    """Reads the parameters of lists. limit_default, limit_max: images on a page."""

    limit_default: int
    limit_max: int

    def read(self, caller: Caller, arguments: Arguments) -> AskedList:
        """The list that the parameters of a URL ask for. Raises Invalid: a parameter is not valid."""
        try:
            parameters = [
                (key.decode("utf-8"), value.decode("utf-8")) for key, values in arguments.items() for value in values
            ]
        except UnicodeDecodeError as error:
            raise Invalid("The query is not UTF-8.") from error
        last = dict(parameters)
        if "changes-since" in last:
            raise Invalid("changes-since is not a filter of this version of the API.")
        member_status = last.get("member_status", MemberStatus.ACCEPTED)
        _one_of("member_status", member_status, MEMBER_STATUSES)
        if "visibility" in last:
            _one_of("visibility", last["visibility"], {*Visibility, "all"})
        if any("\0" in text for pair in parameters for text in pair):
            raise Invalid("The query holds a NUL character.")
        filters = [_filter(key, value) for key, value in dict.fromkeys(parameters) if key not in NOT_FILTERS]
        if len(filters) > MOST_FILTERS:
            raise Invalid(f"A list may have {MOST_FILTERS} filters, not {len(filters)}.")
        values = sum(len(each.values) for each in filters)
        if values > MOST_VALUES:
            raise Invalid(f"The filters of a list may have {MOST_VALUES} values, not {values}.")
        if "os_hidden" not in last:
            filters.append(Filter("os_hidden", "eq", (False,)))
        query = ImageQuery(
            caller=caller,
            limit=min(_limit(last["limit"]) if "limit" in last else self.limit_default, self.limit_max),
            filters=tuple(filters),
            visibility=last.get("visibility"),
            member_status=member_status,
            sort=_sort(parameters),
            marker=last.get("marker"),
        )
        return AskedList(query, tuple((key, value) for key, value in parameters if key != "marker"))


def _filter(key: str, value: str) -> Filter:
    if key == "tag":
        return Filter(key, "eq", (value,))
    form = _form_of(key)
    if form is not None:
        return _READERS[form](key, value)
    base, _, bound = key.rpartition("_")
    if bound in ("min", "max") and _form_of(base) is FilterForm.NUMBER:
        return Filter(base, "gte" if bound == "min" else "lte", (_integer(key, value),))
    return Filter(f"property:{key}", "eq", (value,))


def _form_of(key: str) -> FilterForm | None:
    return FIELDS[key].filter if key in FIELDS else None


def _text(key: str, value: str) -> Filter:
    return Filter(key, "eq", (value,))


def _choice(key: str, value: str) -> Filter:
    """A filter `VALUE`, `eq:VALUE` or `in:A,B`. In a name, any other word before a colon is part of the name."""
    operator, colon, rest = value.partition(":")
    if not colon:
        return Filter(key, "eq", (value,))
    if operator == "in":
        return Filter(key, "in", tuple(dict.fromkeys(_split(rest))))
    if operator == "eq":
        return Filter(key, "eq", (rest,))
    if key == "name":
        return Filter(key, "eq", (value,))
    raise Invalid(f"{key}={value!r}: {operator!r} is not an operator; there are eq and in.")


def _split(text: str) -> tuple[str, ...]:
    """Split values at commas. A value with a comma is in double quotes, within which a backslash escapes."""
    values: list[str] = []
    position = 0
    while True:
        if text.startswith('"', position):
            value, position = _quoted(text, position + 1)
        else:
            stop = text.find(",", position)
            stop = len(text) if stop < 0 else stop
            value, position = text[position:stop], stop
            if '"' in value:
                raise Invalid(f"in:{text}: a quote within a value that does not begin with one.")
        values.append(value)
        if position == len(text):
            return tuple(values)
        if text[position] != ",":
            raise Invalid(f"in:{text}: a quoted value is followed by a comma.")
        position += 1


def _quoted(text: str, position: int) -> tuple[str, int]:
    value = ""
    while position < len(text):
        character = text[position]
        if character == '"':
            return value, position + 1
        if character == "\\" and position + 1 < len(text):
            position += 1
            character = text[position]
        value += character
        position += 1
    raise Invalid(f"in:{text}: a quoted value has no end.")


def _number(key: str, value: str) -> Filter:
    return Filter(key, "eq", (_integer(key, value),))


def _integer(key: str, value: str) -> int:
    """An integer of any size. It is limited to the largest number of a database, which compares the same."""
    if not _INTEGER.fullmatch(value):
        raise Invalid(f"{key}={value!r} is not an integer.")
    return max(-LARGEST_NUMBER, min(int(value), LARGEST_NUMBER))


def _limit(value: str) -> int:
    limit = _integer("limit", value)
    if limit < 0:
        raise Invalid(f"limit={value!r} is less than 0.")
    return limit


def _flag(key: str, value: str) -> Filter:
    if key == "os_hidden":  # Glance accepts upper and lower case here, but not for `protected`
        value = value.lower()
    _one_of(key, value, {"true", "false"})
    return Filter(key, "eq", (value == "true",))


def _time(key: str, value: str) -> Filter:
    operator, colon, rest = value.partition(":")
    if not colon or operator.isdigit() or "-" in operator:
        operator, rest = "eq", value
    _one_of(f"operator of {key}", operator, TIME_OPERATORS)
    try:
        moment = datetime.fromisoformat(rest)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{key}={value!r} is not a time of ISO 8601, as 2026-01-31T12:00:00Z.") from error
    return Filter(key, operator, (moment,))


_READERS: Final[Mapping[FilterForm, Callable[[str, str], Filter]]] = {
    FilterForm.CHOICE: _choice,
    FilterForm.TEXT: _text,
    FilterForm.FLAG: _flag,
    FilterForm.NUMBER: _number,
    FilterForm.TIME: _time,
}


def _sort(parameters: Sequence[tuple[str, str]]) -> tuple[tuple[str, bool], ...]:
    keys = [value for key, value in parameters if key == "sort_key"]
    directions = [value for key, value in parameters if key == "sort_dir"]
    combined = [value for key, value in parameters if key == "sort"]
    if combined:
        if keys or directions:
            raise Invalid("sort does not go together with sort_key and sort_dir.")
        parts = [part.partition(":") for text in combined for part in text.split(",")]
        keys, directions = [part[0] for part in parts], [part[2] or "desc" for part in parts]
    else:
        keys = keys or ["created_at"]
        directions = directions or ["desc"]
        if len(directions) == 1:  # it applies to the keys that break ties too
            keys += [key for key in ("created_at", "id") if key not in keys]
            directions *= len(keys)
        if len(directions) != len(keys):
            raise Invalid("There must be one sort_dir for all sort_keys, or one for each.")
    keys, directions = [key.strip() for key in keys], [direction.strip() for direction in directions]
    for key, direction in zip(keys, directions, strict=True):
        _one_of("sort key", key, SORT_KEYS)
        _one_of("sort direction", direction, {"asc", "desc"})
    return tuple((key, direction == "desc") for key, direction in zip(keys, directions, strict=True))


def _one_of(what: str, value: Any, allowed: Any) -> None:
    if value not in allowed:
        raise Invalid(f"The {what} {value!r} is none of {', '.join(sorted(allowed))}.")
