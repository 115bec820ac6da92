"""Checks responses with the description that a server gives of itself."""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import Any

from jsonschema import Draft202012Validator

FOR_ALL_PATHS = frozenset({405, 501})
"""Statuses of methods that a path does not have. The description has them once, for OPTIONS."""
ANY_METHOD = frozenset({"/versions"})
"""Paths that respond to all methods in the same way."""


class Description:
    """An OpenAPI document."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self._validators: dict[str, Draft202012Validator] = {}

    @cached_property
    def _paths(self) -> list[tuple[re.Pattern[str], str]]:
        """Patterns of paths with their descriptions. Paths without parameters come first."""
        paths = sorted(self.document["paths"], key=lambda path: path.count("{"))
        return [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), path) for path in paths]

    def operations(self) -> dict[tuple[str, str], Any]:
        """All described operations, by method and path."""
        return {
            (method.upper(), path): operation
            for path, item in self.document["paths"].items()
            for method, operation in item.items()
            if method != "parameters"
        }

    def complaint(self, method: str, target: str, status: int, headers: dict[str, str], body: bytes) -> str | None:
        """The fault of a response; None if there is none, or if its path is not described. headers: in lower case."""
        path = target.partition("?")[0]
        described = next((each for pattern, each in self._paths if pattern.fullmatch(path)), None)
        if described is None or status in FOR_ALL_PATHS or method == "OPTIONS":
            return None
        place = f"{method} {described}: {status}"
        is_head = method == "HEAD"
        method = "GET" if described in ANY_METHOD else method
        operation = self.document["paths"][described].get(method.lower())
        if operation is None and status == 401:  # which comes before 405
            return None
        answer = operation and operation["responses"].get(str(status))
        if answer is None:
            return f"{place} is not described: {body.decode('utf-8', 'replace')}"
        contents = self._resolved(answer).get("content", {})
        content_type = headers.get("content-type", "").partition(";")[0]
        if is_head or not contents:
            return f"{place} has a body" if body else None
        if content_type not in contents:
            return f"{place} is described as {', '.join(contents)}, not as {content_type!r}"
        schema = contents[content_type].get("schema")
        if schema is None or content_type != "application/json":
            return None
        error = next(self._validator(schema).iter_errors(json.loads(body)), None)
        return error and f"{place}: at {error.json_path} {error.message}"

    def _resolved(self, node: Any) -> Any:
        while "$ref" in node:
            found = self.document
            for name in node["$ref"].removeprefix("#/").split("/"):
                found = found[name]
            node = found
        return node

    def _validator(self, schema: Any) -> Draft202012Validator:
        key = json.dumps(schema)
        if key not in self._validators:
            self._validators[key] = Draft202012Validator({**schema, "components": self.document["components"]})
        return self._validators[key]
