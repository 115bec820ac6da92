"""GET /v2/images, compared with a plain model of its parameters in the Image API."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from hashlib import md5
from itertools import cycle
from random import Random
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import uuid4

from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web.rigs import ADMIN, BEHIND_PROXY, MEMBER, ONE_STORE, READER, STRANGER, ApiTestCase, identity

Image = Mapping[str, Any]
Parameters = Sequence[tuple[str, str]]

NO_PROJECT = identity(None, "member", "reader")
LOCAL = identity(None, "admin", "member", "reader")
CALLERS = {
    "admin": ADMIN,
    "local admin": LOCAL,
    "blue": MEMBER,
    "blue reader": READER,
    "red": STRANGER,
    "nobody": NO_PROJECT,
}
LIMIT_DEFAULT: Final = 7
LIMIT_MAX: Final = 20
VISIBILITIES: Final = ("public", "private", "shared", "community")
MEMBER_STATUSES: Final = ("pending", "accepted", "rejected")
SORT_KEYS: Final = ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")
INTEGERS: Final = ("min_disk", "min_ram", "size", "virtual_size")
NO_FILTERS: Final = ("limit", "marker", "sort", "sort_key", "sort_dir", "visibility", "member_status", "deleted")


EXAMPLES = 250


class Refused(Exception):
    """The status of a response that is not 200."""


@frozen
class Stock:
    """All images as an administrator sees them, the status of members by image id, and times with their fractions."""

    images: Sequence[Image]
    answers: Mapping[str, Mapping[str, str]]
    times: Mapping[str, Mapping[str, int]]


# --- the model: one function for each paragraph


def expected(project: str | None, is_admin: bool, asked: Parameters, stock: Stock) -> list[str]:
    """The ids on the page. Raises Refused."""
    last = dict(asked)
    visibility, member_status = last.get("visibility"), last.get("member_status", "accepted")
    allow(visibility in (None, "all", *VISIBILITIES) and member_status in ("all", *MEMBER_STATUSES))
    limit = last.get("limit", str(LIMIT_DEFAULT))
    allow(re.fullmatch("[0-9]+", limit) is not None)
    tests = [passes(key, value) for key, value in asked if key not in NO_FILTERS]
    if "os_hidden" not in last:
        tests.append(lambda image: not image["os_hidden"])
    everything = in_order(stock, *order(asked))

    def has(image: Image) -> bool:
        return is_listed(image, stock.answers[image["id"]], project, is_admin, visibility, member_status) and all(
            test(image) for test in tests
        )

    if "marker" in last:
        ids = [image["id"] for image in everything]
        allow(last["marker"] in ids)
        place = ids.index(last["marker"])
        if not is_found(everything[place], stock.answers[ids[place]], project, is_admin):
            raise Refused(403)
        everything = everything[place + 1 :]
    return [image["id"] for image in everything if has(image)][: min(int(limit), LIMIT_MAX)]


def allow(condition: bool) -> None:
    """400 unless the condition holds."""
    if not condition:
        raise Refused(400)


def is_found(image: Image, answers: Mapping[str, str], project: str | None, is_admin: bool) -> bool:
    """Whether the caller may GET the image by its id."""
    is_own = project is not None and image["owner"] == project
    if is_admin or is_own or image["visibility"] in ("public", "community"):
        return True
    return image["visibility"] == "shared" and (image["owner"] is None or project in answers)


def is_listed(
    image: Image,
    answers: Mapping[str, str],
    project: str | None,
    is_admin: bool,
    visibility: str | None,
    member_status: str,
) -> bool:
    """Public, community, own, and shared with the caller at member_status; community images of others only if asked
    for.

    For an administrator without a project, images without an owner are its own.
    """
    is_own = (project is not None or is_admin) and image["owner"] == project
    if visibility not in (None, "all", image["visibility"]):
        return False
    if image["visibility"] == "community" and not is_own:
        return visibility is not None
    if is_admin or is_own or image["visibility"] in ("public", "community"):
        return True
    if image["visibility"] != "shared" or project not in answers:
        return False
    return member_status in ("all", answers[project])


def passes(key: str, value: str) -> Any:
    """The filter as a function of an image. Raises Refused."""
    if key in ("name", "id", "status", "container_format", "disk_format"):
        word, colon, rest = value.partition(":")
        if colon and word == "in":
            values = unquoted(rest)
            return lambda image: image[key] in values
        if colon and word == "eq":
            value = rest
        else:
            allow(not colon or key == "name")
        return lambda image: image[key] == value
    bounded, _, bound = key.rpartition("_")
    if bounded in INTEGERS and bound in ("min", "max"):
        number = integer(value)
        if bound == "min":
            return lambda image: image[bounded] is not None and image[bounded] >= number
        return lambda image: image[bounded] is not None and image[bounded] <= number
    if key in INTEGERS:
        number = integer(value)
        return lambda image: image[key] == number
    if key in ("created_at", "updated_at"):
        return time_filter(key, value)
    if key in ("os_hidden", "protected"):
        value = value.lower() if key == "os_hidden" else value
        allow(value in ("true", "false"))
        return lambda image: image[key] is (value == "true")
    if key == "tag":
        return lambda image: value in image["tags"]
    allow(key != "changes-since")
    if key in ("tags", "self", "file", "schema"):  # of the entity, but neither columns nor custom properties
        return lambda image: False
    return lambda image: image.get(key) == value


def integer(value: str) -> int:
    """Parse an integer. Raises Refused."""
    allow(re.fullmatch("-?[0-9]+", value) is not None)
    return int(value)


def time_filter(key: str, value: str) -> Any:
    """`<op>:<ISO 8601>`; without an operator, equal."""
    found = re.fullmatch("(?:([a-z]+):)?([0-9].*)", value)
    allow(found is not None)
    assert found
    operator = found[1] or "eq"
    allow(operator in ("gt", "gte", "lt", "lte", "eq", "neq"))
    try:
        moment = datetime.fromisoformat(found[2])
    except ValueError:
        raise Refused(400) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def test(image: Image) -> bool:
        shown = datetime.fromisoformat(image[key])
        return {
            "gt": shown > moment,
            "gte": shown >= moment,
            "lt": shown < moment,
            "lte": shown <= moment,
            "eq": shown == moment,
            "neq": shown != moment,
        }[operator]

    return test


def unquoted(text: str) -> list[str]:
    """The values of `in:`. Raises Refused."""
    value = r'"(?:[^"\\]|\\.)*"|[^",]*'
    allow(re.fullmatch(f"(?:{value})(?:,(?:{value}))*", text, re.DOTALL) is not None)
    values = [found[0] for found in re.finditer(f"(?:^|(?<=,))(?:{value})(?=,|$)", text, re.DOTALL)]
    return [re.sub(r"\\(.)", r"\1", each[1:-1], flags=re.DOTALL) if each[:1] == '"' else each for each in values]


def order(asked: Parameters) -> tuple[list[str], list[str]]:
    """Keys and directions, with those that break ties. Raises Refused."""
    keys = [value.strip() for key, value in asked if key == "sort_key"]
    directions = [value.strip() for key, value in asked if key == "sort_dir"]
    combined = [value for key, value in asked if key == "sort"]
    if combined:
        allow(not keys and not directions)
        parts = [part.split(":", 1) for text in combined for part in text.split(",")]
        keys = [part[0].strip() for part in parts]
        directions = [part[1].strip() if part[1:] != [""] and part[1:] else "desc" for part in parts]
    else:
        keys, directions = keys or ["created_at"], directions or ["desc"]
        allow(len(directions) in (1, len(keys)))
    allow(set(keys) <= {*SORT_KEYS} and set(directions) <= {"asc", "desc"})
    rest = directions[0] if len(directions) == 1 else "desc"
    directions = directions * len(keys) if len(directions) == 1 else directions
    return [*keys, "created_at", "id"], [*directions, rest, rest]


def in_order(stock: Stock, keys: Sequence[str], directions: Sequence[str]) -> list[Image]:
    """Sort by the first key first. No value is less than any value."""
    found = list(stock.images)
    for key, direction in reversed([*zip(keys, directions, strict=True)]):

        def place(image: Image, key: str = key) -> tuple[Any, ...]:
            value = stock.times[image["id"]].get(key, image[key])
            return (0,) if value is None else (1, value)

        found.sort(key=place, reverse=direction == "desc")
    return found


# --- the catalogue and the queries

NOON: Final = datetime(2026, 1, 2, 12, tzinfo=UTC)
STATUSES: Final = ("queued", "active", "saving", "deactivated")
FIELDS: Final[Mapping[str, Sequence[Any]]] = {
    "name": ("a", "b", "B", "a,b", 'q"x', "s\\", "in:a", "ubuntu:22.04", "\u00e4", "\U0001f4bf", "", None, "a"),
    "owner": ("blue", "red", None, "blue", "green"),
    "visibility": ("shared", "public", "community", "private", "shared", "shared", "community"),
    "os_hidden": (False, False, False, True),
    "protected": (False, True, False),
    "container_format": ("bare", "bare", "ovf", "docker"),
    "disk_format": ("raw", "qcow2", "raw", "iso", "raw"),
    "min_disk": (0, 0, 3, 2**31 - 1),
    "min_ram": (0, 64),
    "tags": ([], ["x"], ["x", "y"], ["y", "z,1", "\u00e4"]),
    "os": (None, "debian", "ubuntu", "", "x" * 70),
    "min_disk_min_max": (None, None, "1"),
    "properties": (None, "1"),
}
"""The values that the images of the catalogue have in turn. The last three are custom properties."""
SIZES: Final = (None, 0, 5, None, 9, 5, None, 5)
ANSWERS: Final = (
    {"red": "accepted"},
    {"red": "pending", "blue": "accepted"},
    {},
    {"blue": "rejected"},
    {"green": "accepted", "blue": "pending"},
)
HALF_SECONDS: Final = (0, 1, 2, 2, 5, 3, 7)
NUMBER: Final = 44
UNPROTECT: Final = [{"op": "replace", "path": "/protected", "value": False}]
PATCH: Final = {"Content-Type": "application/openstack-images-v2.1-json-patch"}


def one_of(*values: object) -> st.SearchStrategy[str]:
    """One of these values, as it is written in a query."""
    return st.sampled_from([str(value) for value in values])


def texts(values: Sequence[object]) -> st.SearchStrategy[str]:
    """A value, with and without an operator, and several values."""
    some = one_of(*(value for value in values if value is not None), *values[:1], "none")
    quoted = some.map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
    plain = some.filter(lambda text: '"' not in text)
    several = st.lists(quoted | plain, min_size=1, max_size=4).map(lambda each: "in:" + ",".join(each))
    return st.one_of(plain.filter(lambda text: ":" not in text), several, several, some.map("eq:{}".format))


def times() -> st.SearchStrategy[str]:
    """A time of the catalogue or near it, with and without an operator."""
    moments = st.integers(-1, 9).map(lambda half: NOON + timedelta(seconds=half / 2))
    zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))])
    written = st.one_of(
        st.builds(lambda moment, zone: moment.astimezone(zone).isoformat(), moments, zones),
        moments.map(lambda moment: f"{moment:%Y-%m-%dT%H:%M:%SZ}"),
        moments.map(lambda moment: f"{moment:%Y-%m-%d %H:%M:%S}"),
        one_of("2026-01-02", "20260103T000000+1159"),
    )
    return st.builds(str.__add__, one_of("", "gt:", "gte:", "lt:", "lte:", "eq:", "neq:", "gt:", "lte:"), written)


def parameter(key: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, str]]:
    """One parameter."""
    return st.tuples(st.just(key), values)


def filters(ids: Sequence[str]) -> st.SearchStrategy[tuple[str, str]]:
    """One filter. Most of them find something."""
    numbers = one_of(0, 3, 5, 6, 64, 2**31 - 1, 2**63, 10**40, -1)
    return st.one_of(
        *(parameter(key, texts(FIELDS[key])) for key in ("name", "disk_format", "container_format")),
        parameter("name", one_of("ubuntu:22.04", 'q"x', "neq:a")),
        parameter("status", texts(STATUSES)),
        parameter("id", texts(ids)),
        parameter("id", st.lists(st.sampled_from(ids), min_size=20).map(lambda some: "in:" + ",".join(some))),
        parameter("owner", one_of("blue", "red", "green", "none", "")),
        st.tuples(one_of(*(f"{key}{bound}" for key in INTEGERS for bound in ("", "_min", "_max"))), numbers),
        *(parameter(key, times()) for key in ("created_at", "updated_at", "created_at", "updated_at")),
        parameter("os_hidden", one_of("true", "True", "FALSE")),
        parameter("protected", one_of("true", "false")),
        parameter("tag", one_of("x", "y", "z,1", "\u00e4", "none")),
        parameter("os", one_of("debian", "ubuntu", "", "x" * 70, "x" * 64, "none")),
        parameter("deleted", one_of("true", "false")),
        st.sampled_from(
            [
                ("checksum", md5(bytes(5)).hexdigest()),
                ("os_hash_algo", "sha512"),
                ("min_disk_min_max", "1"),
                ("tags", "x"),
                ("self", "x"),
                ("properties", "1"),
            ]
        ),
    )


def sorts() -> st.SearchStrategy[list[tuple[str, str]]]:
    """Every form of a sort parameter."""
    keys, directions = one_of(*SORT_KEYS), one_of("asc", "desc")
    part = st.one_of(keys, st.builds("{}:{}".format, keys, directions), one_of(" id : asc ", "name:"))
    pairs = st.lists(st.tuples(keys, directions), min_size=1, max_size=3)
    return st.one_of(
        st.just([]),
        st.lists(part, min_size=1, max_size=3).map(lambda parts: [("sort", ",".join(parts))]),
        st.builds(lambda key, way: [("sort", f"{key}:{way}")], keys, directions),
        pairs.map(lambda some: [("sort_key", key) for key, _ in some]),
        pairs.map(lambda some: [*(("sort_key", key) for key, _ in some), ("sort_dir", some[0][1])]),
        pairs.map(lambda some: [each for key, way in some for each in (("sort_key", key), ("sort_dir", way))]),
    )


REFUSED: Final = (
    *(("name", 'in:"a'), ("name", 'in:a"b'), ("name", 'in:"a"b'), ("status", "neq:a"), ("id", "like:1"), ("size", "x")),
    *(("size_min", ""), ("min_ram_max", "1.5"), ("min_disk", "\u0661"), ("created_at", "noon"), ("updated_at", "")),
    *(("created_at", "in:2026-01-02"), ("created_at", "gt:2026-13-01"), ("os_hidden", "1"), ("protected", "True")),
    *(("changes-since", "2026-01-02"), ("visibility", "mine"), ("member_status", "none"), ("limit", "-1")),
    *(("limit", "x"), ("limit", ""), ("marker", str(uuid4())), ("marker", ""), ("sort", "owner"), ("sort", "name:up")),
    *(("sort_key", ""), ("sort_dir", "ASC"), ("sort", "name,"), ("sort", "")),
)
"""Parameters that make every query invalid."""


def queries(ids: Sequence[str]) -> st.SearchStrategy[list[tuple[str, str]]]:
    """The parameters of one request. ids: of all images."""

    def perhaps(key: str, *values: object) -> st.SearchStrategy[list[tuple[str, str]]]:
        return st.one_of(st.just([]), parameter(key, one_of(*values)).map(lambda one: [one]))

    return st.builds(
        lambda *parts: [each for part in parts for each in part],
        st.lists(filters(ids), max_size=2),
        perhaps("visibility", *VISIBILITIES, "shared", "all", "all", "all"),
        perhaps("member_status", *MEMBER_STATUSES, "all", "all"),
        sorts(),
        perhaps("limit", 1, 3, 15, 15, LIMIT_MAX + 1, 10**40),
        perhaps("marker", *ids),
        st.sampled_from([*[[]] * (9 * len(REFUSED)), *([each] for each in (*REFUSED, ("limit", "0")))]),
    )


class ModelTests(ApiTestCase):
    """A catalogue of mixed images."""

    tables: ClassVar[dict[str, Any] | None] = {
        "stores": ONE_STORE,
        "identity": BEHIND_PROXY,
        "api": {"limit_default": LIMIT_DEFAULT, "limit_max": LIMIT_MAX},
        "images": {"check_format": False},
    }

    def stock(self) -> Stock:
        """Fill the catalogue."""
        ids, answers, moments = [], {}, {}
        turns = {key: cycle(values) for key, values in FIELDS.items()}
        shared_turns = cycle(ANSWERS)
        for number, size, status in zip(range(NUMBER), cycle(SIZES), cycle(STATUSES), strict=False):
            image_id = f"{number * 7 % NUMBER:08d}-0000-4000-8000-000000000000"
            ids.append(image_id)
            document = {"id": image_id, **{key: next(values) for key, values in turns.items()}}
            document = {key: value for key, value in document.items() if value is not None or key == "owner"}
            self.ask("POST", "/v2/images", document)
            if size is not None:
                self.assertEqual(self.server.put(image_id, bytes(size), **ADMIN).status, 204)
                if status == "deactivated":
                    self.ask("POST", f"/v2/images/{image_id}/actions/deactivate")
            elif status == "saving":
                self.begin_put(image_id, 9, b"some", *(f"{name}: {value}" for name, value in ADMIN.items()))
            answers[image_id] = next(shared_turns) if document["visibility"] == "shared" else {}
            for project, answer in answers[image_id].items():
                self.ask("POST", f"/v2/images/{image_id}/members", {"member": project})
                self.ask("PUT", f"/v2/images/{image_id}/members/{project}", {"status": answer})
        with closing(sqlite3.connect(self.folder / "imgsvc.sqlite")) as connection, connection:
            for number, image_id in enumerate(ids):
                created, updated = (
                    int((NOON + timedelta(seconds=HALF_SECONDS[turn % len(HALF_SECONDS)] / 2)).timestamp() * 1_000_000)
                    for turn in (number, 3 * number + 1)
                )
                moments[image_id] = {"created_at": created, "updated_at": updated}
                connection.execute(
                    "UPDATE images SET created_at = ?, updated_at = ? WHERE id = ?", (created, updated, image_id)
                )
        return Stock([self.show(image_id, ADMIN) for image_id in ids], answers, moments)

    def ask(self, method: str, path: str, document: Any = None, **headers: str) -> Any:
        """The response to an administrator's request, which must succeed."""
        body = None if document is None else json.dumps(document).encode()
        answer = self.server.request(method, path, ADMIN | headers, body)
        self.assertLess(answer.status, 300, answer.body)
        return answer.json if answer.body else None

    def test_lists(self) -> None:
        """Any caller gets the images of the model in its order, or the status of the model. The next page has
        the rest.
        """
        stock = self.stock()

        @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
        @given(one_of(*CALLERS), queries([image["id"] for image in stock.images]))
        def check(caller: str, asked: list[tuple[str, str]]) -> None:
            project = CALLERS[caller].get("X-Project-Id")
            answer = self.server.request("GET", f"/v2/images?{urlencode(asked)}", CALLERS[caller])
            try:
                ids = expected(project, CALLERS[caller] in (ADMIN, LOCAL), asked, stock)
            except Refused as refusal:
                self.assertEqual(refusal.args[0], answer.status, (answer.body, asked))
                return
            self.assertEqual(200, answer.status, (answer.body, asked))
            page = answer.json
            self.assertEqual(ids, [image["id"] for image in page["images"]], asked)
            self.assertEqual(sorted(each for each in asked if each[0] != "marker"), link(page["first"]))
            limit = min(int(dict(asked).get("limit", LIMIT_DEFAULT)), LIMIT_MAX)
            self.assertEqual(len(ids) == limit > 0, "next" in page)
            if "next" in page:
                self.assertEqual(
                    sorted([*parse_qsl(urlsplit(page["first"]).query, True), ("marker", ids[-1])]), link(page["next"])
                )

        check()

    def test_pages(self) -> None:
        """Over all pages each image comes once, in every order, even while others are created and deleted."""
        ids = [image["id"] for image in self.stock().images]
        random = Random(1)
        orders = [f"{key}:{way}" for key in SORT_KEYS for way in ("asc", "desc")]
        orders += ["status:asc,name:desc", "disk_format:desc,size:asc", "container_format,status,id:asc"]
        for order, caller in zip(orders, cycle(("admin", "red", "red", "admin")), strict=False):
            query = {"sort": order, "visibility": "all", "member_status": "all"}
            before = self.listed(CALLERS[caller], query | {"limit": "20"})
            self.assertGreater(len(before), 20)
            target, seen, deleted = f"/v2/images?{urlencode(query | {'limit': '4'})}", list[str](), set[str]()
            while target:
                page = self.server.request("GET", target, CALLERS[caller]).json
                seen += [image["id"] for image in page["images"]]
                self.assertEqual(len(set(seen)), len(seen), order)
                target = page.get("next")
                gone = random.choice([each for each in ids if each not in seen[-1:]])
                ids.remove(gone)
                deleted.add(gone)
                self.ask("PATCH", f"/v2/images/{gone}", UNPROTECT, **PATCH)
                self.ask("DELETE", f"/v2/images/{gone}")
                ids.append(self.ask("POST", "/v2/images", {"name": random.choice("Aab"), "visibility": "public"})["id"])
            stayed = [each for each in before if each not in deleted]
            self.assertEqual(stayed, [each for each in seen if each in stayed], order)
            self.assertEqual(self.listed(CALLERS[caller], query | {"limit": "2"}), self.listed(CALLERS[caller], query))

    def listed(self, headers: dict[str, str], query: Mapping[str, str]) -> list[str]:
        """The ids on all pages."""
        target, found = f"/v2/images?{urlencode(query)}", list[str]()
        while target:
            page = self.server.request("GET", target, headers).json
            found += [image["id"] for image in page["images"]]
            self.assertEqual(len(set(found)), len(found), query)
            target = page.get("next")
        return found

    def test_shown(self) -> None:
        """Callers find exactly the images of the model by id."""
        stock = self.stock()
        for image in stock.images:
            for caller, headers in CALLERS.items():
                found = is_found(
                    image, stock.answers[image["id"]], headers.get("X-Project-Id"), headers in (ADMIN, LOCAL)
                )
                answer = self.server.request("GET", f"/v2/images/{image['id']}", headers)
                self.assertEqual(200 if found else 404, answer.status, (caller, image))


def link(target: str) -> list[tuple[str, str]]:
    """The parameters of a link, sorted."""
    path = urlsplit(target)
    assert path.path == "/v2/images" and not path.netloc
    return sorted(parse_qsl(path.query, keep_blank_values=True))
