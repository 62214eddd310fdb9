"""What one page may fetch in all."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING

from mesh.testing.contract import eventually
from soma_providers.playwright_screenshot.routes import GuardedRoutes
from soma_providers.port import EgressResponse

if TYPE_CHECKING:
    from soma_providers.port import EgressRequest

MIB = 1 << 20
REQUEST = SimpleNamespace(
    method="GET",
    url="https://example.com/a.png",
    headers={},
    post_data_buffer=None,
    is_navigation_request=lambda: False,
)


class Site:
    """Answers each request with as much as it may, once it is released."""

    def __init__(self) -> None:
        self.asked: list[EgressRequest] = []
        self.release = asyncio.Event()

    async def admit(self, url: str) -> None:
        """Everything is admitted."""

    def is_listed(self, host: str) -> bool:
        """No host is named."""
        return False

    async def fetch(self, request: EgressRequest) -> EgressResponse:
        """As many bytes as are allowed."""
        self.asked.append(request)
        await self.release.wait()
        return EgressResponse(200, {}, bytes(request.max_bytes), request.url)


class Route:
    """Notes how a request of the page ended."""

    def __init__(self) -> None:
        self.outcome: str | int = ""

    async def fulfill(self, *, body: bytes, **_: object) -> None:
        """Answered."""
        self.outcome = len(body)

    async def abort(self, reason: str) -> None:
        """Refused."""
        self.outcome = reason


async def outcome(routes: GuardedRoutes) -> str | int:
    route = Route()
    await routes.answer(route, REQUEST)  # type: ignore[arg-type]
    return route.outcome


async def test_a_page_gets_64_mib_in_all() -> None:
    site = Site()
    site.release.set()
    routes = GuardedRoutes(site, EgressResponse(200, {}, b"", ""), 10.0)
    assert [await outcome(routes) for _ in range(6)] == [16 * MIB] * 4 + ["blockedbyclient"] * 2
    assert (routes.refused, len(site.asked)) == (2, 5)


async def test_files_that_are_under_way_together_get_no_more() -> None:
    site = Site()
    routes = GuardedRoutes(site, EgressResponse(200, {}, b"", ""), 10.0)
    asking = [asyncio.create_task(outcome(routes)) for _ in range(8)]
    await eventually(lambda: len(site.asked) == 8)
    site.release.set()
    assert sorted(map(str, await asyncio.gather(*asking))) == [str(16 * MIB)] * 4 + ["blockedbyclient"] * 4


async def test_a_page_fetches_eight_files_at_once() -> None:
    site = Site()
    routes = GuardedRoutes(site, EgressResponse(200, {}, b"", ""), 10.0)
    asking = [asyncio.create_task(outcome(routes)) for _ in range(20)]
    await eventually(lambda: len(site.asked) == 8 and routes.requests == 20)
    site.release.set()
    await asyncio.gather(*asking)
