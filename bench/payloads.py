"""The requests of hostile clients. Each function yields the requests of one connection, without end."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from itertools import repeat
from types import MappingProxyType
from urllib.parse import urlencode

from bench.client import Address

IMAGES = "/v2/images"
PATCH_TYPE = "application/openstack-images-v2.1-json-patch"
PIPELINED = 64
"""Requests that a pipelining client sends at once."""
ACTIVE_CHOICES = ("active", "queued", "saving", "deactivated", "importing")


def nested(address: Address, path: str) -> Iterator[bytes]:
    """POST of 480,000 nested lists."""
    return repeat(_with_body(address, "POST", IMAGES, _nested()))


def nested_patch(address: Address, path: str) -> Iterator[bytes]:
    """PATCH with the same body, of the image at `path`."""
    return repeat(_with_body(address, "PATCH", path, _nested(), PATCH_TYPE))


def many_operations(address: Address, path: str) -> Iterator[bytes]:
    """PATCH of 22,000 operations of the image at `path`."""
    body = json.dumps([{"op": "add", "path": f"/p{n}", "value": "x"} for n in range(22_000)]).encode()
    return repeat(_with_body(address, "PATCH", path, body[: 1 << 20], PATCH_TYPE))


def many_keys(address: Address, path: str) -> Iterator[bytes]:
    """POST of an image with 90,000 properties."""
    body = json.dumps({f"p{n}": "" for n in range(90_000)}, separators=(",", ":")).encode()
    return repeat(_with_body(address, "POST", IMAGES, body))


def pipelined(address: Address, path: str) -> Iterator[bytes]:
    """GET of the image at `path`, PIPELINED requests at once."""
    return repeat(address.head("GET", path) * PIPELINED)


def new_shapes(address: Address, path: str) -> Iterator[bytes]:
    """Lists with 60 to 100 filters of random kinds: no two of them make the same statement."""
    chance = random.Random()
    kinds: list[Callable[[int], tuple[str, str]]] = [
        lambda number: (f"p{number}", "x"),
        lambda number: ("tag", f"t{number}"),
        lambda number: ("status", "in:" + ",".join(chance.sample(ACTIVE_CHOICES, chance.randint(1, 5)))),
        lambda number: ("size_min", str(number)),
        lambda number: ("created_at", f"{chance.choice(('gt', 'gte', 'lt', 'lte'))}:2026-01-01T00:00:00Z"),
        lambda number: ("name", f"n{number}"),
    ]
    while True:
        filters = [chance.choice(kinds)(number) for number in range(chance.randint(60, 100))]
        yield address.head("GET", f"{IMAGES}?{urlencode(filters)}")


def get(address: Address, path: str) -> Iterator[bytes]:
    """GET of `path`."""
    return repeat(address.head("GET", path))


def _nested() -> bytes:
    return b'{"a":[' + b",".join([b"[" * 400 + b"]" * 400] * 1200) + b"]}"


def _with_body(address: Address, method: str, path: str, body: bytes, kind: str = "application/json") -> bytes:
    return address.head(method, path, {"Content-Type": kind, "Content-Length": str(len(body))}) + body


PAYLOADS: Mapping[str, Callable[[Address, str], Iterator[bytes]]] = MappingProxyType(
    {each.__name__: each for each in (nested, nested_patch, many_operations, many_keys, pipelined, new_shapes, get)}
)
