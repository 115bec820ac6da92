"""What the description of the API says of the parameters of a list of images (`listing.py` reads them)."""

from __future__ import annotations

from typing import Final

from imgsvc.image_fields import FIELDS, SORT_KEYS, FilterForm, ImageField
from imgsvc.model import MemberStatus, Visibility
from imgsvc.web.listing import TIME_OPERATORS
from imgsvc.web.openapi.notation import COUNT, TEXT, Json, array, choice, query

__all__ = ["list_parameters"]

_WHEN: Final = "ISO 8601, after an operator: `gte:2026-11-24T08:00:00Z`; without one, `eq:`"
_CHOICE: Final = "A value, or `in:` and several with commas between them"


def list_parameters() -> list[Json]:
    """Filters, sorting and paging."""
    keys = sorted(SORT_KEYS)
    sort = rf"({'|'.join(keys)})(:asc|:desc)?"
    return [
        *(parameter for field in FIELDS.values() for parameter in _filters(field)),
        query("visibility", "`all`: whatever the caller may see", choice(*Visibility, "all")),
        query(
            "member_status", "Which images that others share with the caller are shown", choice(*MemberStatus, "all")
        ),
        query("tag", "Given several times: images that have all of them", array({"type": "string"})),
        query(
            "properties",
            "Any other parameter is compared with the custom property of that name",
            {"type": "object", "additionalProperties": {"type": "string"}},
            style="form",
            explode=True,
        ),
        query(
            "sort",
            "`KEY:asc`, `KEY:desc` or `KEY` (descending), with commas between them; not beside `sort_key`",
            {"type": "string", "pattern": f"^{sort}(,{sort})*$"},
        ),
        query("sort_key", "Keys, the first one first", array(choice(*keys))),
        query("sort_dir", "One for all keys, or one for each", array(choice("asc", "desc"))),
        query("limit", "Images on a page, up to what the server allows, and to 4 MiB", COUNT),
        query("marker", "The id after which the page begins"),
    ]


def _filters(field: ImageField) -> list[Json]:
    """The parameters by which a list is filtered by one field."""
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
