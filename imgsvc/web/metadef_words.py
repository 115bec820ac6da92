"""What the description says of metadata definitions in the same words, whatever their kind is."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from imgsvc.operations.metadef_limits import MOST_DEFINITIONS
from imgsvc.web.openapi.notation import Json, Operation, json_answer, json_body, nothing, query, schema, sent_header

NO_NAMESPACE: Final = "There is no such namespace, or the caller may not see it"
NOT_THERE: Final = "There is no such namespace or definition, or the caller may not see it"
NOT_ADMIN: Final = "The caller is no administrator of metadata definitions"
NOT_WRITABLE: Final = f"{NOT_ADMIN}, or the body has a key that only the server sets"
PROTECTED: Final = f"{NOT_ADMIN}, or the namespace is protected"
TOO_MUCH: Final = f"More than {MOST_DEFINITIONS} definitions, or 1 MiB of them, in the namespace, or a body too large"
TAKEN: Final = "The name is taken, or the namespace was changed at the same time"
LOCATION: Final = {"Location": sent_header("Where it is")}


def by_resource_type() -> Json:
    """The parameter that says which type of resource keys of properties are for."""
    return query("resource_type", "Keys of properties have the prefix that they have on this type")


@frozen
class KindWords:
    """Makes the descriptions of the operations on one kind of definitions.

    singular, plural: the kind in paths and texts. noun: the kind in ids of operations; those of tags of namespaces must
    differ from those of tags of images.
    """

    singular: str
    plural: str
    noun: str

    def listing(self) -> Operation:
        """All of one kind."""
        return Operation(
            f"list_namespace_{self.plural}",
            f"List the {self.plural} in a namespace",
            answers={200: json_answer("All of them", schema(f"metadefs/{self.plural}"))},
            errors={403: "The caller may not list them", 404: NO_NAMESPACE},
        )

    def adding(self) -> Operation:
        """A new one."""
        return Operation(
            f"add_{self.noun}",
            f"Add one of the {self.plural}",
            body=json_body(schema(f"metadefs/{self.singular}")),
            answers={201: json_answer("What was added", schema(f"metadefs/{self.singular}"), headers=LOCATION)},
            errors={403: NOT_WRITABLE, 404: NO_NAMESPACE, 409: TAKEN, 413: TOO_MUCH},
        )

    def showing(self) -> Operation:
        """One of them."""
        return Operation(
            f"show_{self.noun}",
            f"One of the {self.plural}",
            parameters=[by_resource_type()] if self.singular == "property" else [],
            answers={200: json_answer("What it says", schema(f"metadefs/{self.singular}"))},
            errors={403: "The caller may not see it", 404: NOT_THERE},
        )

    def changing(self) -> Operation:
        """One of them, set anew."""
        return Operation(
            f"change_{self.noun}",
            f"Set one of the {self.plural} anew, and perhaps its name",
            body=json_body(schema(f"metadefs/{self.singular}")),
            answers={200: json_answer("What it says now", schema(f"metadefs/{self.singular}"))},
            errors={403: NOT_WRITABLE, 404: NOT_THERE, 409: TAKEN, 413: TOO_MUCH},
        )

    def removing(self) -> Operation:
        """One of them, removed."""
        return Operation(
            f"remove_{self.noun}",
            f"Remove one of the {self.plural}",
            answers={204: nothing("It is gone")},
            errors={403: PROTECTED, 404: NOT_THERE},
        )

    def removing_all(self) -> Operation:
        """All of one kind, removed."""
        return Operation(
            f"remove_all_namespace_{self.plural}",
            f"Remove all {self.plural} from a namespace",
            answers={204: nothing("They are gone")},
            errors={403: PROTECTED, 404: NO_NAMESPACE},
        )


OF_PROPERTIES: Final = KindWords("property", "properties", "property")
OF_OBJECTS: Final = KindWords("object", "objects", "object")
OF_TAGS: Final = KindWords("tag", "tags", "namespace_tag")
OF_ASSOCIATIONS: Final = KindWords("association", "associations", "association")
