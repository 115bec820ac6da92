"""Calls of the Image API about images, except for transfers of their data."""

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

    session: a Session, which makes the requests.

    Every method raises Unreachable when there is no server, TransferInterrupted when an
    answer is cut off, RequestRefused when the server refuses, and BadResponse when the answer is not one of the Image
    API.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    async def create(self, **fields: Any) -> ImageView:
        """Make an image without data.

        fields: JSON values by name, the fields and custom properties of the image.

        Returns the new image.
        """
        return ImageView.from_document(await self._collection("POST", COLLECTION, fields))

    async def show(self, image_id: str) -> ImageView:
        """Ask for one image.

        image_id: a string, the id of the image.

        Returns the image. Raises RequestRefused 404 if no image has that id.
        """
        return ImageView.from_document(await self._session.document("GET", image_path(image_id)))

    async def find(self, id_or_name: str, **filters: str) -> ImageView:
        """Find an image by its id or, if no image has that id, by its name.

        id_or_name: a string. filters: strings by name, parameters of the list that is searched for the name (Image API,
        list parameters).

        Returns the image. Raises NoSuchImage; AmbiguousName if several images have the name.
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
        """List the images that pass all filters. A page is fetched when the loop gets to it.

        page_size: number of images in a page; None for the default of the server. filters: strings or lists of strings
        by name (Image API, list parameters). The parameter of a list is sent once for each of its values.

        Returns an asynchronous iterator of images.
        """
        query = urlencode({**filters, **({"limit": page_size} if page_size else {})}, doseq=True, quote_via=quote)
        path = COLLECTION + (f"?{query}" if query else "")
        seen = set()
        while path not in seen:
            seen.add(path)
            page = await self._collection("GET", path)
            if not isinstance(page, dict) or not isinstance(page.get("images"), list):
                raise BadResponse("The answer of the server is not a list of images.")
            for document in page["images"]:
                yield ImageView.from_document(document)
            if not page["images"] or not page.get("next"):
                return
            # Only the path is used: the credentials must not go to another host.
            following = urlsplit(str(page["next"]))
            path = f"{following.path}?{following.query}"
        raise BadResponse("The list of images never ends: a page names an earlier page as the next one.")

    async def update(self, image_id: str, remove: Iterable[str] = (), /, **fields: Any) -> ImageView:
        """Change fields and custom properties of an image: all of them, or none if the server refuses one.

        image_id: a string. remove: names of custom properties to remove. fields: JSON values by name, the fields and
        custom properties to set.

        Returns the changed image. Raises RequestRefused 409 if the image lacks a property of `remove`.
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
        """Add a tag to an image. Does nothing if the image has that tag.

        image_id: a string. tag: a string of up to 255 characters.
        """
        await self._session.document("PUT", _tag_path(image_id, tag))

    async def remove_tag(self, image_id: str, tag: str) -> None:
        """Remove a tag from an image.

        image_id: a string. tag: a string. Raises RequestRefused 404 if the image does not have that tag.
        """
        await self._session.document("DELETE", _tag_path(image_id, tag))

    async def deactivate(self, image_id: str) -> None:
        """Withhold the data of an active image from everybody except administrators.

        image_id: a string. Does nothing if the image is deactivated already.
        """
        await self._session.document("POST", f"{image_path(image_id)}/actions/deactivate")

    async def reactivate(self, image_id: str) -> None:
        """Let the data of a deactivated image be downloaded again.

        image_id: a string. Does nothing if the image is active.
        """
        await self._session.document("POST", f"{image_path(image_id)}/actions/reactivate")

    async def members(self, image_id: str) -> list[MemberView]:
        """List the projects that an image is shared with. The owner sees all of them, a member only itself.

        image_id: a string.
        """
        document = await self._session.document("GET", f"{image_path(image_id)}/members")
        if not isinstance(document, dict) or not isinstance(document.get("members"), list):
            raise BadResponse("The answer of the server is not a list of members.")
        return [MemberView.from_document(member) for member in document["members"]]

    async def share(self, image_id: str, project: str) -> MemberView:
        """Share an image with a project, which can accept or reject it then.

        image_id: a string. project: a string, the id of the project.

        Returns the new member. Raises RequestRefused 409 if the image is shared with that project already.
        """
        body = {"member": project}
        return MemberView.from_document(await self._session.document("POST", f"{image_path(image_id)}/members", body))

    async def unshare(self, image_id: str, project: str) -> None:
        """Stop sharing an image with a project.

        image_id: a string. project: a string, the id of the project. Raises RequestRefused 404 if the image is not
        shared with that project.
        """
        await self._session.document("DELETE", _member_path(image_id, project))

    async def answer_share(self, image_id: str, project: str, status: MemberStatus) -> MemberView:
        """Answer for a project to which an image was offered. Accepted images are in the lists of the project.

        image_id: a string. project: a string, the id of the project that answers. status: a MemberStatus, the answer.

        Returns the changed member.
        """
        body = {"status": str(status)}
        return MemberView.from_document(await self._session.document("PUT", _member_path(image_id, project), body))

    async def stores(self) -> list[dict[str, Any]]:
        """List the stores of the server (Image API, `/v2/info/stores`).

        Returns a dictionary for each store, as the server gives it; an empty list when the server has only one store.
        """
        try:
            document = await self._session.document("GET", "/v2/info/stores")
        except RequestRefused as refusal:
            if refusal.status == 404:
                return []
            raise
        if not isinstance(document, dict) or not isinstance(document.get("stores"), list):
            raise BadResponse("The answer of the server is not a list of stores.")
        return list(document["stores"])

    async def check_store(self, store: str) -> None:
        """Make sure that an upload can name a store. A server with one store would ignore a wrong name.

        store: a string, the id of the store. Raises NoSuchStore.
        """
        names = [str(each.get("id")) for each in await self.stores() if each.get("read-only") != "true"]
        if store not in names:
            raise NoSuchStore(store, names)

    async def info(self) -> dict[str, Any]:
        """Ask for the import methods of the server. Returns the answer of `/v2/info/import`, a dictionary."""
        return dict(await self._session.document("GET", "/v2/info/import"))

    async def _collection(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request about the collection of images. If that path does not exist, there is no Image API."""
        try:
            return await self._session.document(method, path, body)
        except RequestRefused as refusal:
            if refusal.status not in (404, 405, 501):
                raise
            answer = f"it answers {refusal.status} to {method} {COLLECTION}."
            raise BadResponse(f"There is no Image API at {self._session.endpoint}: {answer}") from refusal


def image_path(image_id: str) -> str:
    """Make the path of an image below the endpoint. image_id: a string, which is quoted."""
    return f"{COLLECTION}/{quote(image_id, safe='')}"


def exactly(name: str) -> str:
    """Make the value of a list filter that matches one name exactly.

    name: a string. The server takes the text before a colon for an operator, so a name with a colon is quoted.
    """
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'in:"{escaped}"' if ":" in name else name


def _tag_path(image_id: str, tag: str) -> str:
    return f"{image_path(image_id)}/tags/{quote(tag, safe='')}"


def _member_path(image_id: str, project: str) -> str:
    return f"{image_path(image_id)}/members/{quote(project, safe='')}"


def _pointer(key: str) -> str:
    """Escape a key for a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")
