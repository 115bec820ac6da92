"""Describes metadata definitions: namespaces, what is in them, and types of resources."""

from __future__ import annotations

from typing import Final

from imgsvc.metadef_model import LONGEST_NAME
from imgsvc.operations.metadef_limits import MOST_DEFINITIONS
from imgsvc.web.openapi.notation import (
    COUNT,
    TEXT,
    Json,
    Paths,
    array,
    choice,
    fields,
    header,
    json_answer,
    json_body,
    nothing,
    operation,
    query,
    schema,
    sent_header,
)

NO_NAMESPACE: Final = "There is no such namespace, or the caller may not see it"
NOT_THERE: Final = "There is no such namespace or definition, or the caller may not see it"
NOT_ADMIN: Final = "The caller is no administrator of metadata definitions"
NOT_WRITABLE: Final = f"{NOT_ADMIN}, or the body has a key that only the server sets"
PROTECTED: Final = f"{NOT_ADMIN}, or the namespace is protected"
TOO_MUCH: Final = f"More than {MOST_DEFINITIONS} definitions, or 1 MiB of them, in the namespace, or a body too large"
TAKEN: Final = "The name is taken, or the namespace was changed at the same time"
_LOCATION: Final = {"Location": sent_header("Where it is")}
_NAMES: Final = array(fields(("name",), name={**TEXT, "maxLength": LONGEST_NAME}))
_RESOURCE_TYPE: Final = query("resource_type", "Keys of properties have the prefix that they have on this type")


def paths() -> Paths:
    """All of them."""
    root = "/v2/metadefs/namespaces"
    namespace = f"{root}/{{namespace}}"
    return {
        root: _namespaces(),
        namespace: _namespace(),
        **_definitions(namespace, "property", "properties"),
        **_definitions(namespace, "object", "objects"),
        **_tags(namespace),
        **_associations(namespace),
        "/v2/metadefs/resource_types": {
            "get": operation(
                "list_resource_types",
                "List the types of resources that namespaces were associated with",
                answers={200: json_answer("Their names and dates", fields(("resource_types",), resource_types=_NAMES))},
                errors={403: "The caller may not list them"},
            )
        },
    }


def _namespaces() -> dict[str, Json]:
    return {
        "get": operation(
            "list_namespaces",
            "List the namespaces that the caller may see",
            parameters=[
                query("resource_types", "Only those that are associated with any of these, commas between them"),
                query("visibility", "Only these", choice("public", "private")),
                query("sort_key", "What to sort by", choice("namespace", "created_at", "updated_at")),
                query("sort_dir", "In which direction", choice("asc", "desc")),
                query("limit", "Namespaces on the page", COUNT),
                query("marker", "Name of the namespace after which the page begins"),
            ],
            answers={200: json_answer("A page, with no definitions but associations", schema("metadefs/namespaces"))},
            errors={403: "The caller may not list them", 404: "There is no namespace with the name of the marker"},
        ),
        "post": operation(
            "create_namespace",
            "Make a namespace with all that is in it",
            body=json_body(schema("metadefs/namespace")),
            answers={201: json_answer("The namespace", schema("metadefs/namespace"), headers=_LOCATION)},
            errors={
                403: NOT_WRITABLE,
                409: "The name is taken, or two definitions in the body have one name",
                413: TOO_MUCH,
            },
        ),
    }


def _namespace() -> dict[str, Json]:
    return {
        "get": operation(
            "show_namespace",
            "A namespace with all that is in it",
            parameters=[_RESOURCE_TYPE],
            answers={200: json_answer("The namespace", schema("metadefs/namespace"))},
            errors={403: "The caller may not see what is in it", 404: NO_NAMESPACE},
        ),
        "put": operation(
            "replace_namespace",
            "Set all fields of a namespace anew",
            description="Fields that the body lacks are as in a new namespace. Definitions stay as they are.",
            body=json_body(schema("metadefs/namespace")),
            answers={200: json_answer("The namespace, without definitions", schema("metadefs/namespace"))},
            errors={403: NOT_WRITABLE, 404: NO_NAMESPACE, 409: TAKEN},
        ),
        "delete": operation(
            "delete_namespace",
            "Delete a namespace with all that is in it",
            answers={204: nothing("It is gone")},
            errors={403: PROTECTED, 404: NO_NAMESPACE, 409: TAKEN},
        ),
    }


