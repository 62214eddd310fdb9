"""The level of the mesh is the last one heard while the gateway is heard, and UNKNOWN otherwise."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mesh.degradation import DegradationLevel
from mesh.errors import Reason, SomaError
from mesh.testing import FakeClock
from mesh.testing.contract import eventually
from soma.gateway.v1.health_service_pb2 import DEGRADATION_LEVEL_MINOR
from svc_selector.adapters.peers import GatewayDegradation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Status:
    """A status of the mesh."""

    def __init__(self, level: int) -> None:
        self.level = level


class Gateway:
    """Streams what a test says."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[Status | Exception] = asyncio.Queue()

    async def WatchStatus(self, _: object) -> AsyncIterator[Status]:  # noqa: N802
        while True:
            item = await self.said.get()
            if isinstance(item, Exception):
                raise item
            yield item


@pytest.mark.parametrize("why", [SomaError(Reason.UNAVAILABLE, "away"), ValueError("defect")], ids=repr)
async def test_whatever_ends_the_stream_makes_the_level_unknown(why: Exception) -> None:
    gateway = Gateway()
    feed = GatewayDegradation(gateway, FakeClock())  # type: ignore[arg-type]
    async with feed.running():
        gateway.said.put_nowait(Status(DEGRADATION_LEVEL_MINOR))
        await eventually(lambda: feed.level is DegradationLevel.MINOR)
        gateway.said.put_nowait(why)
        await eventually(lambda: feed.level is DegradationLevel.UNKNOWN)


async def test_a_level_of_a_newer_gateway_is_unknown() -> None:
    gateway = Gateway()
    feed = GatewayDegradation(gateway, FakeClock())  # type: ignore[arg-type]
    async with feed.running():
        gateway.said.put_nowait(Status(DEGRADATION_LEVEL_MINOR))
        await eventually(lambda: feed.level is DegradationLevel.MINOR)
        gateway.said.put_nowait(Status(99))
        await eventually(lambda: feed.level is DegradationLevel.UNKNOWN)
