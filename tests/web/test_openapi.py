"""Tests of imgsvc.web.openapi: the description has every route, and no other."""

from __future__ import annotations

import json
import re
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator

from imgsvc.web.errors import STATUS
from tests.support.description import Description
from tests.web.rigs import ADMIN, BEHIND_PROXY, ONE_STORE, THREE_STORES, ApiTestCase

PATH = "/v2/openapi.json"


class DescriptionTests(ApiTestCase):
    """`GET /v2/openapi.json`."""

    tables = {"stores": THREE_STORES, "identity": BEHIND_PROXY}

    def setUp(self) -> None:
        super().setUp()
        self.answer = self.server.request("GET", PATH)
        self.document: Any = self.answer.json
        self.definitions: dict[str, Any] = {}
        self.operations = Description(self.document).operations()

    def test_routes(self) -> None:
        """Each route is described, and nothing else."""
        routes = set()
        for rule in self.server.site.resource._klein.url_map.iter_rules():
            method, _, path = rule.endpoint.partition(" ")
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)
            routes |= {(each, path) for each in ((method, "HEAD") if method == "GET" else (method,))}
        described = set(self.operations)
        self.assertEqual((described - routes, routes - described), (set(), set()))

    def test_valid(self) -> None:
        """The document is valid OpenAPI 3.1, by the schema of that specification."""
        self.assertTrue(self.document["openapi"].startswith("3.1."))
        errors = OpenAPIV31SpecValidator(self.document).iter_errors()
        self.assertEqual([str(error) for error in errors], [])

    def test_whole(self) -> None:
        """Every reference has its target, and every component is used."""
        referred = set(re.findall(r'"\$ref": "#/components/(\w+/[\w.]+)', self.answer.body.decode()))
        there = {f"{kind}/{name}" for kind, part in self.document["components"].items() for name in part}
        published = {
            f"schemas/{path.removeprefix('/v2/schemas/').replace('/', '_')}" for path in self.document["paths"]
        }
        self.assertEqual(referred - there, set())
        self.assertEqual(there - referred - published - {"securitySchemes/token", "securitySchemes/password"}, set())

    def test_operation_ids(self) -> None:
        """No two operations have the same id, and links name existing ones."""
        ids = [operation["operationId"] for operation in self.operations.values()]
        self.assertEqual(len(set(ids)), len(ids))
        self.assertLessEqual(set(re.findall(r'"links".*?"operationId": "(\w+)"', json.dumps(self.document))), set(ids))

    def test_open(self) -> None:
        """Operations that need no identity say so."""
        for (method, path), operation in self.operations.items():
            status = self.server.request(method, re.sub(r"{\w+}", "x", path)).status
            self.assertEqual(operation.get("security") == [], status != 401, f"{method} {path}: {status}")

    def test_configured(self) -> None:
        """Enumerations are those of the configuration, as in the published schema."""
        schema = self.document["components"]["schemas"]["image"]["properties"]["disk_format"]
        self.assertEqual(schema["enum"], [None, *self.server.config.images.disk_formats])

    def test_definitions(self) -> None:
        """Definitions with one name in several published schemas are equal."""
        for path in self.document["paths"]:
            if path.startswith("/v2/schemas/"):
                schema = self.server.request("GET", path, ADMIN).json
                for name, definition in schema.get("definitions", {}).items():
                    self.assertEqual(self.definitions.setdefault(name, definition), definition)
        self.assertTrue(self.definitions)

    def test_statuses(self) -> None:
        """Every status of the table of errors is described for an operation."""
        described = {int(status) for operation in self.operations.values() for status in operation["responses"]}
        self.assertEqual(set(STATUS.values()) - described, set())

    def test_headers_of_failures(self) -> None:
        """The headers of refusals are described."""
        new = b'{"disk_format": "raw", "container_format": "bare"}'
        image = self.server.request("POST", "/v2/images", ADMIN, new).json["id"]
        self.server.put(image, b"data", **ADMIN)
        for method, path, status, header in (
            ("PATCH", "/v2/images/{image_id}", 415, "Accept-Patch"),
            ("POST", "/v2/images", 415, "Accept-Encoding"),
            ("PUT", "/v2/images/{image_id}/file", 415, "Accept-Encoding"),
            ("GET", "/v2/images/{image_id}/file", 416, "Content-Range"),
        ):
            target = path.replace("{image_id}", image)
            encoding = {"Content-Encoding": "gzip"} if header == "Accept-Encoding" else {}
            answer = self.server.request(method, target, {**ADMIN, "Range": "bytes=9-", **encoding})
            self.assertEqual(answer.status, status, answer.body)
            self.assertIn(header.lower(), answer.headers)
            self.assertIn(header, self.operations[method, path]["responses"][str(status)]["headers"])

    def test_for_all(self) -> None:
        """Operations that need an identity describe the header of the request id, and the refusal of foreign pages."""
        for (method, path), operation in self.operations.items():
            if operation.get("security") != []:
                self.assertIn({"$ref": "#/components/parameters/request_id"}, operation["parameters"], path)
                self.assertIn("403", operation["responses"], f"{method} {path}")

    def test_etag(self) -> None:
        """Responses with an ETag describe it."""
        etag = self.answer.headers["etag"]
        again = self.server.request("GET", PATH, {"If-None-Match": etag})
        self.assertEqual((again.status, again.headers["etag"], again.body), (304, etag, b""))
        other = self.server.request("GET", PATH, {"If-None-Match": '"other"'})
        self.assertEqual((other.status, other.body), (200, self.answer.body))


