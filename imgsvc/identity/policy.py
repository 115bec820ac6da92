"""Who may do what: Glance's default policies, and below them who sees which image.

Sources: openstack/glance `glance/policies/` (defaults of project scope), Image API v2 on visibility.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from zope.interface import implementer

from imgsvc.interfaces import IPolicy
from imgsvc.model import Caller, Image, Visibility

Rule = Callable[[Caller, Image | None], bool]
"""Whether the caller may act on the image; without an image, on one that the caller's project would own."""


def sees(caller: Caller, image: Image) -> bool:
    """Whether an image exists for the caller at all. No rule goes beyond this."""
    if image.visibility in _FOR_EVERYBODY or caller.is_admin:
        return True
    if image.owner is None:
        return image.visibility == Visibility.SHARED
    if image.owner == caller.project_id:
        return True
    return image.visibility == Visibility.SHARED and caller.project_id in image.members


_FOR_EVERYBODY: Final = frozenset({Visibility.PUBLIC, Visibility.COMMUNITY})


def _admin(caller: Caller, image: Image | None) -> bool:
    return caller.is_admin


def _admin_or_service(caller: Caller, image: Image | None) -> bool:
    return caller.is_admin or "service" in caller.roles


def _admin_or_reader(caller: Caller, image: Image | None) -> bool:
    return caller.is_admin or "reader" in caller.roles


def _admin_or_member(caller: Caller, image: Image | None) -> bool:
    return caller.is_admin or "member" in caller.roles


def _admin_or_owning_member(caller: Caller, image: Image | None) -> bool:
    if caller.is_admin:
        return True
    project = caller.project_id
    return project is not None and "member" in caller.roles and (image is None or image.owner == project)


DEFAULT_RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "add_image": _admin_or_owning_member,
        "get_images": _admin_or_reader,
        "get_image": _admin_or_reader,
        "modify_image": _admin_or_owning_member,
        "delete_image": _admin_or_owning_member,
        "upload_image": _admin_or_owning_member,
        "download_image": _admin_or_member,
        "publicize_image": _admin,
        "communitize_image": _admin_or_owning_member,
        "deactivate": _admin_or_owning_member,
        "reactivate": _admin_or_owning_member,
        "stores_info_detail": _admin_or_service,
    }
)


@implementer(IPolicy)
class DefaultPolicy:
    """Decides by a table of rules, one an action, and by what the caller sees."""

    def __init__(self, rules: Mapping[str, Rule] = DEFAULT_RULES) -> None:
        self._rules = dict(rules)

    def allows(self, action: str, caller: Caller, image: Image | None = None) -> bool:
        """Whether the rule of `action` holds, and the caller sees the image. KeyError: there is no such action."""
        return self._rules[action](caller, image) and (image is None or sees(caller, image))
