"""Slow uploads are bounded in number by tenant and ended when they do not get on."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from google.api.httpbody_pb2 import HttpBody

from mesh.errors import Reason, SomaError
from mesh.testing.contract import eventually
from mesh.testing.server import Served, served
from mesh.testing.tokens import ALICE
from soma.assets.v1.asset_pb2 import ASSET_STATUS_READY
from soma.assets.v1.asset_service_pb2 import UploadAssetRequest
from soma.assets.v1.asset_service_pb2_grpc import AssetServiceStub, add_AssetServiceServicer_to_server
from svc_assets.adapters.memory import MemoryBytes, MemoryReads, MemoryRows, MemorySweep
from svc_assets.app import Intake, IntakeLimits
from svc_assets.rpc import AssetServicer
from tests.contract.assets.conftest import now
from tests.contract.assets.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import grpc.aio

HOSTILE = replace(ALICE, tenant_id="hostile", subject="mallory")
LIMITS = IntakeLimits(slots=4, per_tenant=2, waiting_per_tenant=5)


@asynccontextmanager
async def assets(folder: Path, limits: IntakeLimits) -> AsyncIterator[tuple[Served, Intake, Store]]:
    clock, intake = now(), Intake(limits)
    store = Store(MemoryRows(), MemoryBytes(clock), MemorySweep(), clock, folder)
    servicer = AssetServicer(store.ingest, store.assets, MemoryReads(), intake)
    async with served([(add_AssetServiceServicer_to_server, servicer)]) as server:
        yield server, intake, store


def message(body: bytes) -> UploadAssetRequest:
    return UploadAssetRequest(content=HttpBody(data=body))


async def endless(first: bytes = b"first") -> AsyncIterator[UploadAssetRequest]:
    """An upload that begins and does not go on."""
    yield message(first)
    await asyncio.Event().wait()


async def whole(body: bytes) -> AsyncIterator[UploadAssetRequest]:
    yield message(body)


async def upload(channel: grpc.aio.Channel, messages: AsyncIterator[UploadAssetRequest]) -> object:
    return await AssetServiceStub(channel).UploadAsset(messages)


def left(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_tenant_with_many_slow_uploads_leaves_places_to_others(tmp_path: Path) -> None:
    async with assets(tmp_path, LIMITS) as (server, intake, _):
        hostile = await server.channel_as(HOSTILE)
        slow = [asyncio.ensure_future(upload(hostile, endless())) for _ in range(20)]
        await eventually(lambda: sum(call.done() for call in slow) == 20 - 2 - 5)
        refused = [call.exception() for call in slow if call.done()]
        assert {error.reason for error in refused if isinstance(error, SomaError)} == {Reason.OVERLOADED}
        assert (intake.held, intake.waiting) == (2, 5)
        stored = await AssetServiceStub(server.channel).UploadAsset(whole(b"innocent"))
        assert stored.status == ASSET_STATUS_READY
        for call in slow:
            call.cancel()
        await eventually(lambda: (intake.held, intake.waiting) == (0, 0))
        await asyncio.gather(*slow, return_exceptions=True)


@pytest.mark.parametrize(
    "limits",
    [replace(LIMITS, window_s=0.05), replace(LIMITS, deadline_s=0.05)],
    ids=["no progress", "past its deadline"],
)
async def test_an_upload_that_does_not_get_on_is_ended_and_stores_nothing(tmp_path: Path, limits: IntakeLimits) -> None:
    async with assets(tmp_path, limits) as (server, intake, store):
        with pytest.raises(SomaError, match="it stored nothing") as ended:
            await upload(server.channel, endless())
        assert ended.value.reason is Reason.DEADLINE_EXCEEDED
        assert intake.held == 0
        assert await store.left_behind() == (set(), [])
    assert left(tmp_path) == []


async def test_an_upload_that_sends_nothing_at_all_is_ended(tmp_path: Path) -> None:
    async with assets(tmp_path, replace(LIMITS, window_s=0.05)) as (server, _, _):

        async def silent() -> AsyncIterator[UploadAssetRequest]:
            await asyncio.Event().wait()
            yield message(b"")

        with pytest.raises(SomaError) as ended:
            await upload(server.channel, silent())
    assert ended.value.reason is Reason.DEADLINE_EXCEEDED


async def test_an_upload_that_gets_on_is_passed_on_whole() -> None:
    intake = Intake(replace(LIMITS, window_s=30.0, window_bytes=10))

    async def pieces() -> AsyncIterator[bytes]:
        for size in (4, 4, 4, 0):
            yield bytes(size)

    assert [len(piece) async for piece in intake.paced(pieces(), len)] == [4, 4, 4, 0]
