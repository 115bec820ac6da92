"""Responses with one image or a page of images, of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import define, evolve
from twisted.internet.defer import CancelledError, Deferred

from imgsvc.interfaces import IAnswers, IReservation
from imgsvc.model import LARGEST_PAGE, Caller, Image, ImagePage
from imgsvc.operations.images import Images
from imgsvc.web.image_renderer import ImageRenderer
from imgsvc.web.large import SMALL, LargeResponse, array_pieces, encode, object_pieces
from imgsvc.web.listing import AskedList
from imgsvc.web.render import answer_json
from imgsvc.web.request import StreamingRequest

LARGE_IMAGE = 32 << 10
"""An image with more characters of properties and locations gets a large response."""


@define
class ImageResponses:
    """Makes responses with images.

    A large response waits until there is memory for it. The images that were read are dropped meanwhile, and read
    again.
    """

    images: Images
    renderer: ImageRenderer
    answers: IAnswers

    async def one(
        self, request: StreamingRequest, caller: Caller, image: Image, status: int = 200
    ) -> bytes | LargeResponse:
        """The response with one image. Raises NoSuchImage: a large image was deleted while its response waited for
        memory.
        """
        size = _weight(image)
        if size <= LARGE_IMAGE:
            return answer_json(request, self.renderer.document(caller, image), status)
        image_id = image.id
        del image
        reservation = await self.answers.reserve(SMALL + size)
        try:
            image = await self.images.show(caller, image_id)
            return LargeResponse(object_pieces(self.renderer.document(caller, image)), reservation, status)
        except BaseException:
            reservation.close()
            raise

    async def page(self, request: StreamingRequest, asked: AskedList) -> bytes | LargeResponse:
        """The response with a page of images. If there is no memory for a large page, try first whether the page is
        small.
        """
        reserving = self.answers.reserve(LARGEST_PAGE)
        if not reserving.called:
            answer = await self._small(request, asked, reserving)
            if answer is not None:
                return answer
        reservation = await reserving
        try:
            page = await self.images.list(asked.query)
            if page.size > SMALL:
                document = self._document(asked, page, self._pieces(asked.query.caller, page.images))
                return LargeResponse(object_pieces(document), reservation)
        except BaseException:
            reservation.close()
            raise
        reservation.close()
        return self._whole(request, asked, page)

    async def _small(
        self, request: StreamingRequest, asked: AskedList, reserving: Deferred[IReservation]
    ) -> bytes | None:
        """The response with the page if it is small, else None. A small page does not need the reservation, and cancels
        it.
        """
        unwanted = True
        try:
            page = await self.images.list(evolve(asked.query, size=SMALL, begins=False))
            unwanted = not page.cut
            return self._whole(request, asked, page) if unwanted else None
        finally:
            if unwanted:
                reserving.addCallbacks(_close, lambda failure: failure.trap(CancelledError) and None)
                reserving.cancel()

    def _whole(self, request: StreamingRequest, asked: AskedList, page: ImagePage) -> bytes:
        images = [self.renderer.document(asked.query.caller, image) for image in page.images]
        return answer_json(request, self._document(asked, page, images))

    def _document(self, asked: AskedList, page: ImagePage, images: object) -> dict[str, Any]:
        document = {"images": images, "first": asked.link(None), "schema": "/v2/schemas/images"}
        if page.next_marker is not None:
            document["next"] = asked.link(page.next_marker)
        return document

    def _pieces(self, caller: Caller, images: Sequence[Image]) -> Iterator[str]:
        return array_pieces(
            object_pieces(self.renderer.document(caller, image))
            if _weight(image) > LARGE_IMAGE
            else iter((encode(self.renderer.document(caller, image)),))
            for image in images
        )


def _close(reservation: IReservation) -> None:
    reservation.close()


def _weight(image: Image) -> int:
    """Characters of the properties and locations of an image."""
    return sum(map(len, image.properties.values())) + sum(
        len(location.url) + sum(map(len, location.metadata.values())) for location in image.locations
    )
