"""A read-only store of images on web servers that other people operate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from attrs import frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from zope.interface import implementer

from imgsvc.errors import (
    ObjectDamaged,
    ObjectMissing,
    PartUnavailable,
    RemoteUnavailable,
    StoreError,
    StoreReadOnly,
    StoreUnavailable,
    UrlRefused,
)
from imgsvc.interfaces import IStore, IStoreReader, IStoreWriter
from imgsvc.model import Caller, Location, Span, StoreUsage, UnfinishedObject
from imgsvc.options import Seconds, option, structure
from imgsvc.remote.fetch import Fetcher, FetchLimits, trust
from imgsvc.remote.guard import Guard, GuardRules
from imgsvc.remote.response import RemoteResponse
from imgsvc.store_model import Scope, StoreInfo, StoreSettings
from imgsvc.stores.services import StoreServices

_SCHEME: Final = re.compile(r"https?://", re.IGNORECASE)
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")
_GONE: Final = frozenset({404, 410})


@frozen
class HttpOptions:
    """[stores.NAME] with kind = "http"."""

    timeout: Seconds = option(
        "How long to wait for a connection, for the beginning of the response, and between two pieces of it.",
        30.0,
        at_least=0.1,
    )
    redirects: int = option("Most redirects that are followed. Each is checked like the URL itself.", 5, at_least=0)
    ca_file: str = option("Certificates of the authorities to trust, in PEM. Empty: those of the system.", "")
    allowed_hosts: tuple[str, ...] = option(
        "The only hosts to connect to: names, `.domain` for all names in it, addresses, networks. Empty: any.", ()
    )
    denied_hosts: tuple[str, ...] = option("Hosts that are never connected to, in the same form.", ())
    allowed_ports: tuple[int, ...] = option("The only ports to connect to. Empty: any.", (80, 443))
    denied_ports: tuple[int, ...] = option("Ports that are never connected to.", ())
    allow_private: bool = option("Connect to loopback and private addresses too.", False)

    @property
    def rules(self) -> GuardRules:
        """The options for the guard."""
        return GuardRules(
            allowed_hosts=self.allowed_hosts,
            denied_hosts=self.denied_hosts,
            allowed_ports=self.allowed_ports,
            denied_ports=self.denied_ports,
            allow_private=self.allow_private,
        )


@implementer(IStore)
class HttpStore:
    """Reads objects at http and https URLs, in ranges if their server supports them."""

    def __init__(self, settings: StoreSettings, guard: Guard, fetcher: Fetcher) -> None:
        self.store_id = settings.id
        self.info = StoreInfo(
            id=settings.id,
            kind="http",
            description=settings.description,
            weight=settings.weight,
            reserved=settings.reserved,
            scope=Scope.CLUSTER,
            read_only=True,
            schemes=("http", "https"),
        )
        self._guard = guard
        self._fetcher = fetcher

    def start(self) -> Deferred[None]:
        """See IStore."""
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """See IStore. Nothing is to be stopped: every reader has an owner that stops it."""
        return succeed(None)

    def check(self) -> Deferred[None]:
        """See IStore. The store has no medium of its own that could be away."""
        return succeed(None)

    def locate(self, url: str, image_id: str) -> Location | None:
        """See IStore."""
        if not _SCHEME.match(url):
            return None
        self._guard.check(url)
        return Location(self.store_id, url)

    def writer(
        self, name: str, lease_id: str, expected_size: int | None, caller: Caller | None = None
    ) -> Deferred[IStoreWriter]:
        """See IStore."""
        return fail(StoreReadOnly(self.store_id, "it takes no images."))

    def reader(
        self, location: Location, span: Span, size: int | None = None, caller: Caller | None = None
    ) -> Deferred[IStoreReader]:
        """See IStore. Fails with PartUnavailable if the server supports no ranges."""
        return Deferred.fromCoroutine(self._reader(location, span, size))

    async def _reader(self, location: Location, span: Span, size: int | None) -> IStoreReader:
        if span.length == 0:
            return HttpReader(self.store_id, 0, None)
        answer = await self._open("GET", location, {"Range": f"bytes={span.start}-{span.stop - 1}"})
        try:
            self._check(answer, span, size)
        except StoreError:
            answer.stopProducing()
            raise
        answer.expect(span.length)
        return HttpReader(self.store_id, span.length, answer)

    def _check(self, answer: RemoteResponse, span: Span, size: int | None) -> None:
        """Raise StoreError unless the body of the response is the span."""
        self._check_encoding(answer)
        if answer.status == 206:
            match = _CONTENT_RANGE.fullmatch(answer.header("content-range") or "")
            if match is None or (int(match[1]), int(match[2])) != (span.start, span.stop - 1):
                raise StoreUnavailable(self.store_id, "the server sends another range than was requested.")
            if answer.length not in (None, span.length):
                raise StoreUnavailable(self.store_id, "the server gives two different lengths of a range.")
            self._check_size(None if match[3] == "*" else int(match[3]), size)
        elif answer.status == 200:
            self._check_size(answer.length, size)
            if answer.length is not None and answer.length < span.stop:
                raise ObjectDamaged(self.store_id, f"the object has {answer.length} bytes, fewer than {span.stop}.")
            if span.start or answer.length not in (None, span.length):
                raise PartUnavailable(self.store_id, "the server of the object does not support ranges.")
        elif answer.status == 416:
            raise ObjectDamaged(self.store_id, f"the object has fewer than {span.stop} bytes.")
        else:
            raise self._fault(answer.status)

    def _check_size(self, told: int | None, size: int | None) -> None:
        """Raise ObjectDamaged if the server reports another size of the whole object."""
        if told is not None and size not in (None, told):
            raise ObjectDamaged(self.store_id, f"the object has {told} bytes, not {size}.")

    def size(self, location: Location) -> Deferred[int]:
        """See IStore."""
        return Deferred.fromCoroutine(self._size(location))

    async def _size(self, location: Location) -> int:
        answer = await self._open("HEAD", location)
        answer.stopProducing()
        told = answer.header("content-length")
        if answer.status == 200 and told is not None and re.fullmatch("[0-9]{1,18}", told):
            self._check_encoding(answer)
            return int(told)
        if answer.status in _GONE:
            raise self._fault(answer.status)
        answer = await self._open("GET", location)  # for servers that do not support HEAD, or send no length
        answer.stopProducing()
        if answer.status != 200:
            raise self._fault(answer.status)
        self._check_encoding(answer)
        if answer.length is None or answer.length >= 10**18:
            raise StoreUnavailable(self.store_id, "the server does not report the size of the object.")
        return answer.length

    def delete(self, location: Location) -> Deferred[None]:
        """See IStore. Does nothing: the object does not belong to this server."""
        return succeed(None)

    def unfinished(self) -> Deferred[list[UnfinishedObject]]:
        """See IStore."""
        return succeed([])

    def discard(self, name: str, lease_id: str) -> Deferred[None]:
        """See IStore."""
        return succeed(None)

    def finalize(self, name: str, lease_id: str) -> Deferred[None]:
        """See IStore."""
        return succeed(None)

    def usage(self) -> Deferred[StoreUsage]:
        """See IStore."""
        return succeed(StoreUsage(None, None))

    async def _open(self, method: str, location: Location, headers: Mapping[str, str] | None = None) -> RemoteResponse:
        try:
            return await self._fetcher.open(method, location.url, headers)
        except (UrlRefused, RemoteUnavailable) as error:
            raise StoreUnavailable(self.store_id, f"the object cannot be fetched. {error}") from error

    def _check_encoding(self, answer: RemoteResponse) -> None:
        """Raise StoreUnavailable if the body is encoded, and so is not the object itself."""
        if (answer.header("content-encoding") or "identity").lower() != "identity":
            raise StoreUnavailable(self.store_id, "the server sends an encoding that was not requested.")

    def _fault(self, status: int) -> StoreError:
        kind = ObjectMissing if status in _GONE else StoreUnavailable
        return kind(self.store_id, f"the server of the object answers {status}.")


@implementer(IStoreReader)
class HttpReader:
    """Produces the body of a response for a consumer. answer: None if the span is empty."""

    def __init__(self, store_id: str, length: int, answer: RemoteResponse | None) -> None:
        self.length = length
        self._store_id = store_id
        self._answer = answer

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """See IStoreReader."""
        if self._answer is None:
            consumer.registerProducer(self, True)
            consumer.unregisterProducer()
            return succeed(None)
        return self._answer.startProducing(consumer).addErrback(self._failed)

    def pauseProducing(self) -> None:
        """See IPushProducer."""
        if self._answer is not None:
            self._answer.pauseProducing()

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        if self._answer is not None:
            self._answer.resumeProducing()

    def stopProducing(self) -> None:
        """See IStoreReader."""
        if self._answer is not None:
            self._answer.stopProducing()

    def _failed(self, failure: Failure) -> Failure:
        if failure.check(RemoteUnavailable) is None:
            return failure
        return Failure(StoreUnavailable(self._store_id, f"the object could not be read completely. {failure.value}"))


def make(settings: StoreSettings, options: Mapping[str, object], services: StoreServices) -> HttpStore:
    """See IStoreMaker."""
    path = f"stores.{settings.id}"
    structured = structure(HttpOptions, options, path)
    guard = Guard(structured.rules, path)
    tls = trust(services.data_folder / structured.ca_file, f"{path}.ca_file") if structured.ca_file else None
    limits = FetchLimits(structured.timeout, structured.redirects)
    return HttpStore(settings, guard, Fetcher(services.clock, guard, limits, tls))
