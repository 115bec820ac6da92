"""The client of one Image API: calls about images, and transfers of their data."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from attrs import evolve
from twisted.internet.threads import deferToThreadPool
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer

from imgsvc.client.answers import content_range, strong_etag
from imgsvc.client.body import Body
from imgsvc.client.calls import ImageCalls, image_path
from imgsvc.client.digests import MD5, SHA512
from imgsvc.client.downloads import CONNECTIONS, PIECE_SIZE, download_in_order, download_to_file, verify_file
from imgsvc.client.errors import BadResponse, NoData
from imgsvc.client.files import ThreadedFile, open_for_reading
from imgsvc.client.identity.access import make_access
from imgsvc.client.identity.login import Basic, Login, Nobody
from imgsvc.client.patience import Notice, no_notice
from imgsvc.client.producers import DigestingProducer, FileSource, Source, StreamSource
from imgsvc.client.progress import Progress, no_progress
from imgsvc.client.sending import send
from imgsvc.client.session import Session
from imgsvc.client.settling import settled
from imgsvc.client.transport import Transport
from imgsvc.client.uploads import upload_headers, upload_producer, upload_source
from imgsvc.client.urls import check_endpoint
from imgsvc.client.view import ImageView


class ImageClient(ImageCalls):
    """A client of one Image API v2.

    endpoint: a string, the URL of the service, as `http://127.0.0.1:9292`, with or without `/v2`. None: that of
    `login`, or the one in Keystone's catalogue.
    reactor: makes the connections and keeps the time; its threads read and write files and compute digests.
    token: a string, sent as X-Auth-Token. headers: strings by name, sent with every request.
    auth: a pair of strings, user and password for HTTP Basic.
    login: a Login, instead of token and auth. `find_login` makes one of OS_CLOUD or the other OS_* variables.
    agent: an IAgent that makes all requests except uploads, for tests and proxies.
    stall_limit: seconds of silence after which an answer or a transfer counts as interrupted.
    notice: a Notice, called before something is tried again, or waited for.

    It owns its connections: `close` it, or use it in `async with`. Every method raises Unreachable when there is no
    server, TransferInterrupted when an answer is cut off, RequestRefused when the server refuses, and BadResponse when
    the answer is not one of the Image API. With a login it also raises LoginRefused and NoImageEndpoint.
    """

    def __init__(
        self,
        endpoint: str | None,
        reactor: Any,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        login: Login | None = None,
        agent: IAgent | None = None,
        stall_limit: float = 60.0,
        notice: Notice = no_notice,
    ) -> None:
        """Raises ValueError: the endpoint is no URL, or there are two logins.

        Raises LoginUnusable: no URL is known. Raises LocalFileError: a file of `login.tls` cannot be used.
        """
        if endpoint is not None:
            check_endpoint(endpoint)
        if login is not None and (token is not None or auth is not None):
            raise ValueError("login cannot be given together with token or auth")
        who = login or Login(Nobody() if auth is None else Basic(*auth))
        sent = dict(headers or {})
        if token is not None:
            sent["X-Auth-Token"] = token
        self._reactor = reactor
        transport = Transport(
            reactor, agent=agent, connections=max(CONNECTIONS, 8), stall_limit=stall_limit, tls=who.tls
        )
        access = make_access(evolve(who, endpoint=endpoint or who.endpoint), transport)
        super().__init__(Session(access, transport, headers=sent, notice=notice))

    @property
    def endpoint(self) -> str | None:
        """The URL of the service, without `/v2`. None before the first request, if it is in Keystone's catalogue."""
        return self._session.endpoint

    async def close(self) -> None:
        """Close the idle connections."""
        await self._session.close()

    async def __aenter__(self) -> ImageClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def upload(
        self,
        image_id: str,
        source: str | os.PathLike[str] | AsyncIterator[bytes] | IBodyProducer,
        *,
        size: int | None = None,
        store: str | None = None,
        digests: Mapping[str, str] | None = None,
        retries: int = 0,
        progress: Progress = no_progress,
    ) -> ImageView:
        """Upload the data of an image, and compare what the server stored with what was sent.

        image_id: a string, the id of an image without data.
        source: a path; an asynchronous iterator of blocks of bytes of any length; or an IBodyProducer. The client
        computes digests of what a path or an iterator gives, but not of what a producer gives.
        size: bytes of the source, if it is a producer that does not tell them in `length`; None if not known.
        store: a string, one of `stores`; None for the default store.
        digests: hex strings by hashlib's name, known beforehand. sha256 and sha512 are announced in Repr-Digest
        (RFC 9530), and all of them are compared.
        retries: how often in a row the upload of a path is begun again when it was interrupted.
        progress: a Progress.

        When the connection breaks, the client asks for the image to find out whether the upload is complete, also
        while the server restarts. Returns the image. Raises NoSuchStore, LocalFileError, and VerificationFailed if the
        server stored other bytes.
        """
        known = {algorithm: value.lower() for algorithm, value in (digests or {}).items()}
        if store is not None:
            await self.check_store(store)

        async def settle() -> ImageView:
            return await settled(lambda: self.show(image_id), clock=self._session.clock, notice=self._session.notice)

        async def put(producer: IBodyProducer) -> None:
            length = size if producer.length is UNKNOWN_LENGTH else producer.length
            headers = upload_headers(length, store, known)
            path = image_path(image_id) + "/file"
            await send(self._session, path, producer, headers=headers)

        def begin(source: Source) -> DigestingProducer:
            moved: Callable[[int], None] = lambda sent: progress("upload", sent, source.size)  # noqa: E731
            return DigestingProducer(source, self._run, {MD5, SHA512, *known}, moved)

        if isinstance(source, AsyncIterator):
            stream = StreamSource(source, "the source")
            return await upload_source(put, settle, lambda: begin(stream), known=known, patience=None)
        if not isinstance(source, (str, os.PathLike)):
            length = size if source.length is UNKNOWN_LENGTH else source.length
            return await upload_producer(put, settle, source, length, known)
        path = os.fspath(source)
        fd, whole = await self._run(open_for_reading, path)
        file = ThreadedFile(path, fd, self._run)
        patience = self._session.patience(retries) if retries else None
        try:
            return await upload_source(
                put, settle, lambda: begin(FileSource(file, whole)), known=known, patience=patience, rereadable=True
            )
        finally:
            file.close()

    async def open_range(
        self, image_id: str, start: int = 0, length: int | None = None, *, if_range: str | None = None
    ) -> Body:
        """Download a range of the data of an image.

        image_id: a string. start: offset in bytes of the first byte. length: number of bytes; None for all that follow.
        if_range: a string, a strong entity tag. If the data have another one, the server sends all data.

        Returns a Body. Iterate it to its end, or close it. A server that cannot send ranges sends all data: look at
        `Body.start`. Raises NoData if the image has none.
        """
        headers = {"Accept": "application/octet-stream"}
        if start or length is not None:
            headers["Range"] = f"bytes={start}-" if length is None else f"bytes={start}-{start + length - 1}"
            if if_range is not None:
                headers["If-Range"] = if_range
        response = await self._session.request("GET", image_path(image_id) + "/file", headers=headers)
        if response.code not in (200, 204, 206):
            raise await self._session.refusal(response)
        body = self._session.body(response)
        try:
            if response.code == 204:
                raise NoData(image_id, "without data")
            body.etag = strong_etag(response)
            if response.code == 206:
                body.whole = False
                body.start, _, body.total = content_range(response)
            elif response.length is not UNKNOWN_LENGTH:
                body.total = response.length
        except (NoData, BadResponse):
            body.close()
            raise
        return body

    async def download(
        self,
        image: str | ImageView,
        path: str | os.PathLike[str],
        *,
        connections: int = CONNECTIONS,
        piece_size: int = PIECE_SIZE,
        resume: bool = False,
        progress: Progress = no_progress,
    ) -> str | None:
        """Download the data of an image into a file, which is replaced when the new one is complete and verified.

        image: a string, the id, or an ImageView. path: of the file. connections: number of connections at once.
        piece_size: bytes of one request. resume: whether to go on with what an earlier call left in `path`.part, if the
        data of the image are still the same. progress: a Progress.

        Returns the name of the digest that was compared with that of the server, None if the server gives none. Raises
        NoData, LocalFileError, and VerificationFailed (the file is kept as `path`.bad).
        """
        if connections < 1 or piece_size < 1:
            raise ValueError("connections and piece_size must be positive")
        return await download_to_file(
            self,
            await self._view(image),
            os.fspath(path),
            patience=self._session.patience,
            run=self._run,
            connections=connections,
            piece_size=piece_size,
            resume=resume,
            progress=progress,
        )

    async def stream(
        self,
        image: str | ImageView,
        write: Callable[[bytes], Awaitable[None]],
        *,
        progress: Progress = no_progress,
    ) -> str | None:
        """Download the data of an image in order, from the first byte to the last.

        image: a string, the id, or an ImageView. write: called with each block of bytes, when its result for the block
        before is there. progress: a Progress.

        When the connection breaks, the download goes on where it broke. Returns and raises the same as `download`. The
        digest is compared after the last block: throw away what was written if VerificationFailed is raised.
        """
        view = await self._view(image)
        return await download_in_order(
            self, view, write, patience=self._session.patience, run=self._run, progress=progress
        )

    async def verify(
        self, image: str | ImageView, path: str | os.PathLike[str], *, progress: Progress = no_progress
    ) -> str | None:
        """Compare a file with the digest of an image. Downloads nothing.

        image: a string, the id, or an ImageView. path: of the file. progress: a Progress.

        Returns the name of the digest if it matches. Returns None if it does not, if there is no such file, and if the
        server gives no digest. Raises NoData, and LocalFileError if the file cannot be read.
        """
        return await verify_file(await self._view(image), os.fspath(path), run=self._run, progress=progress)

    async def _view(self, image: str | ImageView) -> ImageView:
        return image if isinstance(image, ImageView) else await self.show(image)

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function, *arguments)
