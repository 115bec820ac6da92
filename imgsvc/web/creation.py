"""Reads the body of `POST /v2/images`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import define

from imgsvc.errors import BodyTooLarge
from imgsvc.web.fields import BASE, LINKS, OWN_PREFIX, READ_ONLY, RESERVED, FieldRules, forbid

MOST_KEYS: Final = 1000
"""Keys of a new image. More can be added: by patches, as far as the quota goes."""


@define
class ImageReader:
    """Splits what a client sends into base fields and custom properties, in the order of checks of the Image API."""

    rules: FieldRules

    def read(self, document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """Base fields and custom properties. Raises Forbidden for what only the server sets, BodyTooLarge for too many
        keys, Invalid for the rest.
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
