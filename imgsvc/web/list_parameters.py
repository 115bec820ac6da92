"""The description of the parameters of a list of images. `listing.py` reads these parameters."""

from __future__ import annotations

from typing import Final

from imgsvc.image_fields import FIELDS, SORT_KEYS, FilterForm, ImageField
from imgsvc.model import MemberStatus, Visibility
from imgsvc.web.listing import TIME_OPERATORS
from imgsvc.web.openapi.notation import COUNT, TEXT, Json, array, choice, query

__all__ = ["list_parameters"]

_WHEN: Final = "A time of ISO 8601 after an operator: `gte:2026-11-24T08:00:00Z`. Without an operator it means `eq:`"
_CHOICE: Final = "A value, or `in:` and several values, separated by commas"


def list_parameters() -> list[Json]:
    """The parameters for filters, sorting and paging."""
    keys = sorted(SORT_KEYS)
    sort = rf"({'|'.join(keys)})(:asc|:desc)?"
    return [
        *(parameter for field in FIELDS.values() for parameter in _filters(field)),
        query("visibility", "`all`: all images that the caller may see", choice(*Visibility, "all")),
        query(
            "member_status", "Which images that others share with the caller are listed", choice(*MemberStatus, "all")
        ),
        query(
            "tag",
            "May be repeated: images that have all these tags",
            array({"type": "string"}),
        ),
        query(
            "properties",
            "Any other parameter is compared with the custom property of that name",
            {"type": "object", "additionalProperties": {"type": "string"}},
            style="form",
            explode=True,
        ),
        query(
            "sort",
            "`KEY:asc`, `KEY:desc` or `KEY` (descending), separated by commas. Not allowed together with `sort_key`",
            {"type": "string", "pattern": f"^{sort}(,{sort})*$"},
        ),
        query("sort_key", "Sort keys, the most important one first", array(choice(*keys))),
        query("sort_dir", "One direction for all keys, or one for each key", array(choice("asc", "desc"))),
        query("limit", "Images on a page. The server limits the number, and a page to 4 MiB", COUNT),
        query("marker", "The id after which the page begins"),
    ]


def _filters(field: ImageField) -> list[Json]:
    """The parameters that filter a list by one field."""
    name = field.name
    moment = {
        "anyOf": [
            {"type": "string", "format": "date-time"},
            {"type": "string", "pattern": f"^({'|'.join(sorted(TIME_OPERATORS))}):.+$"},
        ]
    }
    if field.filter is FilterForm.NUMBER:
        return [
            query(f"{name}{bound}", f"{words} this `{name}`", {"type": "integer"})
            for bound, words in (("", "Exactly"), ("_min", "At least"), ("_max", "At most"))
        ]
    of_form: dict[FilterForm | None, tuple[str, Json]] = {
        FilterForm.CHOICE: (_CHOICE, TEXT),
        FilterForm.TEXT: (field.description, TEXT),
        FilterForm.FLAG: (field.description, choice("true", "false")),
        FilterForm.TIME: (_WHEN, moment),
    }
    return [query(name, *of_form[field.filter])] if field.filter in of_form else []
