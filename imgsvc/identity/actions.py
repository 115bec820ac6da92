"""Every action that the policy decides about, and its default rule. A rule of the operator's file replaces the default.

The rules are written in the language of oslo.policy. Source: the default policies of Glance 2026.2 (project scope, new
defaults enforced), which an operator finds in Glance's sample policy.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_ADMIN: Final = "rule:context_is_admin"
_OWN: Final = "project_id:%(project_id)s"
_SHARED_WITH: Final = "project_id:%(member_id)s"
_PUBLIC: Final = '"public":%(visibility)s'
_READABLE: Final = f'({_OWN} or {_SHARED_WITH} or "community":%(visibility)s or {_PUBLIC} or "shared":%(visibility)s)'

_ADMIN_OR_SERVICE: Final = f"{_ADMIN} or role:service"
_ADMIN_OR_OWNING_MEMBER: Final = f"{_ADMIN} or (role:member and {_OWN})"
_ADMIN_OR_OWNING_READER: Final = f"{_ADMIN} or (role:reader and {_OWN})"
_ADMIN_OR_READER_OF_READABLE: Final = f"{_ADMIN} or (role:reader and {_READABLE})"
_ADMIN_OR_MEMBER_OF_READABLE: Final = f"{_ADMIN} or (role:member and {_READABLE})"
_ADMIN_OR_READER_OR_SHARED_WITH: Final = f"{_ADMIN} or (role:reader and ({_OWN} or {_SHARED_WITH}))"
_ADMIN_OR_SHARED_WITH: Final = f"{_ADMIN} or (role:member and {_SHARED_WITH})"
_METADEF_ADMIN: Final = "rule:metadef_admin"
_METADEF_READER: Final = f"{_ADMIN} or (role:reader and ({_OWN} or {_PUBLIC}))"

DEFAULT_RULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        # rules that other rules refer to
        "default": "",
        "context_is_admin": "role:admin",
        "metadef_default": "",
        "metadef_admin": _ADMIN,
        # images
        "add_image": f"{_ADMIN} or (role:member and {_OWN} and project_id:%(owner)s)",
        "get_image": _ADMIN_OR_READER_OF_READABLE,
        "get_images": _ADMIN_OR_OWNING_READER,
        "modify_image": _ADMIN_OR_OWNING_MEMBER,
        "delete_image": _ADMIN_OR_OWNING_MEMBER,
        "publicize_image": _ADMIN,
        "communitize_image": _ADMIN_OR_OWNING_MEMBER,
        "deactivate": _ADMIN_OR_OWNING_MEMBER,
        "reactivate": _ADMIN_OR_OWNING_MEMBER,
        # their bytes
        "upload_image": _ADMIN_OR_OWNING_MEMBER,
        "download_image": _ADMIN_OR_MEMBER_OF_READABLE,
        "download_from_store": _ADMIN_OR_MEMBER_OF_READABLE,
        "copy_image": _ADMIN,
        "get_image_location": _ADMIN_OR_OWNING_READER,
        "set_image_location": _ADMIN_OR_OWNING_MEMBER,
        "delete_image_location": _ADMIN,
        "add_image_location": f"{_ADMIN_OR_SERVICE} or (role:member and {_OWN})",
        "fetch_image_location": _ADMIN_OR_SERVICE,
        # sharing
        "add_member": _ADMIN_OR_OWNING_MEMBER,
        "get_member": _ADMIN_OR_READER_OR_SHARED_WITH,
        "get_members": _ADMIN_OR_READER_OR_SHARED_WITH,
        "modify_member": _ADMIN_OR_SHARED_WITH,
        "delete_member": _ADMIN_OR_OWNING_MEMBER,
        # tasks, stores, caches
        "tasks_api_access": _ADMIN,
        "stores_info_detail": _ADMIN_OR_SERVICE,
        "manage_image_cache": _ADMIN,
        "cache_image": _ADMIN,
        "cache_list": _ADMIN,
        "cache_delete": _ADMIN,
        "cache_clean": _ADMIN,
        "cache_prune": _ADMIN,
        "list_cached_nodes": _ADMIN,
        # metadefs
        "get_metadef_namespace": _METADEF_READER,
        "get_metadef_namespaces": _ADMIN_OR_OWNING_READER,
        "add_metadef_namespace": _METADEF_ADMIN,
        "modify_metadef_namespace": _METADEF_ADMIN,
        "delete_metadef_namespace": _METADEF_ADMIN,
        "get_metadef_object": _METADEF_READER,
        "get_metadef_objects": _METADEF_READER,
        "add_metadef_object": _METADEF_ADMIN,
        "modify_metadef_object": _METADEF_ADMIN,
        "delete_metadef_object": _METADEF_ADMIN,
        "get_metadef_property": _METADEF_READER,
        "get_metadef_properties": _METADEF_READER,
        "add_metadef_property": _METADEF_ADMIN,
        "modify_metadef_property": _METADEF_ADMIN,
        "remove_metadef_property": _METADEF_ADMIN,
        "get_metadef_tag": _METADEF_READER,
        "get_metadef_tags": _METADEF_READER,
        "add_metadef_tag": _METADEF_ADMIN,
        "add_metadef_tags": _METADEF_ADMIN,
        "modify_metadef_tag": _METADEF_ADMIN,
        "delete_metadef_tag": _METADEF_ADMIN,
        "delete_metadef_tags": _METADEF_ADMIN,
        "get_metadef_resource_type": _METADEF_READER,
        "list_metadef_resource_types": _METADEF_READER,
        "add_metadef_resource_type_association": _METADEF_ADMIN,
        "remove_metadef_resource_type_association": _METADEF_ADMIN,
    }
)

HELPERS: Final = frozenset({"default", "context_is_admin", "metadef_default", "metadef_admin"})
"""Default rules that other rules refer to. They are not actions."""

ACTIONS: Final = tuple(name for name in DEFAULT_RULES if name not in HELPERS)
"""The actions that the policy decides about, in the order of the table."""

OWNERS_ACTIONS: Final = frozenset(
    {
        "add_image",
        "modify_image",
        "delete_image",
        "publicize_image",
        "communitize_image",
        "deactivate",
        "reactivate",
        "upload_image",
        "set_image_location",
        "delete_image_location",
        "add_member",
        "delete_member",
    }
)
"""Actions that only the project that owns an image, and administrators, may do, whatever the rules say. In Glance the
database enforces this.
"""

RETIRED: Final = frozenset({"get_task", "get_tasks", "add_task", "modify_task"})
"""Actions that Glance checked before it had tasks_api_access. Files of operators may still contain them."""
