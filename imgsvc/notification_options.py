"""The options of [audit] and [notifications]: who learns of the events of the server."""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from imgsvc.options import Seconds, Size, option

MIB: Final = 1024**2


@frozen
class Audit:
    """[audit]"""

    output: str = option(
        "Where to write who did what to which image, and with which result, as one line of JSON for each event: `none`,"
        " `log`, or `file`.",
        "none",
        choices=("none", "log", "file"),
    )
    file: str = option(
        'The file for `output = "file"`. A relative path is in the data folder. It is opened again for each write, so'
        " it may be moved away at any time.",
        "audit.log",
    )
    queue: Size = option(
        "Most bytes of lines that wait for the disk. Further lines are lost, and counted in the log.",
        4 * MIB,
        at_least=64 << 10,
    )


@frozen
class NotificationsWebhook:
    """[notifications.webhook]"""

    url: str = option("The URL to which each notification is sent by POST.", "")
    token: str = option("A secret for `Authorization: Bearer`. Empty: the header is not sent.", "")
    timeout: Seconds = option("How long one POST may take.", 10.0, at_least=0.1)
    queue: Size = option(
        "Most bytes of notifications that wait. Further ones are dropped, and counted in the log.",
        4 * MIB,
        at_least=64 << 10,
    )
    keep: Seconds = option("How long a notification is sent again and again before it is dropped.", 3600.0)


@frozen
class Notifications:
    """[notifications]"""

    drivers: tuple[str, ...] = option("Who gets the notifications: `log`, `webhook`. Empty: nobody.", ())
    disabled: tuple[str, ...] = option(
        "Types that are not sent, as `image.send`, or groups of types, as `image.member` or `task`.", ()
    )
    publisher_id: str = option("The `publisher_id` of all notifications.", "image.localhost")
    webhook: NotificationsWebhook = field(factory=NotificationsWebhook)
