"""The definitions in a namespace: properties, objects, tags, and associations with resource types."""

from __future__ import annotations

from typing import ClassVar, Final

from attrs import define

from imgsvc.errors import Invalid
from imgsvc.metadef_model import LONGEST_NAME, Kind
from imgsvc.model import RequestContext
from imgsvc.operations.metadefs import Metadefs
from imgsvc.web.bodies import JsonBodies
from imgsvc.web.forwarding import PublicAddress
from imgsvc.web.metadef_reader import read_association, read_object, read_property, read_tag, read_tags
from imgsvc.web.metadef_view import NAMESPACES, definition_document, namespace_path, object_document, path_of
from imgsvc.web.metadef_words import (
    LOCATION,
    NO_NAMESPACE,
    NOT_ADMIN,
    NOT_WRITABLE,
    OF_ASSOCIATIONS,
    OF_OBJECTS,
    OF_PROPERTIES,
    OF_TAGS,
    TAKEN,
    TOO_MUCH,
)
from imgsvc.web.metadefs import argument
from imgsvc.web.openapi.notation import Operation, array, fields, header, json_answer, json_body, schema
from imgsvc.web.render import answer_json, answer_nothing
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Handler, Route

__all__ = ["DefinitionRoutes"]

TRUE: Final = frozenset({"1", "t", "true", "on", "y", "yes"})
"""The values of a header that mean true, in lower case."""


