"""Measures the cost of a page of a list in a small and in a large catalogue: `python -m bench.lists`.

The lists are read from the catalogue directly, in this process, without HTTP. One image in a hundred belongs to the
caller's project, one in a thousand is shared with it, and the others belong to about a hundred projects. One in ten is
hidden. For ten images there is one more that is deleted. Every case is a page of 25: the first one, and one that begins
in the middle of the list.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from attrs import evolve

from imgsvc.catalogue import schema, tables
from imgsvc.catalogue.drivers import Limits, driver_of
from imgsvc.catalogue.lists import list_images
from imgsvc.catalogue.lists.conditions import filter_condition, listed
from imgsvc.catalogue.lists.order import ordering
from imgsvc.catalogue.lists.shapes import QueryShape, values_of
from imgsvc.catalogue.servers import server_engine
from imgsvc.catalogue.sqlite import sqlite_engine
from imgsvc.catalogue.statements import Statement
from imgsvc.catalogue.url import parse
from imgsvc.model import Caller, Filter, ImageQuery

PAGE = 25
PROJECT = "asking"
CALLERS = {
    "administrator": Caller(user_id="a", project_id="operators", roles=frozenset({"admin", "member", "reader"})),
    "project": Caller(user_id="u", project_id=PROJECT, roles=frozenset({"member", "reader"})),
}
YEAR = 365 * 86400 * 1_000_000
SHOWN = Filter("os_hidden", "eq", (False,))
AGE = (("created_at", True),)
SORTS = [((key, down),) for key in tables.SORT_KEYS for down in (False, True)] + [
    (("status", False), ("name", False)),
    (("status", True), ("name", True)),
    (("disk_format", False), ("size", True)),
    (("container_format", True), ("disk_format", False), ("created_at", True)),
    (("name", False), ("size", False)),
    (("size", True), ("name", False), ("id", False)),
]
FILTERS: list[tuple[str, tuple[Filter, ...], str | None]] = [
    ("name, of 1 in 100", (Filter("name", "eq", ("ubuntu",)),), None),
    ("name, of 5", (Filter("name", "eq", ("image 7",)),), None),
    ("name, of none", (Filter("name", "eq", ("nothing",)),), None),
    ("name in 2", (Filter("name", "in", ("ubuntu", "image 7")),), None),
    ("status, of 95 in 100", (Filter("status", "eq", ("active",)),), None),
    ("status, of 1 in 200", (Filter("status", "eq", ("saving",)),), None),
    ("visibility = public", (), "public"),
    ("visibility = private", (), "private"),
    ("visibility = shared", (), "shared"),
    ("visibility = community", (), "community"),
    ("visibility = all", (), "all"),
    ("owner, the asking", (Filter("owner", "eq", (PROJECT,)),), None),
    ("owner, another", (Filter("owner", "eq", ("project 7",)),), None),
    ("tag, of 1 in 2", (Filter("tag", "eq", ("linux",)),), None),
    ("tag, of 1 in 100", (Filter("tag", "eq", ("release",)),), None),
    ("tag, of 10", (Filter("tag", "eq", ("build 7",)),), None),
    ("two tags", (Filter("tag", "eq", ("linux",)), Filter("tag", "eq", ("release",))), None),
    ("property, of 4 in 10", (Filter("property:os_distro", "eq", ("ubuntu",)),), None),
    ("property, of 1 in 100", (Filter("property:os_distro", "eq", ("plan9",)),), None),
    ("property, of none", (Filter("property:nothing", "eq", ("x",)),), None),
    ("size at least, 1 in 1,000", (Filter("size", "gte", (int(2**40 * 0.999),)),), None),
    ("updated since, 1 in 1,000", (Filter("updated_at", "gte", (datetime(2026, 12, 31, 15, tzinfo=UTC),)),), None),
    (
        "status, tag and property",
        (
            Filter("status", "eq", ("active",)),
            Filter("tag", "eq", ("release",)),
            Filter("property:os_distro", "eq", ("ubuntu",)),
        ),
        None,
    ),
]
HIDDEN = ("hidden", (Filter("os_hidden", "eq", (True,)),), None)


@dataclass
class Case:
    """A list that is measured in several catalogues."""

    name: str
    caller: str
    query: ImageQuery
    times: list[tuple[float, float]]
    """Milliseconds of the first page and of one in the middle, for each catalogue."""


def fill(connection: sa.Connection, number: int) -> None:
    """Fill the catalogue with `number` images that are not deleted, and some that are."""
    chance = random.Random(number)
    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    for first in range(0, number, 5000):
        rows: dict[str, list[dict[str, Any]]] = {
            "images": [],
            "tags": [],
            "properties": [],
            "locations": [],
            "members": [],
        }
        for place in range(first, min(first + 5000, number)):
            for is_deleted in (False, True) if chance.random() < 0.1 else (False,):
                _add(rows, chance, start, place, number, is_deleted)
        connection.execute(sa.insert(tables.images), rows["images"])
        connection.execute(sa.insert(tables.image_tags), rows["tags"])
        connection.execute(sa.insert(tables.image_properties), rows["properties"])
        connection.execute(sa.insert(tables.image_locations), rows["locations"])
        if rows["members"]:
            connection.execute(sa.insert(tables.image_members), rows["members"])


def _add(
    rows: dict[str, list[dict[str, Any]]],
    chance: random.Random,
    start: int,
    place: int,
    number: int,
    is_deleted: bool,
) -> None:
    image_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    created = start + chance.randrange(YEAR // 2)
    status = chance.choices(("active", "queued", "deactivated", "saving"), (950, 30, 15, 5))[0]
    name = chance.choices((f"image {place // 5}", "ubuntu", None), (98, 1, 1))[0]
    is_shared = place % 1000 == 1
    rows["images"].append(
        {
            "id": image_id,
            "created_at": created,
            "updated_at": created + chance.randrange(YEAR // 2),
            "deleted_at": start if is_deleted else None,
            "status": "deleted" if is_deleted else status,
            "name": name,
            "visibility": "shared"
            if is_shared
            else chance.choices(("public", "community", "shared", "private"), (5, 2, 53, 40))[0],
            "protected": chance.random() < 0.05,
            "os_hidden": chance.random() < 0.1,
            "owner": PROJECT if place % 100 == 0 else f"project {place % 99}",
            "container_format": chance.choices(("bare", "ovf", None), (98, 1, 1))[0],
            "disk_format": chance.choices(("qcow2", "raw", "iso", None), (70, 25, 4, 1))[0],
            "min_disk": chance.randrange(10),
            "min_ram": chance.randrange(4) * 512,
            "size": None if status == "queued" else chance.randrange(2**40),
            "virtual_size": None,
            "checksum": f"{place:032x}",
            "os_hash_algo": "sha512",
            "os_hash_value": f"{place:0128x}",
        }
    )
    tags = {f"build {place // 10}", *(tag for tag, of in (("linux", 2), ("release", 100)) if chance.random() < 1 / of)}
    rows["tags"] += [{"image_id": image_id, "value": tag} for tag in tags]
    distribution = chance.choices(("ubuntu", "debian", "plan9"), (40, 59, 1))[0]
    properties = {"os_distro": distribution, "build": str(place), "hw_disk_bus": "virtio"}
    rows["properties"] += [{"image_id": image_id, "name": key, "value": value} for key, value in properties.items()]
    location = {"store_id": "local", "url": f"file:///images/{image_id}", "metadata": "{}"}
    rows["locations"].append({"image_id": image_id, **location})
    if is_shared:
        answer = chance.choices(("accepted", "pending", "rejected"), (8, 1, 1))[0]
        member = {"image_id": image_id, "member_id": PROJECT, "status": answer, "created_at": created}
        rows["members"].append({**member, "updated_at": created})


def cases() -> Iterator[Case]:
    """All cases."""
    for caller in CALLERS:
        for sort in SORTS:
            name = ",".join(f"{key}:{'desc' if down else 'asc'}" for key, down in sort)
            yield Case(f"sort={name}", caller, _query(caller, (SHOWN,), None, sort), [])
        for name, passed, visibility in FILTERS:
            for sort in (AGE, (("name", False),)):
                by = "" if sort == AGE else f", by {sort[0][0]}"
                yield Case(f"{name}{by}", caller, _query(caller, (*passed, SHOWN), visibility, sort), [])
        yield Case(HIDDEN[0], caller, _query(caller, HIDDEN[1], None, AGE), [])


def _query(
    caller: str, passed: tuple[Filter, ...], visibility: str | None, sort: tuple[tuple[str, bool], ...]
) -> ImageQuery:
    return ImageQuery(CALLERS[caller], PAGE, filters=passed, visibility=visibility, sort=sort)


def middle(connection: sa.Connection, query: ImageQuery) -> str | None:
    """The id of the image in the middle of the list; None if the list is empty."""
    shape = QueryShape.of(query)
    passed = [filter_condition(each) for each in shape.filters]
    order = ordering(shape.sort, connection.dialect)
    ids = sa.select(tables.images.c.id).where(tables.images.c.deleted_at.is_(None), listed(shape), *passed)
    values = values_of(query)
    ((number,),) = Statement(sa.select(sa.func.count()).select_from(ids.subquery())).rows(connection, **values)
    found = Statement(ids.order_by(*order).limit(1).offset(number // 2)).rows(connection, **values)
    return found[0][0] if found else None


def milliseconds(connection: sa.Connection, query: ImageQuery, seconds: float) -> float:
    """The shortest time of a page in milliseconds. Longer ones were disturbed by other work of the machine.

    seconds: time for the runs; there are at least 3 and at most 100.
    """
    list_images(connection, query)
    times: list[float] = []
    stop = time.perf_counter() + seconds
    while len(times) < 3 or (time.perf_counter() < stop and len(times) < 100):
        began = time.perf_counter()
        list_images(connection, query)
        times.append((time.perf_counter() - began) * 1000)
    return min(times)


def open_engine(url: str) -> sa.Engine:
    """Open a database with the same engine that the server uses."""
    parsed = parse(url)
    if parsed.get_backend_name() == "sqlite":
        return sqlite_engine(url, 5)
    return server_engine(url, driver_of(parsed), Limits(connect=10, statement=0, lock=0))


def analyze(engine: sa.Engine) -> None:
    """Make a database server update its statistics, as it does by itself some time after tables were filled."""
    commands = {
        "postgresql": "VACUUM ANALYZE",
        "mariadb": f"ANALYZE TABLE {', '.join(tables.metadata.tables)}",
    }
    if engine.dialect.name in commands:
        connection = engine.raw_connection()
        cursor = connection.cursor()
        cursor.execute(commands[engine.dialect.name])
        if cursor.description:
            cursor.fetchall()
        connection.close()


def table(measured: Sequence[Case], numbers: Sequence[int], caller: str) -> str:
    """The table of a caller as Markdown."""
    heads = [f"{page}, {number:,}" for page in ("first", "middle") for number in numbers]
    lines = [f"### {caller}", "", f"| ms, {PAGE} images | {' | '.join(heads)} |", "| --- " * (1 + len(heads)) + "|"]
    for case in measured:
        if case.caller == caller:
            values = [each[page] for page in (0, 1) for each in case.times]
            lines.append(f"| {case.name} | {' | '.join(f'{value:.2f}' for value in values)} |")
    return "\n".join(lines)


def main() -> None:
    """Fill the catalogues, measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.lists", description=__doc__)
    parser.add_argument(
        "--images", type=int, nargs="+", default=[1000, 100_000], help="number of images in each catalogue"
    )
    parser.add_argument("--seconds", type=float, default=0.1, help="time to measure each page")
    parser.add_argument("--url", help="URL of an empty database, which is filled; {} stands for the number of images")
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    told = parser.parse_args()
    measured = [case for case in cases() if told.only in case.name]
    with tempfile.TemporaryDirectory(prefix="imgsvc-bench-") as folder:
        for number in told.images:
            url = told.url.format(number) if told.url else f"sqlite:///{Path(folder) / str(number)}"
            engine = open_engine(url)
            with engine.begin() as connection:
                schema.upgrade(connection)
                if not connection.execute(sa.select(sa.func.count()).select_from(tables.images)).scalar_one():
                    fill(connection, number)
            analyze(engine)
            with engine.connect() as connection:
                for case in measured:
                    print(f"{number:,}: {case.caller}, {case.name}", file=sys.stderr, flush=True)
                    later = evolve(case.query, marker=middle(connection, case.query))
                    case.times.append(
                        (
                            milliseconds(connection, case.query, told.seconds),
                            milliseconds(connection, later, told.seconds),
                        )
                    )
            engine.dispose()
    name = parse(told.url).get_backend_name() if told.url else f"SQLite {sqlite3.sqlite_version}"
    print(f"{name}, SQLAlchemy {sa.__version__}\n")
    for caller in CALLERS:
        print(table(measured, told.images, caller) + "\n")


if __name__ == "__main__":
    main()
