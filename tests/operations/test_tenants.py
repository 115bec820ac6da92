"""Stores that keep each object in an account of the caller."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from imgsvc.errors import StoreForbidden, StoreWriteDenied
from imgsvc.interfaces import IStore, IStoreReader, IStoreWriter
from imgsvc.model import Caller, Location, Span
from tests.web.rigs import ADMIN, BEHIND_PROXY, MEMBER, ONE_STORE, ApiTestCase


@implementer(IStore)
class TenantStore:
    """Puts an object into the account of the caller's project, and gives it to callers with a token.

    accounts: the account of each object. tokens: those of the readers so far.
    """

    def __init__(self, inner: IStore) -> None:
        self.inner = inner
        self.accounts: dict[str, str | None] = {}
        self.tokens: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def writer(
        self, name: str, lease_id: str, expected_size: int | None, caller: Caller | None = None
    ) -> Deferred[IStoreWriter]:
        """See IStore."""
        if caller is None or caller.token is None:
            return fail(StoreWriteDenied(self.inner.store_id, "there is no account for nobody."))
        self.accounts[name] = caller.project_id
        return self.inner.writer(name, lease_id, expected_size, caller)

    def reader(
        self, location: Location, span: Span, size: int | None = None, caller: Caller | None = None
    ) -> Deferred[IStoreReader]:
        """See IStore."""
        if caller is None or caller.token is None:
            return fail(StoreForbidden(self.inner.store_id, "nobody may read."))
        self.tokens.append(caller.token)
        return self.inner.reader(location, span, size, caller)


class TenantTests(ApiTestCase):
    """Uploads and downloads pass the caller to the store."""

    tables: ClassVar[dict[str, Any]] = {"identity": BEHIND_PROXY, "stores": ONE_STORE}
    wrap_store = TenantStore

    def queued(self, headers: dict[str, str]) -> str:
        """The id of a new image."""
        body = json.dumps({"disk_format": "raw", "container_format": "bare"}).encode()
        image_id: str = self.server.request("POST", "/v2/images", headers, body).json["id"]
        return image_id

    def test_caller(self) -> None:
        """The project of an upload owns the object. A download passes the token of its caller, also of another
        project.
        """
        owner, reader = {**MEMBER, "X-Auth-Token": "blue secret"}, {**ADMIN, "X-Auth-Token": "ops secret"}
        image = self.queued(owner)
        self.assertEqual(self.server.put(image, b"data", **owner).status, 204)
        store = self.server.store()
        self.assertEqual(store.accounts, {image: "blue"})
        for headers in (owner, reader):
            self.assertEqual(self.server.request("GET", f"/v2/images/{image}/file", headers).body, b"data")
        self.assertEqual(store.tokens, ["blue secret", "ops secret"])

    def test_without_token(self) -> None:
        """A caller without a token gets the refusal of the store, and nothing is kept."""
        image = self.queued(MEMBER)
        self.assertEqual(self.server.put(image, b"data", **MEMBER).status, 503)
        self.assertEqual(self.show(image, MEMBER)["status"], "queued")