class OneStoreTests(DescriptionTests):
    """The description of a server with one store that asks for no identity."""

    tables = {"stores": ONE_STORE}

    def test_open(self) -> None:
        """No operation describes 401."""
        for method, path in self.operations:
            self.assertNotEqual(self.server.request(method, re.sub(r"{\w+}", "x", path)).status, 401)


class ComplaintTests(ApiTestCase):
    """tests/support/description.py, which all tests of the API rely on, finds undescribed responses."""

    def complaint(self, method: str, path: str, status: int, content_type: str = "", body: bytes = b"") -> str:
        """The fault that was found; empty if there is none."""
        description = Description(self.server.document)
        return (
            description.complaint(method, path, status, {"content-type": content_type} if content_type else {}, body)
            or ""
        )

    def test_right(self) -> None:
        """Nothing is found for described responses, and for those that no path has."""
        image = json.dumps(self.server.image()).encode()
        for answer in (
            ("GET", "/v2/images/x?y=z", 200, "application/json", image),
            ("GET", "/v2/images/x", 404, "text/html; charset=UTF-8", b"<html></html>"),
            ("DELETE", "/v2/images/x", 204),
            ("DELETE", "/versions", 200, "application/json", b'{"versions": []}'),
            ("PUT", "/v2/images", 405, "text/plain", b"no"),
            ("OPTIONS", "/v2/images", 200),
            ("GET", "/nowhere", 300, "application/json", b"{}"),
        ):
            self.assertEqual(self.complaint(*answer), "")

    def test_wrong(self) -> None:
        """Each wrong response is found."""
        for answer, words in (
            (("GET", "/v2/images/x", 418), "418 is not described"),
            (("PUT", "/v2/images/x", 200), "200 is not described"),
            (("GET", "/v2/images/x", 200, "text/html", b"<html></html>"), "not as 'text/html'"),
            (("GET", "/v2/images/x", 404, "", b"no"), "not as ''"),
            (("DELETE", "/v2/images/x", 204, "text/html", b"gone"), "has a body"),
            (("GET", "/v2/images/x", 200, "application/json", b'{"id": "x"}'), "at $"),
            (("GET", "/v2/images", 200, "application/json", b'{"images": [{}]}'), "at $.images[0]"),
        ):
            self.assertIn(words, self.complaint(*answer))
