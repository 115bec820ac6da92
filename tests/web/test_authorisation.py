"""The responses that every route gives every kind of caller: the default policy and the visibility of Image API v2.

The expectations are written like the contract: its table of policies says who may do a thing, and its rules of
visibility say who sees what. They use no code of the server. To add a route, add a line to ON_IMAGES, ON_NAMESPACES or
ON_NOTHING.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from attrs import frozen

from tests.web.location_rigs import DATA, URL, V21, LocationTestCase
from tests.web.rigs import identity

# --- callers


@frozen
class Who:
    """A caller. roles, project: those of its own token."""

    roles: frozenset[str]
    project: str | None
    headers: Mapping[str, str]


def who(project: str | None, *roles: str, **more: str) -> Who:
    """A caller that the proxy has identified."""
    return Who(frozenset(roles), project, identity(project, *roles, **more))


OWNER, SHARED_WITH = "blue", "green"
"""Projects: the owner of all images and namespaces, and the one that the images are shared with."""
SERVICE_TOKEN: Final = {"X-Service-Identity-Status": "Confirmed", "X-Service-Roles": "service"}
CALLERS: Final[Mapping[str, Who]] = {
    "admin": who("ops", "admin", "member", "reader"),
    "owner": who(OWNER, "member", "reader"),
    "passed on": who(OWNER, "member", "reader", **SERVICE_TOKEN),
    "reader": who(OWNER, "reader"),
    "consumer": who(SHARED_WITH, "member", "reader"),
    "viewer": who(SHARED_WITH, "reader"),
    "stranger": who("red", "member", "reader"),
    "unscoped": who(None, "member", "reader"),
    "service": who("services", "service", "reader"),
    "service only": who("services", "service"),
    "member only": who(OWNER, "member"),
    "roleless": who(OWNER),
    "anonymous": Who(frozenset(), None, {}),
}
ADMIN: Final = CALLERS["admin"].headers


# --- targets


@frozen
class Target:
    """An image, a namespace, or nothing. visibility: None for nothing."""

    visibility: str | None = None
    owner: str | None = OWNER

    @property
    def name(self) -> str:
        """Its name in the tables."""
        return f"{'' if self.owner else 'nobody: '}{self.visibility or ''}"


VISIBILITIES: Final = ("private", "shared", "public", "community")
IMAGES: Final = (*map(Target, VISIBILITIES), Target("shared", None), Target("private", None))
NAMESPACES: Final = (Target("private"), Target("public"))
NOTHING: Final = Target()


# --- the contract

RULES: Final[Mapping[str, Callable[[Who, Target], bool]]] = {
    "A": lambda who, target: "admin" in who.roles,
    "OM": lambda who, target: "member" in who.roles and is_owner(who, target),
    "OR": lambda who, target: "reader" in who.roles and is_owner(who, target),
    "member SHM": lambda who, target: "member" in who.roles and is_shared_with(who, target),
    "reader SHM": lambda who, target: "reader" in who.roles and is_shared_with(who, target),
    "reader": lambda who, target: "reader" in who.roles,
    "member": lambda who, target: "member" in who.roles,
    "member of a project": lambda who, target: "member" in who.roles and who.project is not None,
    "service": lambda who, target: "service" in who.roles,
    "anybody": lambda who, target: True,
    "nobody": lambda who, target: False,
}
"""The words of the table of policies (Image API v2). A: admin. OM, OR: member and reader of the owning project. SHM:
member of a project that the image is shared with. reader, member: these roles alone, for all targets that they see.
"""


def is_owner(who: Who, target: Target) -> bool:
    """A caller without a project does not own targets without an owner."""
    return who.project is not None and who.project == target.owner


def is_shared_with(who: Who, target: Target) -> bool:
    """Members count only while the image is shared."""
    return target.visibility == "shared" and who.project == SHARED_WITH


def image_exists(who: Who, target: Target) -> bool:
    """Whether the image exists for the caller, whatever its roles."""
    visible = {
        "public": True,
        "community": True,
        "shared": target.owner is None or is_owner(who, target) or is_shared_with(who, target),
        "private": is_owner(who, target),
    }
    return may("A", who, target) or visible[target.visibility or ""]


def namespace_exists(who: Who, target: Target) -> bool:
    """Callers see their own namespaces and public ones."""
    return may("A", who, target) or is_owner(who, target) or target.visibility == "public"


def sees_image(who: Who, target: Target) -> bool:
    """Whether the caller may GET the image by its id."""
    return image_exists(who, target) and may("A or reader", who, target)


def may(rule: str, who: Who, target: Target) -> bool:
    """Whether one of the words of a rule fits the caller."""
    return any(RULES[word](who, target) for word in rule.split(" or "))


@frozen
class Request:
    """A request, and the response that the contract requires.

    success: the status for callers that may, by the contract's rule for this action alone. refused: the status for
    others that may GET the target by its name; the rest get 404. before: brings the image into the state that the
    request needs; called with the test and the image's id. only: the visibility that the image must have; otherwise the
    request is refused. by: the callers for whom the request succeeds; others that may are refused because of the state
    of the image, or of what they ask for.
    """

    success: int
    may: str
    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = {}
    before: Callable[[AuthorisationTestCase, str], object] = lambda test, image_id: None
    only: str | None = None
    by: str = "anybody"
    refused: int = 403
    needs_token: bool = True

    def at(self, root: str) -> str:
        """The path. Most are below that of the target."""
        return self.path if self.path.startswith("/v2") else root + self.path

    def expected(self, who: Who, target: Target, exists: Callable[[Who, Target], bool]) -> int:
        """The status of the response. exists: whether the target exists for the caller, whatever its roles."""
        if not who.headers and self.needs_token:
            return 401
        if not exists(who, target):
            return 404
        if may(self.may, who, target):
            is_done = self.only in (None, target.visibility) and may(self.by, who, target)
            return self.success if is_done else self.refused
        return self.refused if target is NOTHING or may("A or reader", who, target) else 404


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    """The body and headers of a patch."""
    return {"body": list(operations), "headers": {"Content-Type": V21}}


def replaced(key: str, value: object) -> dict[str, Any]:
    """The body of a patch that replaces one field."""
    return patch({"op": "replace", "path": f"/{key}", "value": value})


def active(test: AuthorisationTestCase, image_id: str) -> None:
    """Give the image data."""
    test.assertEqual(test.server.put(image_id, DATA, **ADMIN).status, 204)


def deactivated(test: AuthorisationTestCase, image_id: str) -> None:
    """Give the image data, and deactivate it."""
    active(test, image_id)
    test.assertEqual(test.ask(ADMIN, "POST", f"/v2/images/{image_id}/actions/deactivate"), 204)


def copied(test: AuthorisationTestCase, image_id: str) -> None:
    """Give the image data in two stores."""
    active(test, image_id)
    test.change(image_id, ADD_LOCATION)


def protected(test: AuthorisationTestCase, image_id: str) -> None:
    """Protect the image from deletion."""
    test.change(image_id, {"op": "replace", "path": "/protected", "value": True})


ADD_LOCATION: Final = {"op": "add", "path": "/locations/-", "value": {"url": URL, "metadata": {}}}
REMOVE_LOCATION: Final = {"op": "remove", "path": "/locations/0"}
BYTES: Final = {"Content-Type": "application/octet-stream"}

ON_IMAGES: Final[Mapping[str, Request]] = {
    "show": Request(200, "A or reader", "GET", ""),
    "change nothing": Request(200, "A or reader", "PATCH", "", **patch()),
    "change": Request(200, "A or OM", "PATCH", "", **replaced("name", "new")),
    "make public": Request(200, "A", "PATCH", "", **replaced("visibility", "public")),
    "make community": Request(200, "A or OM", "PATCH", "", **replaced("visibility", "community")),
    "make private": Request(200, "A or OM", "PATCH", "", **replaced("visibility", "private")),
    "give away": Request(200, "A or OM", "PATCH", "", **replaced("owner", "red"), by="A"),
    "delete": Request(204, "A or OM", "DELETE", ""),
    "delete protected": Request(204, "A or OM", "DELETE", "", before=protected, by="nobody"),
    "upload": Request(204, "A or OM", "PUT", "/file", b"data", BYTES),
    "download": Request(200, "A or member", "GET", "/file", before=active),
    "download nothing": Request(204, "A or member", "GET", "/file"),
    "download from store": Request(200, "A or member", "GET", "/file?prefer=local", before=active),
    "download deactivated": Request(200, "A or member", "GET", "/file", before=deactivated, by="A"),
    "add tag": Request(204, "A or OM", "PUT", "/tags/new"),
    "remove tag": Request(204, "A or OM", "DELETE", "/tags/old"),
    "deactivate": Request(204, "A or OM", "POST", "/actions/deactivate", before=active),
    "reactivate": Request(204, "A or OM", "POST", "/actions/reactivate", before=deactivated),
    "list members": Request(200, "A or OR or reader SHM", "GET", "/members", only="shared"),
    "add member": Request(200, "A or OM", "POST", "/members", {"member": "yellow"}, only="shared"),
    "show member": Request(200, "A or OR or reader SHM", "GET", "/members/green", only="shared", refused=404),
    "answer": Request(200, "A or member SHM", "PUT", "/members/green", {"status": "accepted"}, only="shared"),
    "remove member": Request(204, "A or OM", "DELETE", "/members/green", only="shared"),
    "fetch locations": Request(200, "A or service", "GET", "/locations", before=active),
    "add location": Request(202, "A or service or OM", "POST", "/locations", {"url": URL}),
    "patch in location": Request(200, "A or OM", "PATCH", "", **patch(ADD_LOCATION), before=active),
    "patch out location": Request(200, "A", "PATCH", "", **patch(REMOVE_LOCATION), before=copied),
    "delete copy": Request(204, "A", "DELETE", "/v2/stores/web/{target}", before=copied),
}

ON_NAMESPACES: Final[Mapping[str, Request]] = {
    "show": Request(200, "A or reader", "GET", ""),
    "replace": Request(200, "A", "PUT", "", {"namespace": "{target}"}),
    "delete": Request(204, "A", "DELETE", ""),
    "list properties": Request(200, "A or reader", "GET", "/properties"),
    "add property": Request(201, "A", "POST", "/properties", {"name": "new", "type": "string", "title": "New"}),
    "delete properties": Request(204, "A", "DELETE", "/properties"),
    "show property": Request(200, "A or reader", "GET", "/properties/p"),
    "change property": Request(200, "A", "PUT", "/properties/p", {"name": "p", "type": "string", "title": "P"}),
    "delete property": Request(204, "A", "DELETE", "/properties/p"),
    "list objects": Request(200, "A or reader", "GET", "/objects"),
    "add object": Request(201, "A", "POST", "/objects", {"name": "new"}),
    "delete objects": Request(204, "A", "DELETE", "/objects"),
    "show object": Request(200, "A or reader", "GET", "/objects/o"),
    "change object": Request(200, "A", "PUT", "/objects/o", {"name": "o"}),
    "delete object": Request(204, "A", "DELETE", "/objects/o"),
    "list tags": Request(200, "A or reader", "GET", "/tags"),
    "set tags": Request(201, "A", "POST", "/tags", {"tags": [{"name": "new"}]}),
    "delete tags": Request(204, "A", "DELETE", "/tags"),
    "show tag": Request(200, "A or reader", "GET", "/tags/t"),
    "add tag": Request(201, "A", "POST", "/tags/new"),
    "change tag": Request(200, "A", "PUT", "/tags/t", {"name": "t"}),
    "delete tag": Request(204, "A", "DELETE", "/tags/t"),
    "list associations": Request(200, "A or reader", "GET", "/resource_types"),
    "associate": Request(201, "A", "POST", "/resource_types", {"name": "OS::New"}),
    "dissociate": Request(204, "A", "DELETE", "/resource_types/OS::R"),
}

OF_BODIES: Final = frozenset(
    {
        *("change nothing", "make public", "give away", "patch in location", "patch out location"),
        *("make public image", "make image of another", "make image of nobody"),
    }
)
"""Requests whose permission depends on their body."""

SCHEMAS: Final = (
    *("image", "images", "member", "members"),
    *("metadefs/namespace", "metadefs/namespaces", "metadefs/resource_type", "metadefs/resource_types"),
    *("metadefs/property", "metadefs/properties", "metadefs/object", "metadefs/objects"),
    *("metadefs/tag", "metadefs/tags"),
)
ABSENT: Final = "/v2/images/00000000-0000-4000-8000-000000000000"

ON_NOTHING: Final[Mapping[str, Request]] = {
    "list images": Request(200, "A or reader", "GET", "/v2/images"),
    "make image": Request(201, "A or member of a project", "POST", "/v2/images", {}),
    "make public image": Request(201, "A", "POST", "/v2/images", {"visibility": "public"}),
    "make community image": Request(201, "A or member of a project", "POST", "/v2/images", {"visibility": "community"}),
    "make image of another": Request(201, "A", "POST", "/v2/images", {"owner": "yellow"}),
    "make image of nobody": Request(201, "A", "POST", "/v2/images", {"owner": None}),
    "list import methods": Request(200, "anybody", "GET", "/v2/info/import"),
    "list stores": Request(200, "anybody", "GET", "/v2/info/stores"),
    "list stores in detail": Request(200, "A or service", "GET", "/v2/info/stores/detail"),
    "show usage": Request(200, "anybody", "GET", "/v2/info/usage"),
    "list namespaces": Request(200, "A or reader", "GET", "/v2/metadefs/namespaces"),
    "make namespace": Request(201, "A", "POST", "/v2/metadefs/namespaces", {"namespace": "{target}"}),
    "list resource types": Request(200, "A or reader", "GET", "/v2/metadefs/resource_types"),
    **{f"schema {name}": Request(200, "anybody", "GET", f"/v2/schemas/{name}") for name in SCHEMAS},
    "absent image": Request(404, "anybody", "GET", ABSENT),
    "absent path": Request(404, "anybody", "GET", "/v2/nothing"),
    "absent description": Request(404, "anybody", "GET", "/v2/schemas/nothing"),
    "versions": Request(200, "anybody", "GET", "/versions", needs_token=False),
    "description": Request(200, "anybody", "GET", "/v2/openapi.json", needs_token=False),
    "health": Request(200, "anybody", "GET", "/healthcheck", needs_token=False),
    "health, in short": Request(204, "anybody", "HEAD", "/healthcheck", needs_token=False),
}


# --- requests


class AuthorisationTestCase(LocationTestCase):
    """Creates what callers ask for."""

    stores: ClassVar[dict[str, Any]] = {
        "default": "local",
        "local": {"kind": "memory"},
        "web": {"kind": "http"},
    }

    def setUp(self) -> None:
        super().setUp()
        self.number = 0

    def ask(
        self, who: Mapping[str, str], method: str, path: str, body: Any = None, headers: Mapping[str, str] = {}
    ) -> int:
        """The status of the response."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return self.server.request(method, path, {**who, **headers}, data).status

    def change(self, image_id: str, *operations: dict[str, Any]) -> None:
        """Let an administrator patch an image."""
        request = patch(*operations)
        self.assertEqual(self.ask(ADMIN, "PATCH", f"/v2/images/{image_id}", **request), 200)

    def image(self, target: Target, request: Request) -> str:
        """The id of a new image that is shared with a project."""
        image_id = self.made(dict(ADMIN), tags=["old"], owner=target.owner)
        members = f"/v2/images/{image_id}/members"
        self.assertEqual(self.ask(ADMIN, "POST", members, {"member": SHARED_WITH}), 200)
        request.before(self, image_id)
        if target.visibility != "shared":
            self.change(image_id, {"op": "replace", "path": "/visibility", "value": target.visibility})
        return image_id

    def namespace(self, target: Target, request: Request) -> str:
        """The name of a new namespace with one definition of each kind."""
        document = {
            "namespace": self.name(target, request),
            "visibility": target.visibility,
            "owner": target.owner,
            "properties": {"p": {"type": "string", "title": "P"}},
            "objects": [{"name": "o"}],
            "tags": [{"name": "t"}],
            "resource_type_associations": [{"name": "OS::R"}],
        }
        self.assertEqual(self.ask(ADMIN, "POST", "/v2/metadefs/namespaces", document), 201)
        return str(document["namespace"])

    def name(self, target: Target, request: Request) -> str:
        """A name that nothing has."""
        self.number += 1
        return f"n{self.number}"