@define
class DefinitionRoutes:
    """Adds, lists, shows, changes and removes definitions of each kind."""

    part: ClassVar[str] = "metadefs"

    metadefs: Metadefs
    address: PublicAddress
    bodies: JsonBodies

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        namespace = f"{NAMESPACES}/<namespace>"
        properties, objects, tags = (f"{namespace}/{name}" for name in ("properties", "objects", "tags"))
        types = f"{namespace}/resource_types"
        return [
            Route("GET", properties, self.list_properties, OF_PROPERTIES.listing),
            Route("POST", properties, self.add_property, OF_PROPERTIES.adding, takes_body=True),
            Route("DELETE", properties, self._remover_of_all(Kind.PROPERTY), OF_PROPERTIES.removing_all),
            Route("GET", f"{properties}/<name>", self.show_property, OF_PROPERTIES.showing),
            Route(
                "PUT",
                f"{properties}/<name>",
                self.change_property,
                OF_PROPERTIES.changing,
                takes_body=True,
            ),
            Route(
                "DELETE",
                f"{properties}/<name>",
                self._remover(Kind.PROPERTY),
                OF_PROPERTIES.removing,
            ),
            Route("GET", objects, self.list_objects, OF_OBJECTS.listing),
            Route("POST", objects, self.add_object, OF_OBJECTS.adding, takes_body=True),
            Route("DELETE", objects, self._remover_of_all(Kind.OBJECT), OF_OBJECTS.removing_all),
            Route("GET", f"{objects}/<name>", self.show_object, OF_OBJECTS.showing),
            Route("PUT", f"{objects}/<name>", self.change_object, OF_OBJECTS.changing, takes_body=True),
            Route("DELETE", f"{objects}/<name>", self._remover(Kind.OBJECT), OF_OBJECTS.removing),
            Route("GET", tags, self.list_tags, OF_TAGS.listing),
            Route("POST", tags, self.set_tags, _setting_tags, takes_body=True),
            Route("DELETE", tags, self._remover_of_all(Kind.TAG), OF_TAGS.removing_all),
            Route("GET", f"{tags}/<name>", self.show_tag, OF_TAGS.showing),
            Route("POST", f"{tags}/<name>", self.add_tag, _adding_tag),
            Route(
                "PUT",
                f"{tags}/<name>",
                self.change_tag,
                OF_TAGS.changing,
                takes_body=True,
            ),
            Route(
                "DELETE",
                f"{tags}/<name>",
                self._remover(Kind.TAG),
                OF_TAGS.removing,
            ),
            Route("GET", types, self.list_associations, _listing_associations),
            Route("POST", types, self.associate, _associating, takes_body=True),
            Route(
                "DELETE",
                f"{types}/<name>",
                self._remover(Kind.ASSOCIATION),
                OF_ASSOCIATIONS.removing,
            ),
        ]

    # --- properties

    async def list_properties(self, request: StreamingRequest, context: RequestContext, namespace: str) -> bytes:
        """200 with all properties, by name."""
        properties = await self.metadefs.definitions(context.caller, namespace, Kind.PROPERTY)
        return answer_json(request, {"properties": {each.name: definition_document(each) for each in properties}})

    async def add_property(self, request: StreamingRequest, context: RequestContext, namespace: str) -> bytes:
        """201 with the property."""
        await self.metadefs.check_add(context.caller, namespace, Kind.PROPERTY)
        async with self.bodies.read_object(request.body, read_property) as (name, document):
            (added,) = await self.metadefs.add(context.caller, namespace, {(Kind.PROPERTY, name): document})
        self._set_location(request, namespace, Kind.PROPERTY, name)
        return answer_json(request, definition_document(added), 201)

    async def show_property(
        self, request: StreamingRequest, context: RequestContext, namespace: str, name: str
    ) -> bytes:
        """200 with the property. With a `resource_type`, `name` begins with the prefix of its association."""
        resource_type = argument(request, "resource_type")
        if resource_type is None:
            found = await self.metadefs.definition(context.caller, namespace, Kind.PROPERTY, name)
        else:
            found = await self.metadefs.property_of_type(context.caller, namespace, name, resource_type)
        return answer_json(request, definition_document(found))

    async def change_property(
        self, request: StreamingRequest, context: RequestContext, namespace: str, name: str
    ) -> bytes:
        """200 with the property."""
        await self.metadefs.check_change(context.caller, namespace, Kind.PROPERTY, name)
        async with self.bodies.read_object(request.body, read_property) as (new, document):
            changed = await self.metadefs.change(context.caller, namespace, Kind.PROPERTY, name, new, document)
        return answer_json(request, definition_document(changed))

    # --- objects

    async def list_objects(self, request: StreamingRequest, context: RequestContext, namespace: str) -> bytes:
        """200 with all objects."""
        objects = await self.metadefs.definitions(context.caller, namespace, Kind.OBJECT)
        document = {
            "objects": [object_document(namespace, each) for each in objects],
            "first": f"{namespace_path(namespace)}/objects",
            "schema": "/v2/schemas/metadefs/objects",
        }
        return answer_json(request, document)

    async def add_object(self, request: StreamingRequest, context: RequestContext, namespace: str) -> bytes:
        """201 with the object."""
        await self.metadefs.check_add(context.caller, namespace, Kind.OBJECT)
        async with self.bodies.read_object(request.body, read_object) as (name, document):
            (added,) = await self.metadefs.add(context.caller, namespace, {(Kind.OBJECT, name): document})
        self._set_location(request, namespace, Kind.OBJECT, name)
        return answer_json(request, object_document(namespace, added), 201)

    async def show_object(self, request: StreamingRequest, context: RequestContext, namespace: str, name: str) -> bytes:
        """200 with the object."""
        found = await self.metadefs.definition(context.caller, namespace, Kind.OBJECT, name)
        return answer_json(request, object_document(namespace, found))

    async def change_object(
        self, request: StreamingRequest, context: RequestContext, namespace: str, name: str
    ) -> bytes:
        """200 with the object."""
        await self.metadefs.check_change(context.caller, namespace, Kind.OBJECT, name)
        async with self.bodies.read_object(request.body, read_object) as (new, document):
            changed = await self.metadefs.change(context.caller, namespace, Kind.OBJECT, name, new, document)
        return answer_json(request, object_document(namespace, changed))

    # --- tags

    async def list_tags(self, request: StreamingRequest, context: RequestContext, namespace: str) -> bytes:
        """200 with all tags."""
        tags = await self.metadefs.definitions(context.caller, namespace, Kind.TAG)
        return answer_json(request, {"tags": [{"name": each.name} for each in tags]})

    async def set_tags(self, request: StreamingRequest, context: RequestContext, namespace: str) -> bytes:
        """201 with the tags of the body. They replace all tags, or are appended to them."""
        await self.metadefs.check_set_tags(context.caller, namespace)
        append = (request.getHeader("x-openstack-append") or "").strip().lower() in TRUE
        async with self.bodies.read_object(request.body, read_tags) as tags:
            await self.metadefs.set_tags(context.caller, namespace, tags, append)
        return answer_json(request, {"tags": [{"name": tag} for tag in tags]}, 201)

    async def show_tag(self, request: StreamingRequest, context: RequestContext, namespace: str, name: str) -> bytes:
        """200 with the tag."""
        tag = await self.metadefs.definition(context.caller, namespace, Kind.TAG, name)
        return answer_json(request, definition_document(tag))

    async def add_tag(self, request: StreamingRequest, context: RequestContext, namespace: str, name: str) -> bytes:
        """201 with the tag."""
        if len(name) > LONGEST_NAME or "\0" in name:
            raise Invalid(f"A tag may have at most {LONGEST_NAME} characters, and no NUL character.")
        (tag,) = await self.metadefs.add(context.caller, namespace, {(Kind.TAG, name): {}})
        self._set_location(request, namespace, Kind.TAG, name)
        return answer_json(request, definition_document(tag), 201)

    async def change_tag(self, request: StreamingRequest, context: RequestContext, namespace: str, name: str) -> bytes:
        """200 with the renamed tag."""
        await self.metadefs.check_change(context.caller, namespace, Kind.TAG, name)
        async with self.bodies.read_object(request.body, read_tag) as new:
            tag = await self.metadefs.change(context.caller, namespace, Kind.TAG, name, new, {})
        return answer_json(request, definition_document(tag))

    # --- associations

    async def list_associations(self, request: StreamingRequest, context: RequestContext, namespace: str) -> bytes:
        """200 with the associations with resource types."""
        found = await self.metadefs.definitions(context.caller, namespace, Kind.ASSOCIATION)
        return answer_json(request, {"resource_type_associations": [definition_document(each) for each in found]})

    async def associate(self, request: StreamingRequest, context: RequestContext, namespace: str) -> bytes:
        """201 with the association."""
        await self.metadefs.check_add(context.caller, namespace, Kind.ASSOCIATION)
        async with self.bodies.read_object(request.body, read_association) as (name, document):
            (added,) = await self.metadefs.add(context.caller, namespace, {(Kind.ASSOCIATION, name): document})
        return answer_json(request, definition_document(added), 201)

    # --- of every kind

    def _remover(self, kind: Kind) -> Handler:
        async def remove(request: StreamingRequest, context: RequestContext, namespace: str, name: str) -> bytes:
            """204."""
            await self.metadefs.remove(context.caller, namespace, kind, name)
            return answer_nothing(request)

        return remove

    def _remover_of_all(self, kind: Kind) -> Handler:
        async def remove_all(request: StreamingRequest, context: RequestContext, namespace: str) -> bytes:
            """204."""
            await self.metadefs.remove_all(context.caller, namespace, kind)
            return answer_nothing(request)

        return remove_all

    def _set_location(self, request: StreamingRequest, namespace: str, kind: Kind, name: str) -> None:
        request.setHeader("location", f"{self.address.of(request)}{path_of(namespace, kind, name)}")


