"""Information about the server: `/v2/info/...`"""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import define

from imgsvc.errors import NotFound
from imgsvc.interfaces import IStoreRegistry
from imgsvc.model import RequestContext
from imgsvc.operations.access import Access
from imgsvc.operations.limits import Quotas
from imgsvc.store_model import StoreInfo
from imgsvc.web.openapi.notation import COUNT, TEXT, Json, Operation, array, choice, fields, json_answer
from imgsvc.web.render import answer_json
from imgsvc.web.request import StreamingRequest
from imgsvc.web.routes import Route


@define
class InfoRoutes:
    """Shows the stores, the import methods, and the usage of a project."""

    part: ClassVar[str] = "service"

    access: Access
    quotas: Quotas
    stores: IStoreRegistry

    def routes(self) -> list[Route]:
        """See RouteGroup."""
        return [
            Route("GET", "/v2/info/stores", self.list_stores, _listing_stores),
            Route("GET", "/v2/info/stores/detail", self.list_stores_in_detail, _listing_in_detail),
            Route("GET", "/v2/info/import", self.list_import_methods, _listing_import_methods),
            Route("GET", "/v2/info/usage", self.show_usage, _showing_usage),
        ]

    async def list_stores(self, request: StreamingRequest, context: RequestContext) -> bytes:
        """200 with the stores; 404 if there is only one, as in Glance."""
        self._require_several()
        return answer_json(request, {"stores": [self._brief(store.info) for store in self.stores.all()]})

    async def list_stores_in_detail(self, request: StreamingRequest, context: RequestContext) -> bytes:
        """200 with the details of the stores, for administrators; 404 if there is only one store."""
        self._require_several()
        self.access.require("stores_info_detail", context.caller)
        detailed = [
            {**self._brief(info), "type": info.kind, "weight": info.weight, "properties": dict(info.properties)}
            for info in (store.info for store in self.stores.all())
        ]
        return answer_json(request, {"stores": detailed})

    async def list_import_methods(self, request: StreamingRequest, context: RequestContext) -> bytes:
        """200 with the import methods, of which there are none."""
        methods = {"description": "Import methods available.", "type": "array", "value": []}
        return answer_json(request, {"import-methods": methods})

    async def show_usage(self, request: StreamingRequest, context: RequestContext) -> bytes:
        """200 with the limits and the usage of the caller's project; empty if projects have no limits."""
        return answer_json(request, {"usage": await self.quotas.usage(context.caller.project_id)})

    def _require_several(self) -> None:
        if not self.stores.several:
            raise NotFound("There is only one store.")

    def _brief(self, info: StoreInfo) -> dict[str, Any]:
        brief = {"id": info.id}
        if info.description:
            brief["description"] = info.description
        if info is self.stores.default.info:
            brief["default"] = "true"
        if info.read_only:
            brief["read-only"] = "true"
        return brief


# --- the description of the API


def _store() -> Json:
    read_only = {"read-only": {"const": "true"}}
    return fields(("id",), id=TEXT, description=TEXT, default={"const": "true"}, **read_only)


def _listing_stores() -> Operation:
    return Operation(
        "list_stores",
        "List the stores",
        answers={200: json_answer("The stores", fields(("stores",), stores=array(_store())))},
        errors={404: "There is only one store"},
    )


def _listing_in_detail() -> Operation:
    return Operation(
        "list_stores_in_detail",
        "List the stores with details for administrators",
        answers={
            200: json_answer(
                "The stores",
                fields(
                    ("stores",),
                    stores=array(
                        {
                            "allOf": [
                                _store(),
                                fields(
                                    ("type", "weight", "properties"),
                                    type=TEXT,
                                    weight={"type": "integer"},
                                    properties={"type": "object"},
                                ),
                            ]
                        }
                    ),
                ),
            )
        },
        errors={403: "The caller is not an administrator", 404: "There is only one store"},
    )


def _listing_import_methods() -> Operation:
    return Operation(
        "list_import_methods",
        "List the import methods",
        answers={
            200: json_answer(
                "The import methods",
                fields(
                    ("import-methods",),
                    **{
                        "import-methods": fields(
                            ("description", "type", "value"), description=TEXT, type=TEXT, value=array(TEXT)
                        )
                    },
                ),
            )
        },
    )


def _showing_usage() -> Operation:
    usage = {
        "type": "object",
        "propertyNames": choice("image_size_total", "image_stage_total", "image_count_total", "image_count_uploading"),
        "additionalProperties": fields(("limit", "usage"), limit={"type": "integer"}, usage=COUNT),
    }
    return Operation(
        "show_usage",
        "Show the limits and the usage of the caller's project",
        answers={200: json_answer("The limits of the project; sizes in MiB", fields(("usage",), usage=usage))},
    )