class AuthorisationTests(AuthorisationTestCase):
    """Every caller sends every request."""

    def assert_as_the_contract_says(
        self,
        requests: Mapping[str, Request],
        targets: tuple[Target, ...],
        exists: Callable[[Who, Target], bool],
        make: Callable[[Target, Request], str],
        root: str = "",
    ) -> None:
        """Each caller gets the expected response to each request on each kind of target. Changed targets are created
        anew.
        """
        expected, actual = [_line("", "", CALLERS)], [_line("", "", CALLERS)]
        for name, request in requests.items():
            for target in targets:
                made, answers = make(target, request), []
                for who in CALLERS.values():
                    path = request.at(root).format(target=made)
                    body = {"namespace": made} if request.body == {"namespace": "{target}"} else request.body
                    answers.append(self.ask(who.headers, request.method, path, body, request.headers))
                    if answers[-1] < 300 and request.method != "GET":
                        made = make(target, request)
                wanted = [request.expected(who, target, exists) for who in CALLERS.values()]
                expected.append(_line(name, target.name, wanted))
                actual.append(_line(name, target.name, answers))
        wrong = [f"{a}\n{e}  <- the contract" for a, e in zip(actual, expected, strict=True) if a != e]
        self.assertEqual(wrong, [], "\n".join(["", actual[0], *wrong]))

    def test_images(self) -> None:
        """Requests on images."""
        self.assert_as_the_contract_says(ON_IMAGES, IMAGES, image_exists, self.image, "/v2/images/{target}")

    def test_namespaces(self) -> None:
        """Requests on metadata definitions."""
        root = "/v2/metadefs/namespaces/{target}"
        self.assert_as_the_contract_says(ON_NAMESPACES, NAMESPACES, namespace_exists, self.namespace, root)

    def test_others(self) -> None:
        """Requests that need no existing target."""
        self.assert_as_the_contract_says(ON_NOTHING, (NOTHING,), lambda who, target: True, self.name)

    def test_before_the_body(self) -> None:
        """Callers without permission, or requests on a missing target, are refused before the body is requested."""
        for requests, targets, exists, make, root in (
            (ON_IMAGES, IMAGES, image_exists, self.image, "/v2/images/{target}"),
            (ON_NAMESPACES, NAMESPACES, namespace_exists, self.namespace, "/v2/metadefs/namespaces/{target}"),
            (ON_NOTHING, (NOTHING,), lambda who, target: True, self.name, ""),
        ):
            for name, request in requests.items():
                if request.body is None or name in OF_BODIES:
                    continue
                for target in targets:
                    path = request.at(root).format(target=make(target, request))
                    for caller, who in CALLERS.items():
                        expected = request.expected(who, target, exists)
                        told = [100] if expected < 300 else [expected]
                        self.assertEqual(self.told(who, request, path), told, (name, target.name, caller))
                    if target is not NOTHING:
                        absent = request.at(root).format(target="absent")
                        self.assertEqual(self.told(CALLERS["admin"], request, absent), [404], name)

    def told(self, who: Who, request: Request, path: str) -> list[int]:
        """The statuses that a client gets when it has sent only the head of a request."""
        connection = self.server.connect()
        lines = {"Host": "a", "Content-Length": str(1 << 20), "Expect": "100-continue", **who.headers}
        lines |= request.headers
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        connection.send(f"{request.method} {path} HTTP/1.1\r\n{head}\r\n".encode())
        statuses = [answer.status for answer in connection.answers()]
        connection.lose()
        return statuses

    def test_every_body(self) -> None:
        """test_before_the_body has every route that takes a body."""
        asked = [
            *((request.method, request.at("/v2/images/x"), name) for name, request in ON_IMAGES.items()),
            *(
                (request.method, request.at("/v2/metadefs/namespaces/x"), name)
                for name, request in ON_NAMESPACES.items()
            ),
            *((request.method, request.path, name) for name, request in ON_NOTHING.items()),
        ]
        for route in self.server.site.resource.routes:
            pattern = re.compile(re.sub("<[^>]+>", "[^/]+", route.path))
            found = any(
                route.method == method and pattern.fullmatch(path) and name not in OF_BODIES
                for method, path, name in asked
            )
            self.assertTrue(found or not route.takes_body, f"{route.method} {route.path}")

    def test_every_route(self) -> None:
        """The tables have every route."""
        roots = (("/v2/images/x", ON_IMAGES), ("/v2/metadefs/namespaces/x", ON_NAMESPACES), ("", ON_NOTHING))
        asked = {
            (request.method, request.at(root).partition("?")[0])
            for root, requests in roots
            for request in requests.values()
        }
        for route in self.server.site.resource.routes:
            pattern = re.compile(re.sub("<[^>]+>", "[^/]+", route.path))
            found = any(route.method == method and pattern.fullmatch(path) for method, path in asked)
            self.assertTrue(found, f"{route.method} {route.path}")


class PlacesTests(AuthorisationTestCase):
    """Who sees where the data of an image is."""

    def test_shown(self) -> None:
        """All that see the image see locations, direct_url and stores. Only administrators see those of a deactivated
        image.
        """
        for before in (active, deactivated):
            request = Request(200, "anybody", "GET", "", before=before)
            for target in IMAGES:
                image_id = self.image(target, request)
                for name, who in CALLERS.items():
                    if not who.headers or not sees_image(who, target):
                        continue
                    shown = self.server.request("GET", f"/v2/images/{image_id}", dict(who.headers)).json
                    told = before is active or may("A", who, target)
                    self.assertEqual("stores" in shown, told, (name, target, before))
                    self.assertEqual(bool(shown.get("locations")), told, (name, target, before))
                    self.assertEqual("direct_url" in shown, told, (name, target, before))


def _line(name: str, target: str, cells: Any) -> str:
    return f"{name:25}{target:17}" + "".join(f"{cell!s:11}" for cell in cells).rstrip()