# --- what the description of the API says of them


def _setting_tags() -> Operation:
    names = fields(("tags",), tags=array(schema("metadefs/tag")))
    return Operation(
        "set_namespace_tags",
        "Set the tags of a namespace",
        parameters=[header("X-Openstack-Append", "`true`: append the tags to the existing ones")],
        body=json_body({**names, "additionalProperties": False}),
        answers={201: json_answer("The tags of the body", names)},
        errors={
            403: NOT_ADMIN,
            404: NO_NAMESPACE,
            409: f"A tag is in the body twice, or is to be appended and {TAKEN}",
            413: TOO_MUCH,
        },
    )


def _adding_tag() -> Operation:
    return Operation(
        "add_namespace_tag",
        "Add a tag to a namespace",
        answers={201: json_answer("The tag", schema("metadefs/tag"), headers=LOCATION)},
        errors={403: NOT_ADMIN, 404: NO_NAMESPACE, 409: TAKEN, 413: TOO_MUCH},
    )


def _listing_associations() -> Operation:
    return Operation(
        "list_associations",
        "List the resource types that a namespace is associated with",
        answers={200: json_answer("All associations", schema("metadefs/resource_types"))},
        errors={403: "The caller may not list them", 404: NO_NAMESPACE},
    )


def _associating() -> Operation:
    return Operation(
        "associate",
        "Associate a namespace with a resource type",
        body=json_body(schema("metadefs/resource_type")),
        answers={201: json_answer("The association", schema("metadefs/resource_type"))},
        errors={403: NOT_WRITABLE, 404: NO_NAMESPACE, 409: TAKEN, 413: TOO_MUCH},
    )
