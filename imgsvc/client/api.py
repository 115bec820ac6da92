"""The Image API, as calls."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from twisted.internet.threads import deferToThreadPool
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer

from imgsvc.client.answers import content_range, strong_etag
from imgsvc.client.body import Body
from imgsvc.client.digests import MD5, SHA512
from imgsvc.client.downloads import CONNECTIONS, PIECE_SIZE, download_in_order, download_to_file
from imgsvc.client.errors import AmbiguousName, Malformed, NoData, NoSuchImage, Refused
from imgsvc.client.files import ThreadedFile, open_for_reading
from imgsvc.client.progress import Progress, no_progress
from imgsvc.client.session import Session
from imgsvc.client.uploads import FileProducer, check_upload, send, upload_headers
from imgsvc.client.view import BASE_FIELDS, ImageView

PATCH_TYPE: Final = "application/openstack-images-v2.1-json-patch"


class ImageClient:
    """A client of one Image API v2.

    endpoint: URL of the service, as `http://127.0.0.1:9292`, with or without its version. reactor: makes the
    connections, keeps the time, and lends its threads for disk and digests. token: sent as X-Auth-Token.
    headers: sent with every request. auth: (user, password) for HTTP Basic. agent: an IAgent that makes all
    requests but uploads, for tests and proxies. stall_limit: seconds of silence after which an answer or a
    transfer counts as broken.

    Owns its connections: `close` it, or use it in `async with`. Every method raises Unreachable when there is
    no server, Broken when an answer is cut off, Refused when the server says no, Malformed when what it says
    is no Image API.
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
    ) -> None:
        sent = dict(headers or {})
        if token is not None:
            sent["X-Auth-Token"] = token
        self._reactor = reactor
        self._session = Session(
            endpoint,
            reactor,
            headers=sent,
            auth=auth,
            agent=agent,
            connections=max(CONNECTIONS, 8),
            stall_limit=stall_limit,
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

    async def create(self, **fields: Any) -> ImageView:
        """A new image, without data. fields: of the image, custom properties among them."""
        return ImageView.from_document(await self._session.document("POST", "/v2/images", fields))

    async def show(self, image_id: str) -> ImageView:
        """The image of that id. Raises Refused 404."""
        return ImageView.from_document(await self._session.document("GET", _image_path(image_id)))

    async def find(self, id_or_name: str) -> ImageView:
        """The image of that id; if there is none, the one of that name. Raises NoSuchImage, AmbiguousName."""
        try:
            return await self.show(id_or_name)
        except Refused as refusal:
            if refusal.status not in (400, 403, 404):
                raise
        # Anything before a colon is taken for an operator, so a name with one is sent as a quoted list of one.
        escaped = id_or_name.replace("\\", "\\\\").replace('"', '\\"')
        wanted = f'in:"{escaped}"' if ":" in id_or_name else id_or_name
        found = [image async for image in self.images(name=wanted) if image.name == id_or_name]
        if not found:
            raise NoSuchImage(id_or_name)
        if len(found) > 1:
            raise AmbiguousName(id_or_name, [image.id for image in found])
        return found[0]

    async def images(self, page_size: int | None = None, **filters: str | list[str]) -> AsyncIterator[ImageView]:
        """All images that pass the filters (Image API, list parameters), page after page as they are asked for.

        page_size: images in a page; the server's default if None. A filter's list is sent once for each value.
        """
        query = urlencode({**filters, **({"limit": page_size} if page_size else {})}, doseq=True, quote_via=quote)
        path = "/v2/images" + (f"?{query}" if query else "")
        seen = set()
        while path not in seen:
            seen.add(path)
            page = await self._session.document("GET", path)
            if not isinstance(page, dict) or not isinstance(page.get("images"), list):
                raise Malformed("The server's answer is no list of images.")
            for document in page["images"]:
                yield ImageView.from_document(document)
            if not page["images"] or not page.get("next"):
                return
            # Only the path counts: credentials go to no other host.
            following = urlsplit(str(page["next"]))
            path = f"{following.path}?{following.query}"
        raise Malformed("The server's list of images leads back to itself.")

    async def update(self, image_id: str, remove: Iterable[str] = (), /, **fields: Any) -> ImageView:
        """Set fields of an image, custom properties among them; the image as it is then. All are set, or none.

        remove: custom properties that it shall have no more; Refused 409 if it does not have one of them.
        """
        operations = [
            {"op": "replace" if key in BASE_FIELDS else "add", "path": "/" + _pointer(key), "value": value}
            for key, value in fields.items()
        ] + [{"op": "remove", "path": "/" + _pointer(key)} for key in remove]
        document = await self._session.document("PATCH", _image_path(image_id), operations, PATCH_TYPE)
        return ImageView.from_document(document)

    async def delete(self, image_id: str) -> None:
        """Delete an image and its data."""
        await self._session.document("DELETE", _image_path(image_id))

    async def add_tag(self, image_id: str, tag: str) -> None:
        """Give an image one more tag; nothing if it has it."""
        await self._session.document("PUT", _tag_path(image_id, tag))

    async def remove_tag(self, image_id: str, tag: str) -> None:
        """Take a tag from an image. Refused 404 if it does not have it."""
        await self._session.document("DELETE", _tag_path(image_id, tag))

    async def stores(self) -> list[dict[str, Any]]:
        """The stores that an image can be put into; empty when the server has only one."""
        try:
            document = await self._session.document("GET", "/v2/info/stores")
        except Refused as refusal:
            if refusal.status == 404:
                return []
            raise
        return list(document["stores"])

    async def info(self) -> dict[str, Any]:
        """What `/v2/info/import` tells: the import methods of the server."""
        return dict(await self._session.document("GET", "/v2/info/import"))

    async def upload(
        self,
        image_id: str,
        source: str | os.PathLike[str] | IBodyProducer,
        *,
        size: int | None = None,
        store: str | None = None,
        digests: Mapping[str, str] | None = None,
        progress: Progress = no_progress,
    ) -> ImageView:
        """Give an image its data; the image as it is then, after its size and digests were compared.

        source: a path, or a producer of the bytes. size: of a producer's bytes if it knows them and does not
        say so in `length`. store: where to. digests: hex by hashlib's name, known beforehand; sha256 and sha512
        are announced in Repr-Digest, and all of them are compared.

        Raises VerificationFailed when the server stored something else, LocalFileError.
        """
        known = {algorithm: value.lower() for algorithm, value in (digests or {}).items()}
        if not isinstance(source, (str, os.PathLike)):
            length = size if source.length is UNKNOWN_LENGTH else source.length
            await self._send(image_id, source, upload_headers(length, store, known))
            image = await self.show(image_id)
            if length is not None:
                check_upload(image, length, known)
            return image
        path = os.fspath(source)
        fd, size = await self._run(open_for_reading, path)
        file, whole = ThreadedFile(path, fd, self._run), size
        producer = FileProducer(
            file, whole, self._run, {MD5, SHA512, *known}, lambda sent: progress("upload", sent, whole)
        )
        try:
            await self._send(image_id, producer, upload_headers(size, store, known))
        finally:
            file.close()
        image = await self.show(image_id)
        check_upload(image, whole, {**producer.digests})
        return image

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
        response = await self._session.request("GET", _image_path(image_id) + "/file", headers=headers)
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
        except (NoData, Malformed):
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
            clock=self._session.clock,
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
        return await download_in_order(self, view, write, clock=self._session.clock, run=self._run, progress=progress)

    async def _view(self, image: str | ImageView) -> ImageView:
        return image if isinstance(image, ImageView) else await self.show(image)

    async def _send(self, image_id: str, producer: IBodyProducer, headers: Mapping[str, str]) -> None:
        path = _image_path(image_id) + "/file"
        await send(self._session, path, producer, headers=headers, reactor=self._reactor)

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function, *arguments)


def _image_path(image_id: str) -> str:
    return "/v2/images/" + quote(image_id, safe="")


def _tag_path(image_id: str, tag: str) -> str:
    return f"{_image_path(image_id)}/tags/{quote(tag, safe='')}"


def _pointer(key: str) -> str:
    """A key in a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")
