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


def _is_shared_with(caller: Caller, image: Image | None) -> bool:
    return image is not None and caller.project_id in image.members


def _admin_or_owning_reader(caller: Caller, image: Image | None) -> bool:
    return _admin_or_reader(caller, image) and (
        caller.is_admin or image is None or (caller.project_id is not None and image.owner == caller.project_id)
    )


def _admin_or_reader_of_members(caller: Caller, image: Image | None) -> bool:
    shared = "reader" in caller.roles and _is_shared_with(caller, image)
    return shared or _admin_or_owning_reader(caller, image)


def _admin_or_shared_member(caller: Caller, image: Image | None) -> bool:
    return caller.is_admin or ("member" in caller.roles and _is_shared_with(caller, image))


def _admin_service_or_owning_member(caller: Caller, image: Image | None) -> bool:
    return "service" in caller.roles or _admin_or_owning_member(caller, image)


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
        "download_from_store": _admin_or_member,
        "copy_image": _admin,
        "set_image_location": _admin_or_owning_member,
        "get_image_location": _admin_or_owning_reader,
        "delete_image_location": _admin,
        "add_image_location": _admin_service_or_owning_member,
        "fetch_image_location": _admin_or_service,
        "add_member": _admin_or_owning_member,
        "delete_member": _admin_or_owning_member,
        "get_member": _admin_or_reader_of_members,
        "get_members": _admin_or_reader_of_members,
        "modify_member": _admin_or_shared_member,
        "tasks_api_access": _admin,
        **dict.fromkeys(
            (
                "cache_clean",
                "cache_delete",
                "cache_image",
                "cache_list",
                "cache_prune",
                "list_cached_nodes",
                "manage_image_cache",
                "add_metadef_namespace",
                "modify_metadef_namespace",
                "delete_metadef_namespace",
                "add_metadef_object",
                "modify_metadef_object",
                "delete_metadef_object",
                "add_metadef_property",
                "modify_metadef_property",
                "remove_metadef_property",
                "add_metadef_tag",
                "add_metadef_tags",
                "modify_metadef_tag",
                "delete_metadef_tag",
                "delete_metadef_tags",
                "add_metadef_resource_type_association",
                "remove_metadef_resource_type_association",
            ),
            _admin,
        ),
        **dict.fromkeys(
            (
                "get_metadef_namespace",
                "get_metadef_namespaces",
                "get_metadef_object",
                "get_metadef_objects",
                "get_metadef_property",
                "get_metadef_properties",
                "get_metadef_tag",
                "get_metadef_tags",
                "list_metadef_resource_types",
                "get_metadef_resource_type",
            ),
            _admin_or_reader,
        ),
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
