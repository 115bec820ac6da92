"""Frozen values: notifications for other programs, in the form of oslo.messaging."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

INFO: Final = "INFO"
ERROR: Final = "ERROR"


@frozen
class Notification:
    """One notification.

    event_type: as `image.create`. priority: INFO or ERROR. payload: JSON values. context: who has caused it; JSON
    values by name. publisher_id: of the server. message_id: a UUID. timestamp: UTC, as `2026-01-31 23:59:59.000000`.
    size: bytes of its JSON, roughly.
    """

    event_type: str
    priority: str
    payload: Mapping[str, object]
    context: Mapping[str, object]
    publisher_id: str
    message_id: str
    timestamp: str
    size: int = field(default=0, eq=False)
