"""Answers a page's requests with what the egress guard fetches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from soma_providers.port import EgressError, EgressFailure, EgressRequest

if TYPE_CHECKING:
    from playwright.async_api import Request, Route, WebSocketRoute

    from soma_providers.port import Egress, EgressResponse

_MAX_REQUESTS = 400
_MAX_BYTES = 16 * 1024 * 1024
_MAX_BYTES_OF_ALL = 64 * 1024 * 1024
_AT_ONCE = 8
_UNFIT = frozenset({"content-encoding", "content-length", "transfer-encoding", "connection"})


class GuardedRoutes:
    """Serves one page; `document` is its own answer, fetched before the page was opened."""

    def __init__(self, egress: Egress, document: EgressResponse, timeout_s: float) -> None:
        self._egress = egress
        self._document: EgressResponse | None = document
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._bytes_left = _MAX_BYTES_OF_ALL
        self.requests = 0
        self.refused = 0

    async def answer(self, route: Route, request: Request) -> None:
        """Fulfil or abort one request."""
        from playwright.async_api import Error

        self.requests += 1
        try:
            response = await self._response(request)
            headers = {name: value for name, value in response.headers.items() if name not in _UNFIT}
            await route.fulfill(status=response.status, headers=headers, body=response.content)
        except EgressError as error:
            self.refused += error.reason is EgressFailure.REFUSED
            await route.abort("blockedbyclient" if error.reason is EgressFailure.REFUSED else "failed")
        except Error:
            return  # the page was closed meanwhile

    async def refuse_socket(self, socket: WebSocketRoute) -> None:
        """Close a web socket."""
        self.refused += 1
        await socket.close()

    async def _response(self, request: Request) -> EgressResponse:
        if self._document is not None and request.is_navigation_request() and request.frame.parent_frame is None:
            document, self._document = self._document, None
            return document
        async with self._slots:
            if self.requests > _MAX_REQUESTS or self._bytes_left < 0:
                raise EgressError(EgressFailure.REFUSED, "the page asks for too many files")
            response = await self._egress.fetch(
                EgressRequest(
                    request.method,
                    request.url,
                    headers=dict(request.headers),
                    content=request.post_data_buffer or b"",
                    timeout_s=self._timeout_s,
                    max_bytes=_MAX_BYTES,
                )
            )
            self._bytes_left -= len(response.content)
            if self._bytes_left < 0:  # those that were under way together may bring more than was left
                raise EgressError(EgressFailure.REFUSED, "the page asks for too much")
            return response
