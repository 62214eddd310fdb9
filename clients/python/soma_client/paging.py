"""Lists that come in pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import betterproto2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from soma_client.calls import Caller


class Page(Protocol):
    """A response of a List method."""

    next_page_token: str


P = TypeVar("P", bound=betterproto2.Message)
T = TypeVar("T")


class Pages(Generic[P, T]):
    """What a List method gives. Pages are read when they are needed, each with the retries of the method.

    `async for job in client.jobs.list()` gives the entries of all pages, `async for page in ….pages()` the responses
    themselves, and `await ….first(10)` at most so many entries.
    """

    def __init__(
        self,
        caller: Caller,
        path: str,
        request: Callable[[str], betterproto2.Message],
        reply: type[P],
        items: Callable[[P], Sequence[T]],
        *,
        page_token: str,
        timeout: float | None,
    ) -> None:
        self._caller = caller
        self._path = path
        self._request = request
        self._reply = reply
        self._items = items
        self._page_token = page_token
        self._timeout = timeout

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in self._items(page):
                yield item

    async def pages(self) -> AsyncIterator[P]:
        """The responses one by one; `next_page_token` of one is the `page_token` to go on behind it."""
        token = self._page_token
        while True:
            page = await self._caller.unary(self._path, self._request(token), self._reply, self._timeout)
            yield page
            following = _next_token(page)
            if not following:
                return
            if following == token:
                raise RuntimeError(f"{self._path} answered with the token of the same page again")
            token = following

    async def first(self, count: int) -> list[T]:
        """At most `count` entries, with no more pages read than these need."""
        found: list[T] = []
        if count <= 0:
            return found
        async for item in self:
            found.append(item)
            if len(found) == count:
                break
        return found


def _next_token(page: object) -> str:
    token: str = page.next_page_token  # type: ignore[attr-defined]
    return token
