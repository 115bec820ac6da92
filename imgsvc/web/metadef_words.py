"""The parts of the description of the API that are equal for all kinds of metadata definitions."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from imgsvc.operations.metadef_limits import MOST_DEFINITIONS
from imgsvc.web.openapi.notation import Json, Operation, json_answer, json_body, nothing, query, schema, sent_header

NO_NAMESPACE: Final = "There is no such namespace, or the caller may not see it"
NOT_THERE: Final = "There is no such namespace or definition, or the caller may not see it"
NOT_ADMIN: Final = "The caller is not an administrator of metadata definitions"
NOT_WRITABLE: Final = f"{NOT_ADMIN}, or the body has a key that is set by the server only"
PROTECTED: Final = f"{NOT_ADMIN}, or the namespace is protected"
TOO_MUCH: Final = (
    f"The namespace would have more than {MOST_DEFINITIONS} definitions, or 1 MiB of them, or the body is too large"
)
TAKEN: Final = "The name is taken, or another request changed the namespace at the same time"
LOCATION: Final = {"Location": sent_header("URL of the new resource")}


def by_resource_type() -> Json:
    """The parameter with the resource type whose prefix the keys of properties get."""
    return query("resource_type", "Keys of properties get the prefix of this resource type")


@frozen
class KindWords:
    """Makes the descriptions of the operations on one kind of definitions.

    singular, plural: names of the kind in paths and texts. noun: its name in ids of operations, where tags of
    namespaces must differ from tags of images.
    """

    singular: str
    plural: str
    noun: str

    def listing(self) -> Operation:
        """List all definitions of the kind."""
        return Operation(
            f"list_namespace_{self.plural}",
            f"List the {self.plural} in a namespace",
            answers={200: json_answer("All definitions of this kind", schema(f"metadefs/{self.plural}"))},
            errors={403: "The caller may not list them", 404: NO_NAMESPACE},
        )

    def adding(self) -> Operation:
        """Add a definition."""
        return Operation(
            f"add_{self.noun}",
            f"Add one of the {self.plural} to a namespace",
            body=json_body(schema(f"metadefs/{self.singular}")),
            answers={201: json_answer("The new definition", schema(f"metadefs/{self.singular}"), headers=LOCATION)},
            errors={403: NOT_WRITABLE, 404: NO_NAMESPACE, 409: TAKEN, 413: TOO_MUCH},
        )

    def showing(self) -> Operation:
        """Show a definition."""
        return Operation(
            f"show_{self.noun}",
            f"Show one of the {self.plural}",
            parameters=[by_resource_type()] if self.singular == "property" else [],
            answers={200: json_answer("The definition", schema(f"metadefs/{self.singular}"))},
            errors={403: "The caller may not see it", 404: NOT_THERE},
        )

    def changing(self) -> Operation:
        """Replace a definition."""
        return Operation(
            f"change_{self.noun}",
            f"Replace one of the {self.plural}. The name may change",
            body=json_body(schema(f"metadefs/{self.singular}")),
            answers={200: json_answer("The changed definition", schema(f"metadefs/{self.singular}"))},
            errors={403: NOT_WRITABLE, 404: NOT_THERE, 409: TAKEN, 413: TOO_MUCH},
        )

    def removing(self) -> Operation:
        """Remove a definition."""
        return Operation(
            f"remove_{self.noun}",
            f"Remove one of the {self.plural}",
            answers={204: nothing("The definition is removed")},
            errors={403: PROTECTED, 404: NOT_THERE},
        )

    def removing_all(self) -> Operation:
        """Remove all definitions of the kind."""
        return Operation(
            f"remove_all_namespace_{self.plural}",
            f"Remove all {self.plural} from a namespace",
            answers={204: nothing("The definitions are removed")},
            errors={403: PROTECTED, 404: NO_NAMESPACE},
        )


OF_PROPERTIES: Final = KindWords("property", "properties", "property")
OF_OBJECTS: Final = KindWords("object", "objects", "object")
OF_TAGS: Final = KindWords("tag", "tags", "namespace_tag")
OF_ASSOCIATIONS: Final = KindWords("association", "associations", "association")
