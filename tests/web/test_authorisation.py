"""Who gets what from every route: the table of Image API v2's default policy and visibility, asked of the whole server.

To enter a route: a line in ON_IMAGES, ON_NAMESPACES or ON_NOTHING that makes the request, and its rows in the expected
table. A failing test prints the table as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from attrs import frozen

from tests.web.location_rigs import DATA, URL, V21, LocationTestCase
from tests.web.rigs import ADMIN, identity

CALLERS: Final[Mapping[str, dict[str, str]]] = {
    "admin": ADMIN,
    "owner": identity("blue", "member", "reader"),
    "reader": identity("blue", "reader"),
    "consumer": identity("green", "member", "reader"),
    "viewer": identity("green", "reader"),
    "stranger": identity("red", "member", "reader"),
    "service": identity("services", "service", "reader"),
    "roleless": identity("blue"),
    "anonymous": {},
}
"""`reader` is of the owner's project, `consumer` and `viewer` are of one that the images are shared with."""

OWNER: Final = CALLERS["owner"]
PATCH: Final = {"Content-Type": V21}


@frozen
class Request:
    """What is asked. before: brings the image into the state that it takes, given the test and the image's id."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = {}
    before: Callable[[Any, str], object] = lambda test, image_id: None


def replaced(key: str, value: object) -> dict[str, Any]:
    """A patch."""
    return {"body": [{"op": "replace", "path": f"/{key}", "value": value}], "headers": PATCH}


def active(test: AuthorisationTests, image_id: str) -> None:
    """With data."""
    test.assertEqual(test.server.put(image_id, DATA, **OWNER).status, 204)


def deactivated(test: AuthorisationTests, image_id: str) -> None:
    """With data that nobody but administrators may have."""
    active(test, image_id)
    test.ask(OWNER, "POST", f"/v2/images/{image_id}/actions/deactivate")


def copied(test: AuthorisationTests, image_id: str) -> None:
    """With data in two stores."""
    active(test, image_id)
    test.ask(ADMIN, "PATCH", f"/v2/images/{image_id}", [ADD_LOCATION], PATCH)


ADD_LOCATION: Final = {"op": "add", "path": "/locations/-", "value": {"url": URL, "metadata": {}}}
BYTES: Final = {"Content-Type": "application/octet-stream"}

ON_IMAGES: Final[Mapping[str, Request]] = {
    "show": Request("GET", ""),
    "change": Request("PATCH", "", **replaced("name", "new")),
    "make public": Request("PATCH", "", **replaced("visibility", "public")),
    "make community": Request("PATCH", "", **replaced("visibility", "community")),
    "give away": Request("PATCH", "", **replaced("owner", "red")),
    "delete": Request("DELETE", ""),
    "upload": Request("PUT", "/file", b"data", BYTES),
    "download": Request("GET", "/file", before=active),
    "download deactivated": Request("GET", "/file", before=deactivated),
    "add tag": Request("PUT", "/tags/new"),
    "remove tag": Request("DELETE", "/tags/old"),
    "deactivate": Request("POST", "/actions/deactivate", before=active),
    "reactivate": Request("POST", "/actions/reactivate", before=deactivated),
    "list members": Request("GET", "/members"),
    "show member": Request("GET", "/members/green"),
    "add member": Request("POST", "/members", {"member": "yellow"}),
    "answer": Request("PUT", "/members/green", {"status": "accepted"}),
    "remove member": Request("DELETE", "/members/green"),
    "show locations": Request("GET", "/locations", before=active),
    "register location": Request("POST", "/locations", {"url": URL}),
    "patch in location": Request("PATCH", "", [ADD_LOCATION], PATCH, before=active),
    "patch out location": Request("PATCH", "", [{"op": "remove", "path": "/locations/0"}], PATCH, before=copied),
    "delete copy": Request("DELETE", "/v2/stores/web/{image}", before=copied),
}

ON_NAMESPACES: Final[Mapping[str, Request]] = {
    "show": Request("GET", ""),
    "replace": Request("PUT", "", {"namespace": "{namespace}"}),
    "delete": Request("DELETE", ""),
    "list properties": Request("GET", "/properties"),
    "add property": Request("POST", "/properties", {"name": "new", "type": "string", "title": "New"}),
    "delete properties": Request("DELETE", "/properties"),
    "show property": Request("GET", "/properties/p"),
    "change property": Request("PUT", "/properties/p", {"name": "p", "type": "string", "title": "P"}),
    "delete property": Request("DELETE", "/properties/p"),
    "list objects": Request("GET", "/objects"),
    "add object": Request("POST", "/objects", {"name": "new"}),
    "delete objects": Request("DELETE", "/objects"),
    "show object": Request("GET", "/objects/o"),
    "change object": Request("PUT", "/objects/o", {"name": "o"}),
    "delete object": Request("DELETE", "/objects/o"),
    "list tags": Request("GET", "/tags"),
    "set tags": Request("POST", "/tags", {"tags": [{"name": "new"}]}),
    "delete tags": Request("DELETE", "/tags"),
    "show tag": Request("GET", "/tags/t"),
    "add tag": Request("POST", "/tags/new"),
    "change tag": Request("PUT", "/tags/t", {"name": "t"}),
    "delete tag": Request("DELETE", "/tags/t"),
    "list associations": Request("GET", "/resource_types"),
    "associate": Request("POST", "/resource_types", {"name": "OS::New"}),
    "dissociate": Request("DELETE", "/resource_types/OS::R"),
}

ON_NOTHING: Final[Mapping[str, Request]] = {
    "list images": Request("GET", "/v2/images"),
    "make image": Request("POST", "/v2/images", {}),
    "make public image": Request("POST", "/v2/images", {"visibility": "public"}),
    "make community image": Request("POST", "/v2/images", {"visibility": "community"}),
    "make image of another": Request("POST", "/v2/images", {"owner": "yellow"}),
    "show schema": Request("GET", "/v2/schemas/image"),
    "list import methods": Request("GET", "/v2/info/import"),
    "list stores": Request("GET", "/v2/info/stores"),
    "list stores in detail": Request("GET", "/v2/info/stores/detail"),
    "show usage": Request("GET", "/v2/info/usage"),
    "list namespaces": Request("GET", "/v2/metadefs/namespaces"),
    "make namespace": Request("POST", "/v2/metadefs/namespaces", {"namespace": "{new}"}),
    "list resource types": Request("GET", "/v2/metadefs/resource_types"),
    "absent image": Request("GET", "/v2/images/00000000-0000-4000-8000-000000000000"),
    "absent path": Request("GET", "/v2/nothing"),
    "versions": Request("GET", "/versions"),
}


@frozen
class Row:
    """A request, what makes a target for it, and what gives the path, body and headers of it for a target."""

    request: Request
    make: Callable[[], str]
    place: Callable[[str], tuple[Any, ...]]


class AuthorisationTests(LocationTestCase):
    """Every caller asks for everything."""

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
        """The status of the answer."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return self.server.request(method, path, {**who, **headers}, data).status

    def image(self, visibility: str, before: Callable[[Any, str], object]) -> str:
        """The id of a new image of the owner, which was shared with a project."""
        image_id = self.made(OWNER, tags=["old"])
        self.assertEqual(self.ask(OWNER, "POST", f"/v2/images/{image_id}/members", {"member": "green"}), 200)
        before(self, image_id)
        if visibility != "shared":
            change = replaced("visibility", visibility)
            self.assertEqual(self.ask(ADMIN, "PATCH", f"/v2/images/{image_id}", change["body"], PATCH), 200)
        return image_id

    def namespace(self, visibility: str) -> str:
        """The name of a new namespace of the owner, with one of everything."""
        name = self.new_name()
        document = {
            "namespace": name,
            "visibility": visibility,
            "owner": "blue",
            "properties": {"p": {"type": "string", "title": "P"}},
            "objects": [{"name": "o"}],
            "tags": [{"name": "t"}],
            "resource_type_associations": [{"name": "OS::R"}],
        }
        self.assertEqual(self.ask(ADMIN, "POST", "/v2/metadefs/namespaces", document), 201)
        return name

    def assert_table(self, rows: Mapping[tuple[str, str], Row], expected: str) -> None:
        """What each request, on its kind of target, answers to each caller. A target that was changed is made anew."""
        lines = [_line(("", "", *CALLERS))]
        for (name, kind), row in rows.items():
            target, statuses = row.make(), []
            for who in CALLERS.values():
                status = self.ask(who, row.request.method, *row.place(target))
                statuses.append(str(status))
                if status < 300 and row.request.method != "GET":
                    target = row.make()
            lines.append(_line((name, kind, *statuses)))
        actual = "\n".join(lines)
        self.assertEqual(actual.splitlines(), expected.strip("\n").splitlines(), f"\n{actual}")

    def test_images(self) -> None:
        """What is done to an image."""

        def row(request: Request, visibility: str) -> Row:
            def place(image: str) -> tuple[str, Any, Mapping[str, str]]:
                path = request.path.format(image=image)
                return path if path.startswith("/v2") else f"/v2/images/{image}{path}", request.body, request.headers

            return Row(request, lambda: self.image(visibility, request.before), place)

        self.assert_table(
            {
                (name, visibility): row(request, visibility)
                for name, request in ON_IMAGES.items()
                for visibility in ("private", "shared", "public", "community")
            },
            IMAGES,
        )

    def test_namespaces(self) -> None:
        """What is done to metadata definitions."""

        def row(request: Request, visibility: str) -> Row:
            def place(name: str) -> tuple[str, Any]:
                body = {"namespace": name} if request.body == {"namespace": "{namespace}"} else request.body
                return f"/v2/metadefs/namespaces/{name}{request.path}", body

            return Row(request, lambda: self.namespace(visibility), place)

        self.assert_table(
            {
                (name, visibility): row(request, visibility)
                for name, request in ON_NAMESPACES.items()
                for visibility in ("private", "public")
            },
            NAMESPACES,
        )

    def test_others(self) -> None:
        """What is done to nothing that is there before."""

        def row(request: Request) -> Row:
            def place(new: str) -> tuple[str, Any]:
                return request.path, {"namespace": new} if request.body == {"namespace": "{new}"} else request.body

            return Row(request, self.new_name, place)

        self.assert_table({(name, ""): row(request) for name, request in ON_NOTHING.items()}, OTHERS)

    def new_name(self) -> str:
        """One that nothing has."""
        self.number += 1
        return f"n{self.number}"


