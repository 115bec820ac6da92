"""Sends requests to one Image API, with the headers that say who asks. Failures are ClientErrors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from twisted.web.iweb import IAgent, IBodyProducer, IResponse

from imgsvc.client.answers import header, printable
from imgsvc.client.body import Body
from imgsvc.client.errors import BadResponse, RequestRefused, TokenRefused, TransferInterrupted, Unreachable
from imgsvc.client.identity.grants import Access
from imgsvc.client.patience import Notice, Patience, no_notice
from imgsvc.client.transport import Service, Transport

IMAGE_API: Final = "the Image API"
DOCUMENT_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a JSON answer that are read."""
ELSEWHERE: Final = (301, 302, 303, 307, 308)
"""Status codes of redirects."""


class Session:
    """One Image API, and the right to use it.

    access: gives the URL of the Image API, with or without `/v2`, and the headers that say who asks. transport: makes
    the requests; the session owns it. headers: strings by name, sent with every request. notice: a Notice, called
    before something is tried again.
    """

    def __init__(
        self, access: Access, transport: Transport, *, headers: Mapping[str, str], notice: Notice = no_notice
    ) -> None:
        self.clock = transport.clock
        self.stall_limit = transport.stall_limit
        self.notice = notice
        self.transport = transport
        self._access = access
        self._headers = dict(headers)
        self._answered = False

    @property
    def endpoint(self) -> str | None:
        """The URL of the Image API, without `/v2`; None as long as it was not looked up."""
        endpoint = self._access.endpoint
        return None if endpoint is None else _root(endpoint)

    async def close(self) -> None:
        """Close the idle connections."""
        await self.transport.close()

    def patience(self, retries: int | None = None) -> Patience:
        """Make a Patience for one call. retries: most tries in a row after the first; None for the default."""
        return Patience(self.clock, self.notice) if retries is None else Patience(self.clock, self.notice, retries)

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | IBodyProducer | None = None,
        agent: IAgent | None = None,
        answer_limit: float | None = None,
    ) -> IResponse:
        """Send a request, and wait for the headers of the answer.

        path: a string below the endpoint, with its query. headers: strings by name, sent beside those of the session.
        The others are those of Transport.request.

        If the server refuses a token that can be renewed (401), it is renewed. The request is sent again with the new
        one, but not if `data` is a producer, whose bytes may be there only once.

        Returns the response, whatever its status is; its body is not read. Raises Unreachable, TransferInterrupted,
        BadResponse; LoginRefused and NoImageEndpoint; TokenRefused if `data` is a producer.
        """
        for is_last in (False, True):
            grant = await self._access.grant()
            response = await self.transport.request(
                Service(IMAGE_API, _root(grant.endpoint)),
                method,
                path,
                headers={**grant.headers, **self._headers, **(headers or {})},
                data=data,
                agent=agent,
                answer_limit=answer_limit,
            )
            self._answered = True
            if response.code != 401 or is_last or not self._access.refused(grant):
                break
            refusal = await self.refusal(response)
            if data is not None and not isinstance(data, bytes):
                raise TokenRefused(refusal.status, refusal.message, refusal.retry_after)
        return response

    async def document(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Send a request that is answered with JSON.

        method: a string. path: a string below the endpoint, with its query. body: a value that is sent as JSON; None
        for no body. content_type: a string, of the body.

        A server that refuses for a while, and says for how long, is asked again after that. As long as the server has
        not answered anything, a broken connection counts as Unreachable: what listens there may not be an HTTP server,
        or may expect TLS.

        Returns the value of the JSON, None if the answer has no body. Raises RequestRefused, BadResponse, Unreachable,
        TransferInterrupted.
        """
        headers, data = {"Accept": "application/json"}, None
        if body is not None:  # treq would send JSON always as application/json
            headers["Content-Type"], data = content_type, json.dumps(body).encode()
        patience = self.patience()
        while True:
            try:
                response = await self.request(method, path, headers=headers, data=data)
                return await self._document(response, f"{method} {path}")
            except RequestRefused as refusal:
                if refusal.retry_after is None:
                    raise
                await patience.after(refusal)
            except TransferInterrupted as problem:
                if self._answered or isinstance(problem, BadResponse):
                    raise
                hint = "Is it an Image API, and is http or https right?"
                raise Unreachable(self.endpoint or "", f"{problem} {hint}") from problem

    async def _document(self, response: IResponse, request: str) -> Any:
        if response.code == 300:  # the answer to a path without a version
            await self.refusal(response)
            raise BadResponse(f"There is no Image API at {self.endpoint}, but perhaps at another path of this server.")
        if response.code in ELSEWHERE:
            await self.refusal(response)
            place = printable(header(response, "location") or "another place")
            raise BadResponse(f"The server at {self.endpoint} sends requests on to {place}: use the URL of that one.")
        if not 200 <= response.code < 300:
            raise await self.refusal(response)
        content = await self.transport.content(response, DOCUMENT_LIMIT)
        if not content:
            return None
        try:
            return json.loads(content)
        except ValueError as problem:
            raise BadResponse(
                f"The answer to {request} is not JSON: there is no Image API at {self.endpoint}."
            ) from problem

    async def refusal(self, response: IResponse) -> RequestRefused:
        """Read the body of an unsuccessful response, and make the error that it means."""
        return await self.transport.refusal(response)

    def body(self, response: IResponse) -> Body:
        """Make the Body of a response."""
        return self.transport.body(response)


def _root(endpoint: str) -> str:
    return re.sub(r"/v2(\.\d+)?$", "", endpoint.rstrip("/"))
