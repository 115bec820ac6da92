"""Namespaces of metadata definitions: `/v2/metadefs/namespaces`, and `/v2/metadefs/resource_types`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final
from urllib.parse import urlencode

from attrs import define, evolve, frozen

from imgsvc.errors import Invalid
from imgsvc.interfaces import IAnswers
from imgsvc.metadef_model import LONGEST_NAME, NamespacePage, NamespaceQuery
from imgsvc.model import Caller, RequestContext, Visibility
from imgsvc.operations.metadefs import Metadefs
from imgsvc.web.bodies import JsonBodies
from imgsvc.web.forwarding import PublicAddress
from imgsvc.web.large import SMALL, LargeResponse, array_pieces, encode, object_pieces
from imgsvc.web.metadef_reader import read_namespace
from imgsvc.web.metadef_view import NAMESPACES, namespace_document, namespace_path
from imgsvc.web.metadef_words import LOCATION, NO_NAMESPACE, NOT_WRITABLE, PROTECTED, TAKEN, TOO_MUCH, by_resource_type
from imgsvc.web.openapi.notation import (
    COUNT,
    TEXT,
    Operation,
    array,
    choice,
    fields,
    json_answer,
    json_body,
    nothing,
    query,
    schema,
)
from imgsvc.web.render import answer_json, answer_nothing, timestamp
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route

__all__ = ["MetadefRoutes", "argument"]

SORT_KEYS: Final = ("namespace", "created_at", "updated_at")
VISIBILITIES: Final = (Visibility.PUBLIC, Visibility.PRIVATE)
LONGEST_NUMBER: Final = 19
MOST_TYPES: Final = 100
"""Resource types that a list can be filtered by, at most. Each is a parameter of a statement."""


@define
class MetadefRoutes:
    """Creates, lists, shows, replaces and deletes namespaces. limit_default, limit_max: namespaces on a page."""

    part: ClassVar[str] = "metadefs"

    metadefs: Metadefs
    limit_default: int
    limit_max: int
    address: PublicAddress
    answers: IAnswers
    bodies: JsonBodies

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        one = f"{NAMESPACES}/<namespace>"
        return [
            Route("GET", NAMESPACES, self.list, _listing),
            Route("POST", NAMESPACES, self.create, _creating, takes_body=True),
            Route("GET", one, self.show, _showing),
            Route("PUT", one, self.replace, _replacing, takes_body=True),
            Route("DELETE", one, self.delete, _deleting),
            Route("GET", "/v2/metadefs/resource_types", self.list_resource_types, _listing_types),
        ]

    async def list(self, request: StreamingRequest, context: RequestContext) -> bytes | LargeResponse:
        """200 with a page of the namespaces that the caller may see."""
        asked = self._asked(context.caller, request.args)
        page = await self.metadefs.page(asked.query)
        if page.size <= SMALL:
            documents = [namespace_document(namespace) for namespace in page.namespaces]
            return answer_json(request, asked.document(page, documents))
        size = page.size
        del page  # do not hold the page while waiting for memory
        reservation = await self.answers.reserve(size)
        try:
            page = await self.metadefs.page(asked.query)
        except BaseException:
            reservation.close()
            raise
        pieces = array_pieces(iter((encode(namespace_document(each)),)) for each in page.namespaces)
        return LargeResponse(object_pieces(asked.document(page, pieces)), reservation)

    async def create(self, request: StreamingRequest, context: RequestContext) -> bytes:
        """201 with the namespace and its definitions."""
        self.metadefs.check_create(context.caller)
        async with self.bodies.read_object(request.body, read_namespace) as (fields, documents):
            namespace = await self.metadefs.create(context.caller, fields, documents)
        request.setHeader("location", f"{self.address.of(request)}{namespace_path(namespace.name)}")
        return answer_json(request, namespace_document(namespace), 201)

    async def show(self, request: StreamingRequest, context: RequestContext, namespace: str) -> bytes:
        """200 with the namespace and its definitions. The keys of properties get the prefix of the `resource_type`, if
        given.
        """
        found = await self.metadefs.show(context.caller, namespace)
        return answer_json(request, namespace_document(found, argument(request, "resource_type")))

    async def replace(self, request: StreamingRequest, context: RequestContext, namespace: str) -> bytes:
        """200 with the namespace, without definitions. Definitions in the body are checked and ignored."""
        await self.metadefs.check_replace(context.caller, namespace)
        async with self.bodies.read_object(request.body, read_namespace) as (fields, _):
            replaced = await self.metadefs.replace(context.caller, namespace, fields)
        return answer_json(request, namespace_document(evolve(replaced, definitions={})))

    async def delete(self, request: StreamingRequest, context: RequestContext, namespace: str) -> bytes:
        """204."""
        await self.metadefs.delete(context.caller, namespace)
        return answer_nothing(request)

    async def list_resource_types(self, request: StreamingRequest, context: RequestContext) -> bytes:
        """200 with all resource types that were ever associated with a namespace."""
        types = [
            {
                "name": each.name,
                "created_at": timestamp(each.created_at),
                "updated_at": timestamp(each.updated_at),
            }
            for each in await self.metadefs.resource_types(context.caller)
        ]
        return answer_json(request, {"resource_types": types})

    def _asked(self, caller: Caller, arguments: Mapping[bytes, Sequence[bytes]]) -> _AskedList:
        parameters = _decoded(arguments)
        last = dict(parameters)
        sort, direction = last.get("sort_key", "created_at"), last.get("sort_dir", "desc")
        visibility = last.get("visibility")
        _one_of("sort_key", sort, SORT_KEYS)
        _one_of("sort_dir", direction, ("asc", "desc"))
        if visibility is not None:
            _one_of("visibility", visibility, VISIBILITIES)
        limit = self.limit_default
        if "limit" in last:
            text = last["limit"]
            if not (text.isascii() and text.isdigit()) or len(text) > LONGEST_NUMBER:
                raise Invalid(f"limit={text!r} is not a number of 0 or more.")
            limit = int(text)
        query = NamespaceQuery(
            caller=caller,
            limit=min(limit, self.limit_max),
            visibility=None if visibility is None else Visibility(visibility),
            resource_types=_resource_types(last["resource_types"]) if "resource_types" in last else None,
            sort=sort,
            descending=direction == "desc",
            marker=last.get("marker"),
        )
        return _AskedList(query, tuple((key, value) for key, value in parameters if key != "marker"))


@frozen
class _AskedList:
    """A requested list: its query, and the parameters of its URL."""

    query: NamespaceQuery
    parameters: tuple[tuple[str, str], ...]

    def document(self, page: NamespacePage, namespaces: object) -> dict[str, object]:
        """The document of a page of the list. namespaces: their documents."""
        document = {
            "namespaces": namespaces,
            "first": self.link(None),
            "schema": "/v2/schemas/metadefs/namespaces",
        }
        if page.last is not None:
            document["next"] = self.link(page.last)
        return document

    def link(self, marker: str | None) -> str:
        """The path of the page after `marker` of the same list; None: of its first page."""
        text = urlencode(self.parameters + (() if marker is None else (("marker", marker),)))
        return f"{NAMESPACES}?{text}" if text else NAMESPACES


def _resource_types(text: str) -> tuple[str, ...]:
    types = tuple(dict.fromkeys(text.split(",")))
    if len(types) > MOST_TYPES:
        raise Invalid(f"resource_types may have {MOST_TYPES} types, not {len(types)}.")
    return types


def argument(request: StreamingRequest, name: str) -> str | None:
    """The last value of a parameter of the query; None if there is none. Raises Invalid: the query is not UTF-8."""
    return dict(_decoded(request.args)).get(name)


def _decoded(arguments: Mapping[bytes, Sequence[bytes]]) -> list[tuple[str, str]]:
    try:
        decoded = [(key.decode(), value.decode()) for key, values in arguments.items() for value in values]
    except UnicodeDecodeError as error:
        raise Invalid("The query is not UTF-8.") from error
    if any("\0" in text for pair in decoded for text in pair):
        raise Invalid("The query holds a NUL character.")
    return decoded


def _one_of(what: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise Invalid(f"{what}={value!r} is none of {', '.join(allowed)}.")


# --- what the description of the API says of them


def _listing() -> Operation:
    return Operation(
        "list_namespaces",
        "List the namespaces that the caller may see",
        parameters=[
            query("resource_types", "Only namespaces that are associated with one of these types, separated by commas"),
            query("visibility", "Only namespaces of this visibility", choice(*VISIBILITIES)),
            query("sort_key", "Sort key", choice(*SORT_KEYS)),
            query("sort_dir", "Sort direction", choice("asc", "desc")),
            query("limit", "Namespaces on the page", COUNT),
            query("marker", "Name of the namespace after which the page begins"),
        ],
        answers={200: json_answer("A page, with associations but no other definitions", schema("metadefs/namespaces"))},
        errors={403: "The caller may not list them", 404: "There is no namespace with the name of the marker"},
    )


def _creating() -> Operation:
    return Operation(
        "create_namespace",
        "Create a namespace with its definitions",
        body=json_body(schema("metadefs/namespace")),
        answers={201: json_answer("The namespace", schema("metadefs/namespace"), headers=LOCATION)},
        errors={
            403: NOT_WRITABLE,
            409: "The name is taken, or two definitions in the body have one name",
            413: TOO_MUCH,
        },
    )


def _showing() -> Operation:
    return Operation(
        "show_namespace",
        "Show a namespace with its definitions",
        parameters=[by_resource_type()],
        answers={200: json_answer("The namespace", schema("metadefs/namespace"))},
        errors={403: "The caller may not see its definitions", 404: NO_NAMESPACE},
    )


def _replacing() -> Operation:
    return Operation(
        "replace_namespace",
        "Replace all fields of a namespace",
        description="Fields that the body lacks get their defaults. Definitions do not change.",
        body=json_body(schema("metadefs/namespace")),
        answers={200: json_answer("The namespace, without definitions", schema("metadefs/namespace"))},
        errors={403: NOT_WRITABLE, 404: NO_NAMESPACE, 409: TAKEN},
    )


def _deleting() -> Operation:
    return Operation(
        "delete_namespace",
        "Delete a namespace with its definitions",
        answers={204: nothing("The namespace is deleted")},
        errors={403: PROTECTED, 404: NO_NAMESPACE, 409: TAKEN},
    )


def _listing_types() -> Operation:
    names = array(fields(("name",), name={**TEXT, "maxLength": LONGEST_NAME}))
    return Operation(
        "list_resource_types",
        "List the resource types that are or were associated with namespaces",
        answers={200: json_answer("Their names and dates", fields(("resource_types",), resource_types=names))},
        errors={403: "The caller may not list them"},
    )
