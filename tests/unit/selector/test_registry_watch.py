"""The view of the registry is stale exactly while its stream does not say that it is whole."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.testing import FakeClock
from mesh.testing.contract import eventually
from soma.registry.v1.capability_service_pb2 import WatchCapabilitiesRequest, WatchCapabilitiesResponse
from svc_selector.adapters.catalog import Catalog
from svc_selector.adapters.peers import RegistryWatch, registry
from svc_selector.adapters.peers.registry import RECONNECT_DELAY_S
from tests.unit.selector.test_capability_reader import capability

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SNAPSHOT = WatchCapabilitiesResponse(snapshot=True, complete=True, resume_token="1", capabilities=[capability()])
HEARTBEAT = WatchCapabilitiesResponse(complete=True, heartbeat=True, resume_token="1")
END = "end"


class Registry:
    """Streams what a test says, and notes from where each stream resumes."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[WatchCapabilitiesResponse | Exception | str] = asyncio.Queue()
        self.tokens: list[str] = []

    async def WatchCapabilities(  # noqa: N802
        self, request: WatchCapabilitiesRequest
    ) -> AsyncIterator[WatchCapabilitiesResponse]:
        self.tokens.append(request.resume_token)
        while True:
            item = await self.said.get()
            if isinstance(item, Exception):
                raise item
            if isinstance(item, str):
                return
            yield item


class Followed:
    """A feed that follows such a registry."""

    def __init__(self) -> None:
        self.registry, self.catalog, self.clock = Registry(), Catalog(), FakeClock()
        self.feed = RegistryWatch(self.registry, self.catalog, self.clock)  # type: ignore[arg-type]

    async def hear(self, item: WatchCapabilitiesResponse) -> None:
        """Takes in one message."""
        self.registry.said.put_nowait(item)
        await eventually(self.registry.said.empty)
        for _ in range(10):
            await asyncio.sleep(0)

    async def cut(self, why: Exception | str) -> None:
        """The stream ends, and is opened again after a pause."""
        opened = len(self.registry.tokens)
        self.registry.said.put_nowait(why)
        await self.clock.sleeper()
        self.stale, self.failure_reason = self.catalog.stale_since is not None, await self.feed.failure_reason()
        await self.clock.advance(RECONNECT_DELAY_S)
        await eventually(lambda: len(self.registry.tokens) > opened)


@asynccontextmanager
async def following() -> AsyncIterator[Followed]:
    followed = Followed()
    async with followed.feed.running():
        await followed.hear(SNAPSHOT)
        yield followed


FAILURES = [END, SomaError(Reason.UNAVAILABLE, "away"), SomaError(Reason.PERMISSION_DENIED, "no"), ValueError("defect")]


@pytest.mark.parametrize("why", FAILURES, ids=repr)
async def test_whatever_ends_a_stream_makes_the_view_stale(why: Exception | str) -> None:
    async with following() as followed:
        assert followed.catalog.stale_since is None
        assert await followed.feed.failure_reason() == ""
        await followed.cut(why)
        assert followed.stale
        assert followed.failure_reason == "no stream of the registry since 2026-01-01T00:00:00Z"


async def test_a_resumed_stream_without_changes_makes_the_view_fresh() -> None:
    async with following() as followed:
        await followed.cut(END)
        assert followed.registry.tokens == ["", "1"]
        await followed.hear(HEARTBEAT)
        assert followed.catalog.stale_since is None
        assert list(followed.catalog.for_task("acme", "image", "image_photo")) == ["a@b"]


async def test_after_a_defect_the_feed_starts_with_a_snapshot() -> None:
    async with following() as followed:
        await followed.cut(ValueError("defect"))
        assert followed.registry.tokens == ["", ""]


async def test_a_snapshot_is_taken_over_when_it_is_whole() -> None:
    async with following() as followed:
        first = WatchCapabilitiesResponse(snapshot=True, capabilities=[capability("c@d")])
        await followed.hear(first)
        assert list(followed.catalog.for_task("acme", "image", "image_photo")) == ["a@b"]
        last = WatchCapabilitiesResponse(snapshot=True, complete=True, capabilities=[capability("e@f")])
        await followed.hear(last)
        assert list(followed.catalog.for_task("acme", "image", "image_photo")) == ["c@d", "e@f"]


async def test_a_heartbeat_invalidates_no_cached_ranking() -> None:
    async with following() as followed:
        before = followed.catalog.version("acme", "image", "image_photo")
        await followed.hear(HEARTBEAT)
        assert followed.catalog.version("acme", "image", "image_photo") == before


async def test_a_registry_that_falls_silent_after_a_heartbeat_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with following() as followed:
        assert len(followed.registry.tokens) == 1
        monkeypatch.setattr(registry, "HEARTBEAT_TIMEOUT_S", 0.01)
        await followed.hear(HEARTBEAT)
        await eventually(lambda: followed.catalog.stale_since is not None)
        await followed.clock.sleeper()
        await followed.clock.advance(RECONNECT_DELAY_S)
        await eventually(lambda: followed.registry.tokens == ["", "1"])


async def test_a_deleted_capability_leaves_the_view() -> None:
    deleted = capability()
    deleted.delete_time.GetCurrentTime()
    async with following() as followed:
        await followed.hear(WatchCapabilitiesResponse(complete=True, resume_token="2", capabilities=[deleted]))
        assert dict(followed.catalog.for_task("acme", "image", "image_photo")) == {}
