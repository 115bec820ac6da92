"""Reads the body of `POST /v2/images`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import define

from imgsvc.errors import BodyTooLarge
from imgsvc.web.fields import BASE, LINKS, OWN_PREFIX, READ_ONLY, RESERVED, FieldRules, forbid

MOST_KEYS: Final = 1000
"""Keys of a new image, at most. Patches can add more, up to the quota."""


@define
class ImageReader:
    """Splits a new image into base fields and custom properties. Makes the checks in the order of the Image API."""

    rules: FieldRules

    def read(self, document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """The base fields and the custom properties of a new image.

        Raises Forbidden: a key is set by the server only. Raises BodyTooLarge: too many keys. Raises Invalid: a wrong
        value.
        """
        if len(document) > MOST_KEYS:
            raise BodyTooLarge(f"A new image may have {MOST_KEYS} keys, not {len(document)}.")
        forbid(LINKS & document.keys())
        self.rules.check_values(document)
        self.rules.check_required(document)
        forbid(RESERVED & document.keys())
        forbid(key for key in document if key.startswith(OWN_PREFIX))
        forbid(READ_ONLY & document.keys())
        fields = {key: value for key, value in document.items() if key in BASE}
        properties = {key: value for key, value in document.items() if key not in BASE and value is not None}
        return fields, properties