def _line(cells: tuple[str, ...]) -> str:
    name, target, *statuses = cells
    widths = [max(6, len(caller)) for caller in CALLERS]
    columns = "  ".join(f"{status:{width}}" for status, width in zip(statuses, widths, strict=True))
    return f"{name:22}{target:11}{columns}".rstrip()


IMAGES: Final = """
                                 admin   owner   reader  consumer  viewer  stranger  service  roleless  anonymous
show                  private    200     200     200     404       404     404       404      404       401
show                  shared     200     200     200     200       200     404       404      404       401
show                  public     200     200     200     200       200     200       200      404       401
show                  community  200     200     200     200       200     200       200      404       401
change                private    200     200     403     404       404     404       404      404       401
change                shared     200     200     403     403       403     404       404      404       401
change                public     200     200     403     403       403     403       403      404       401
change                community  200     200     403     403       403     403       403      404       401
make public           private    200     403     403     404       404     404       404      404       401
make public           shared     200     403     403     403       403     404       404      404       401
make public           public     200     403     403     403       403     403       403      404       401
make public           community  200     403     403     403       403     403       403      404       401
make community        private    200     200     403     404       404     404       404      404       401
make community        shared     200     200     403     403       403     404       404      404       401
make community        public     200     200     403     403       403     403       403      404       401
make community        community  200     200     403     403       403     403       403      404       401
give away             private    200     403     403     404       404     404       404      404       401
give away             shared     200     403     403     403       403     404       404      404       401
give away             public     200     403     403     403       403     403       403      404       401
give away             community  200     403     403     403       403     403       403      404       401
delete                private    204     204     403     404       404     404       404      404       401
delete                shared     204     204     403     403       403     404       404      404       401
delete                public     204     204     403     403       403     403       403      404       401
delete                community  204     204     403     403       403     403       403      404       401
upload                private    204     204     403     404       404     404       404      404       401
upload                shared     204     204     403     403       403     404       404      404       401
upload                public     204     204     403     403       403     403       403      404       401
upload                community  204     204     403     403       403     403       403      404       401
download              private    200     200     403     404       404     404       404      404       401
download              shared     200     200     403     200       403     404       404      404       401
download              public     200     200     403     200       403     200       403      404       401
download              community  200     200     403     200       403     200       403      404       401
download deactivated  private    200     403     403     404       404     404       404      404       401
download deactivated  shared     200     403     403     403       403     404       404      404       401
download deactivated  public     200     403     403     403       403     403       403      404       401
download deactivated  community  200     403     403     403       403     403       403      404       401
add tag               private    204     204     403     404       404     404       404      404       401
add tag               shared     204     204     403     403       403     404       404      404       401
add tag               public     204     204     403     403       403     403       403      404       401
add tag               community  204     204     403     403       403     403       403      404       401
remove tag            private    204     204     403     404       404     404       404      404       401
remove tag            shared     204     204     403     403       403     404       404      404       401
remove tag            public     204     204     403     403       403     403       403      404       401
remove tag            community  204     204     403     403       403     403       403      404       401
deactivate            private    204     204     403     404       404     404       404      404       401
deactivate            shared     204     204     403     403       403     404       404      404       401
deactivate            public     204     204     403     403       403     403       403      404       401
deactivate            community  204     204     403     403       403     403       403      404       401
reactivate            private    204     204     403     404       404     404       404      404       401
reactivate            shared     204     204     403     403       403     404       404      404       401
reactivate            public     204     204     403     403       403     403       403      404       401
reactivate            community  204     204     403     403       403     403       403      404       401
list members          private    403     403     403     404       404     404       404      404       401
list members          shared     200     200     200     200       200     404       404      404       401
list members          public     403     403     403     403       403     403       403      404       401
list members          community  403     403     403     403       403     403       403      404       401
show member           private    404     404     404     404       404     404       404      404       401
show member           shared     200     200     200     200       200     404       404      404       401
show member           public     404     404     404     404       404     404       404      404       401
show member           community  404     404     404     404       404     404       404      404       401
add member            private    403     403     403     404       404     404       404      404       401
add member            shared     200     200     403     403       403     404       404      404       401
add member            public     403     403     403     403       403     403       403      404       401
add member            community  403     403     403     403       403     403       403      404       401
answer                private    403     403     403     404       404     404       404      404       401
answer                shared     200     403     403     200       403     404       404      404       401
answer                public     403     403     403     403       403     403       403      404       401
answer                community  403     403     403     403       403     403       403      404       401
remove member         private    403     403     403     404       404     404       404      404       401
remove member         shared     204     204     403     403       403     404       404      404       401
remove member         public     403     403     403     403       403     403       403      404       401
remove member         community  403     403     403     403       403     403       403      404       401
show locations        private    200     403     403     404       404     404       404      404       401
show locations        shared     200     403     403     403       403     404       404      404       401
show locations        public     200     403     403     403       403     403       200      404       401
show locations        community  200     403     403     403       403     403       200      404       401
register location     private    202     202     403     404       404     404       404      404       401
register location     shared     202     202     403     403       403     404       404      404       401
register location     public     202     202     403     403       403     403       202      404       401
register location     community  202     202     403     403       403     403       202      404       401
patch in location     private    200     200     403     404       404     404       404      404       401
patch in location     shared     200     200     403     403       403     404       404      404       401
patch in location     public     200     200     403     403       403     403       403      404       401
patch in location     community  200     200     403     403       403     403       403      404       401
patch out location    private    200     403     403     404       404     404       404      404       401
patch out location    shared     200     403     403     403       403     404       404      404       401
patch out location    public     200     403     403     403       403     403       403      404       401
patch out location    community  200     403     403     403       403     403       403      404       401
delete copy           private    204     403     403     404       404     404       404      404       401
delete copy           shared     204     403     403     403       403     404       404      404       401
delete copy           public     204     403     403     403       403     403       403      404       401
delete copy           community  204     403     403     403       403     403       403      404       401
"""
NAMESPACES: Final = """
                                 admin   owner   reader  consumer  viewer  stranger  service  roleless  anonymous
show                  private    200     200     200     404       404     404       404      404       401
show                  public     200     200     200     200       200     200       200      404       401
replace               private    200     403     403     404       404     404       404      404       401
replace               public     200     403     403     403       403     403       403      404       401
delete                private    204     403     403     404       404     404       404      404       401
delete                public     204     403     403     403       403     403       403      404       401
list properties       private    200     200     200     404       404     404       404      404       401
list properties       public     200     200     200     200       200     200       200      404       401
add property          private    201     403     403     404       404     404       404      404       401
add property          public     201     403     403     403       403     403       403      404       401
delete properties     private    204     403     403     404       404     404       404      404       401
delete properties     public     204     403     403     403       403     403       403      404       401
show property         private    200     200     200     404       404     404       404      404       401
show property         public     200     200     200     200       200     200       200      404       401
change property       private    200     403     403     404       404     404       404      404       401
change property       public     200     403     403     403       403     403       403      404       401
delete property       private    204     403     403     404       404     404       404      404       401
delete property       public     204     403     403     403       403     403       403      404       401
list objects          private    200     200     200     404       404     404       404      404       401
list objects          public     200     200     200     200       200     200       200      404       401
add object            private    201     403     403     404       404     404       404      404       401
add object            public     201     403     403     403       403     403       403      404       401
delete objects        private    204     403     403     404       404     404       404      404       401
delete objects        public     204     403     403     403       403     403       403      404       401
show object           private    200     200     200     404       404     404       404      404       401
show object           public     200     200     200     200       200     200       200      404       401
change object         private    200     403     403     404       404     404       404      404       401
change object         public     200     403     403     403       403     403       403      404       401
delete object         private    204     403     403     404       404     404       404      404       401
delete object         public     204     403     403     403       403     403       403      404       401
list tags             private    200     200     200     404       404     404       404      404       401
list tags             public     200     200     200     200       200     200       200      404       401
set tags              private    201     403     403     404       404     404       404      404       401
set tags              public     201     403     403     403       403     403       403      404       401
delete tags           private    204     403     403     404       404     404       404      404       401
delete tags           public     204     403     403     403       403     403       403      404       401
show tag              private    200     200     200     404       404     404       404      404       401
show tag              public     200     200     200     200       200     200       200      404       401
add tag               private    201     403     403     404       404     404       404      404       401
add tag               public     201     403     403     403       403     403       403      404       401
change tag            private    200     403     403     404       404     404       404      404       401
change tag            public     200     403     403     403       403     403       403      404       401
delete tag            private    204     403     403     404       404     404       404      404       401
delete tag            public     204     403     403     403       403     403       403      404       401
list associations     private    200     200     200     404       404     404       404      404       401
list associations     public     200     200     200     200       200     200       200      404       401
associate             private    201     403     403     404       404     404       404      404       401
associate             public     201     403     403     403       403     403       403      404       401
dissociate            private    204     403     403     404       404     404       404      404       401
dissociate            public     204     403     403     403       403     403       403      404       401
"""
OTHERS: Final = """
                                 admin   owner   reader  consumer  viewer  stranger  service  roleless  anonymous
list images                      200     200     200     200       200     200       200      403       401
make image                       201     201     403     201       403     201       403      403       401
make public image                201     403     403     403       403     403       403      403       401
make community image             201     201     403     201       403     201       403      403       401
make image of another            201     403     403     403       403     403       403      403       401
show schema                      200     200     200     200       200     200       200      200       401
list import methods              200     200     200     200       200     200       200      200       401
list stores                      200     200     200     200       200     200       200      200       401
list stores in detail            200     403     403     403       403     403       200      403       401
show usage                       200     200     200     200       200     200       200      200       401
list namespaces                  200     200     200     200       200     200       200      403       401
make namespace                   201     403     403     403       403     403       403      403       401
list resource types              200     200     200     200       200     200       200      403       401
absent image                     404     404     404     404       404     404       404      404       401
absent path                      404     404     404     404       404     404       404      404       401
versions                         200     200     200     200       200     200       200      200       200
"""