def _definitions(namespace: str, singular: str, plural: str) -> Paths:
    one, several = schema(f"metadefs/{singular}"), schema(f"metadefs/{plural}")
    by_type = [_RESOURCE_TYPE] if singular == "property" else []
    return {
        f"{namespace}/{plural}": {
            "get": operation(
                f"list_namespace_{plural}",
                f"List the {plural} in a namespace",
                answers={200: json_answer("All of them", several)},
                errors={403: "The caller may not list them", 404: NO_NAMESPACE},
            ),
            "post": operation(
                f"add_{singular}",
                f"Add one of the {plural}",
                body=json_body(one),
                answers={201: json_answer("What was added", one, headers=_LOCATION)},
                errors={403: NOT_WRITABLE, 404: NO_NAMESPACE, 409: TAKEN, 413: TOO_MUCH},
            ),
            "delete": _remover_of_all(plural),
        },
        f"{namespace}/{plural}/{{name}}": {
            "get": operation(
                f"show_{singular}",
                f"One of the {plural}",
                parameters=by_type,
                answers={200: json_answer("What it says", one)},
                errors={403: "The caller may not see it", 404: NOT_THERE},
            ),
            "put": operation(
                f"change_{singular}",
                f"Set one of the {plural} anew, and perhaps its name",
                body=json_body(one),
                answers={200: json_answer("What it says now", one)},
                errors={403: NOT_WRITABLE, 404: NOT_THERE, 409: TAKEN, 413: TOO_MUCH},
            ),
            "delete": _remover(singular, plural),
        },
    }


def _tags(namespace: str) -> Paths:
    tag = schema("metadefs/tag")
    names = fields(("tags",), tags=array(tag))
    definitions = _definitions(namespace, "tag", "tags")
    several, one = definitions[f"{namespace}/tags"], definitions[f"{namespace}/tags/{{name}}"]
    several["get"]["operationId"] = "list_namespace_tags"
    several["post"] = operation(
        "set_namespace_tags",
        "Set the tags of a namespace",
        parameters=[header("X-Openstack-Append", "`true`: the tags there are stay")],
        body=json_body({**names, "additionalProperties": False}),
        answers={201: json_answer("The tags of the body", names)},
        errors={
            403: NOT_ADMIN,
            404: NO_NAMESPACE,
            409: f"A tag is in the body twice, or was to be appended and {TAKEN}",
            413: TOO_MUCH,
        },
    )
    for method, name in (("get", "show"), ("put", "change"), ("delete", "remove")):
        one[method]["operationId"] = f"{name}_namespace_tag"
    one["post"] = operation(
        "add_namespace_tag",
        "Add a tag to a namespace",
        answers={201: json_answer("The tag", tag, headers=_LOCATION)},
        errors={403: NOT_ADMIN, 404: NO_NAMESPACE, 409: TAKEN, 413: TOO_MUCH},
    )
    return definitions


def _associations(namespace: str) -> Paths:
    one, several = schema("metadefs/resource_type"), schema("metadefs/resource_types")
    return {
        f"{namespace}/resource_types": {
            "get": operation(
                "list_associations",
                "List the types of resources that the properties of a namespace are for",
                answers={200: json_answer("All of them", several)},
                errors={403: "The caller may not list them", 404: NO_NAMESPACE},
            ),
            "post": operation(
                "associate",
                "Associate a namespace with a type of resource",
                body=json_body(one),
                answers={201: json_answer("The association", one)},
                errors={403: NOT_WRITABLE, 404: NO_NAMESPACE, 409: TAKEN, 413: TOO_MUCH},
            ),
        },
        f"{namespace}/resource_types/{{name}}": {"delete": _remover("association", "associations")},
    }


def _remover(singular: str, plural: str) -> Json:
    return operation(
        f"remove_{singular}",
        f"Remove one of the {plural}",
        answers={204: nothing("It is gone")},
        errors={403: PROTECTED, 404: NOT_THERE},
    )


def _remover_of_all(plural: str) -> Json:
    return operation(
        f"remove_all_namespace_{plural}",
        f"Remove all {plural} from a namespace",
        answers={204: nothing("They are gone")},
        errors={403: PROTECTED, 404: NO_NAMESPACE},
    )
