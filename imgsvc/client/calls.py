"""The Image API's calls about images: everything but their data."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from imgsvc.client.errors import AmbiguousName, BadResponse, NoSuchImage, NoSuchStore, RequestRefused
from imgsvc.client.session import Session
from imgsvc.client.view import BASE_FIELDS, ImageView, MemberView
from imgsvc.model import MemberStatus

PATCH_TYPE: Final = "application/openstack-images-v2.1-json-patch"
COLLECTION: Final = "/v2/images"


class ImageCalls:
    """Calls of one Image API v2.

    session: makes the requests. Every method raises Unreachable when there is no server, TransferInterrupted when an
    answer is cut off, RequestRefused when the server refuses, and BadResponse when the answer is not one of the Image
    API.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    async def create(self, **fields: Any) -> ImageView:
        """A new image, without data. fields: of the image, custom properties among them."""
        return ImageView.from_document(await self._collection("POST", COLLECTION, fields))

    async def show(self, image_id: str) -> ImageView:
        """The image of that id. Raises RequestRefused 404."""
        return ImageView.from_document(await self._session.document("GET", image_path(image_id)))

    async def find(self, id_or_name: str, **filters: str) -> ImageView:
        """The image of that id; if there is none, the one of that name. Raises NoSuchImage, AmbiguousName.

        filters: of the list that is searched for the name (Image API, list parameters).
        """
        try:
            return await self.show(id_or_name)
        except RequestRefused as refusal:
            if refusal.status not in (400, 403, 404):
                raise
        images = self.images(None, name=exactly(id_or_name), **filters)
        found = [image async for image in images if image.name == id_or_name]
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
        path = COLLECTION + (f"?{query}" if query else "")
        seen = set()
        while path not in seen:
            seen.add(path)
            page = await self._collection("GET", path)
            if not isinstance(page, dict) or not isinstance(page.get("images"), list):
                raise BadResponse("The server's answer is no list of images.")
            for document in page["images"]:
                yield ImageView.from_document(document)
            if not page["images"] or not page.get("next"):
                return
            # Only the path counts: credentials go to no other host.
            following = urlsplit(str(page["next"]))
            path = f"{following.path}?{following.query}"
        raise BadResponse("The server's list of images leads back to itself.")

    async def update(self, image_id: str, remove: Iterable[str] = (), /, **fields: Any) -> ImageView:
        """Set fields of an image, custom properties among them; the image as it is then. All are set, or none.

        remove: custom properties that it shall have no more; RequestRefused 409 if it does not have one of them.
        """
        operations = [
            {"op": "replace" if key in BASE_FIELDS else "add", "path": "/" + _pointer(key), "value": value}
            for key, value in fields.items()
        ] + [{"op": "remove", "path": "/" + _pointer(key)} for key in remove]
        document = await self._session.document("PATCH", image_path(image_id), operations, PATCH_TYPE)
        return ImageView.from_document(document)

    async def delete(self, image_id: str) -> None:
        """Delete an image and its data."""
        await self._session.document("DELETE", image_path(image_id))

    async def add_tag(self, image_id: str, tag: str) -> None:
        """Give an image one more tag; nothing if it has it."""
        await self._session.document("PUT", _tag_path(image_id, tag))

    async def remove_tag(self, image_id: str, tag: str) -> None:
        """Take a tag from an image. RequestRefused 404 if it does not have it."""
        await self._session.document("DELETE", _tag_path(image_id, tag))

    async def deactivate(self, image_id: str) -> None:
        """Withhold the data of an active image, from all but administrators; nothing if they are already."""
        await self._session.document("POST", f"{image_path(image_id)}/actions/deactivate")

    async def reactivate(self, image_id: str) -> None:
        """Give the data of a deactivated image again; nothing if it is active."""
        await self._session.document("POST", f"{image_path(image_id)}/actions/reactivate")

    async def members(self, image_id: str) -> list[MemberView]:
        """The projects that an image is shared with: all of them for its owner, for each of them only itself."""
        document = await self._session.document("GET", f"{image_path(image_id)}/members")
        if not isinstance(document, dict) or not isinstance(document.get("members"), list):
            raise BadResponse("The server's answer is no list of members.")
        return [MemberView.from_document(member) for member in document["members"]]

    async def share(self, image_id: str, project: str) -> MemberView:
        """Share an image with a project, which can accept or reject it then.

        Raises RequestRefused 409 if the image is shared with that project already.
        """
        body = {"member": project}
        return MemberView.from_document(await self._session.document("POST", f"{image_path(image_id)}/members", body))

    async def unshare(self, image_id: str, project: str) -> None:
        """Share an image with a project no more. RequestRefused 404 if it was not shared with it."""
        await self._session.document("DELETE", _member_path(image_id, project))

    async def answer_share(self, image_id: str, project: str, status: MemberStatus) -> MemberView:
        """Say for a project what it thinks of an image that is shared with it: accepted ones are in its lists."""
        body = {"status": str(status)}
        return MemberView.from_document(await self._session.document("PUT", _member_path(image_id, project), body))

    async def stores(self) -> list[dict[str, Any]]:
        """The stores that an image can be put into; empty when the server has only one."""
        try:
            document = await self._session.document("GET", "/v2/info/stores")
        except RequestRefused as refusal:
            if refusal.status == 404:
                return []
            raise
        if not isinstance(document, dict) or not isinstance(document.get("stores"), list):
            raise BadResponse("The server's answer is no list of stores.")
        return list(document["stores"])

    async def check_store(self, store: str) -> None:
        """Raise NoSuchStore unless images can be put into that store by name.

        A server with one store does not look at the name, and would take the image anyway.
        """
        names = [str(each.get("id")) for each in await self.stores() if each.get("read-only") != "true"]
        if store not in names:
            raise NoSuchStore(store, names)

    async def info(self) -> dict[str, Any]:
        """What `/v2/info/import` tells: the import methods of the server."""
        return dict(await self._session.document("GET", "/v2/info/import"))

    async def _collection(self, method: str, path: str, body: Any = None) -> Any:
        """The answer to a request for all images: where they are not found, there is no Image API."""
        try:
            return await self._session.document(method, path, body)
        except RequestRefused as refusal:
            if refusal.status not in (404, 405, 501):
                raise
            answer = f"it answers {refusal.status} to {method} {COLLECTION}."
            raise BadResponse(f"There is no Image API at {self._session.endpoint}: {answer}") from refusal


def image_path(image_id: str) -> str:
    """The path of an image."""
    return f"{COLLECTION}/{quote(image_id, safe='')}"


def exactly(name: str) -> str:
    """What a filter by name must be for this very name: what stands before a colon is taken for an operator."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'in:"{escaped}"' if ":" in name else name


def _tag_path(image_id: str, tag: str) -> str:
    return f"{image_path(image_id)}/tags/{quote(tag, safe='')}"


def _member_path(image_id: str, project: str) -> str:
    return f"{image_path(image_id)}/members/{quote(project, safe='')}"


def _pointer(key: str) -> str:
    """A key in a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")
