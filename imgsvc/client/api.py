"""The client of one Image API: calls about images, and transfers of their data."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from twisted.internet.threads import deferToThreadPool
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer

from imgsvc.client.answers import content_range, strong_etag
from imgsvc.client.body import Body
from imgsvc.client.calls import ImageCalls, image_path
from imgsvc.client.digests import MD5, SHA512
from imgsvc.client.downloads import CONNECTIONS, PIECE_SIZE, download_in_order, download_to_file, verify_file
from imgsvc.client.errors import BadResponse, NoData
from imgsvc.client.files import ThreadedFile, open_for_reading
from imgsvc.client.patience import Notice, no_notice
from imgsvc.client.producers import DigestingProducer, FileSource, Source, StreamSource
from imgsvc.client.progress import Progress, no_progress
from imgsvc.client.sending import send
from imgsvc.client.session import Session
from imgsvc.client.settling import settled
from imgsvc.client.uploads import upload_headers, upload_producer, upload_source
from imgsvc.client.view import ImageView


class ImageClient(ImageCalls):
    """A client of one Image API v2.

    endpoint: URL of the service, as `http://127.0.0.1:9292`, with or without its version. reactor: makes the
    connections, keeps the time, and lends its threads for disk and digests. token: sent as X-Auth-Token.
    headers: sent with every request. auth: (user, password) for HTTP Basic. agent: an IAgent that makes all
    requests but uploads, for tests and proxies. stall_limit: seconds of silence after which an answer or a
    transfer counts as broken. notice: told when something is tried again after a pause, and why.

    It owns its connections: `close` it, or use it in `async with`. Every method raises Unreachable when there is no
    server, TransferInterrupted when an answer is cut off, RequestRefused when the server refuses, and BadResponse when
    the answer is not one of the Image API.
    """

    def __init__(
        self,
        endpoint: str,
        reactor: Any,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        agent: IAgent | None = None,
        stall_limit: float = 60.0,
        notice: Notice = no_notice,
    ) -> None:
        sent = dict(headers or {})
        if token is not None:
            sent["X-Auth-Token"] = token
        self._reactor = reactor
        super().__init__(
            Session(
                endpoint,
                reactor,
                headers=sent,
                auth=auth,
                agent=agent,
                connections=max(CONNECTIONS, 8),
                stall_limit=stall_limit,
                notice=notice,
            )
        )

    @property
    def endpoint(self) -> str:
        """The URL before `/v2`."""
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
        """Give an image its data; the image as it is then, after its size and digests were compared.

        source: a path; blocks of bytes of any length, whose size need not be known; or a producer of the bytes, which
        are not digested here. size: of a producer's bytes if it knows them and does not say so in `length`. store:
        where to; it must be one of `stores`. digests: hex by hashlib's name, known beforehand; sha256 and sha512
        are announced in Repr-Digest, and all of them are compared. retries: how often in a row an upload of a path
        that broke is begun again.

        Whether an upload whose connection broke is done, the image itself tells: it is asked, also while the server
        starts again. Raises NoSuchStore, LocalFileError, VerificationFailed when the server stored something else.
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
            await send(self._session, path, producer, headers=headers, reactor=self._reactor)

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
                put, settle, lambda: begin(FileSource(file, whole)), known=known, patience=patience
            )
        finally:
            file.close()

    async def open_range(
        self, image_id: str, start: int = 0, length: int | None = None, *, if_range: str | None = None
    ) -> Body:
        """The image's bytes from `start` on, `length` of them or all that follow; iterate the Body or close it.

        A server that cannot give ranges sends everything: see the Body's `start`. if_range: the entity tag that
        the data must still have; else everything is sent. Raises NoData when the image has none.
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
        """Fetch an image's data into the file `path`, which is replaced when the new one is whole and verified.

        image: id or view. connections: at once. piece_size: bytes of one request. resume: go on with what an
        earlier call left in `path`.part, if the image's data are still the same.

        The name of the digest that was compared with the server's; None when it gives none. Raises NoData,
        VerificationFailed (the file is kept as `path`.bad), LocalFileError.
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
        """Give an image's data to `write` in order, one block at a time, each when the one before is done.

        A broken connection is taken up where it broke. The result is as of download, but the digest is compared
        when `write` has had all bytes: after VerificationFailed they are to be thrown away.
        """
        view = await self._view(image)
        return await download_in_order(
            self, view, write, patience=self._session.patience, run=self._run, progress=progress
        )

    async def verify(
        self, image: str | ImageView, path: str | os.PathLike[str], *, progress: Progress = no_progress
    ) -> str | None:
        """The name of the digest by which the file `path` holds the image's data; None if it cannot be told to.

        So it is when the file is not there or is another one, and when the server gives no digest. Raises NoData, and
        LocalFileError when the file cannot be read.
        """
        return await verify_file(await self._view(image), os.fspath(path), run=self._run, progress=progress)

    async def _view(self, image: str | ImageView) -> ImageView:
        return image if isinstance(image, ImageView) else await self.show(image)

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function, *arguments)
