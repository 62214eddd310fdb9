"""Slow uploads are bounded in number by tenant and ended at their deadline."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from google.api.httpbody_pb2 import HttpBody

from mesh.errors import Reason, SomaError
from mesh.settings import ServerSettings
from mesh.testing.contract import eventually
from mesh.testing.server import RunningServer, served
from mesh.testing.tokens import ALICE
from soma.assets.v1.asset_pb2 import ASSET_STATUS_READY
from soma.assets.v1.asset_service_pb2 import UploadAssetRequest
from soma.assets.v1.asset_service_pb2_grpc import AssetServiceStub, add_AssetServiceServicer_to_server
from svc_assets.rpc import AssetServicer
from tests.contract.assets.conftest import now
from tests.contract.assets.store import Store
from tests.in_memory.assets import MemoryAssetStore, MemoryBlobStore, MemoryReadAudit, MemorySweepState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import grpc.aio

HOSTILE = replace(ALICE, tenant_id="hostile", subject="mallory")
PLACES = ServerSettings(max_concurrent_uploads=4, tenant_uploads=2, drain_seconds=2.0, stream_drain_seconds=0.0)


@asynccontextmanager
async def assets(folder: Path, deadline_s: float = 600.0) -> AsyncIterator[tuple[RunningServer, Store]]:
    clock = now()
    store = Store(MemoryAssetStore(), MemoryBlobStore(clock), MemorySweepState(), clock, folder)
    servicer = AssetServicer(store.ingest, store.assets, MemoryReadAudit(), deadline_s)
    async with served([(add_AssetServiceServicer_to_server, servicer)], settings=PLACES) as server:
        yield server, store


def message(body: bytes) -> UploadAssetRequest:
    return UploadAssetRequest(content=HttpBody(data=body))


async def endless(*bodies: bytes) -> AsyncIterator[UploadAssetRequest]:
    """An upload that begins and does not go on."""
    for body in bodies:
        yield message(body)
    await asyncio.Event().wait()


async def whole(body: bytes) -> AsyncIterator[UploadAssetRequest]:
    yield message(body)


async def upload(channel: grpc.aio.Channel, messages: AsyncIterator[UploadAssetRequest]) -> object:
    return await AssetServiceStub(channel).UploadAsset(messages)


def left(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_tenant_with_many_slow_uploads_leaves_places_to_others(tmp_path: Path) -> None:
    async with assets(tmp_path) as (server, _):
        hostile = await server.channel_as(HOSTILE)
        slow = [asyncio.ensure_future(upload(hostile, endless(b"first"))) for _ in range(20)]
        await eventually(lambda: sum(call.done() for call in slow) == 20 - 2)
        refused = [call.exception() for call in slow if call.done()]
        assert {error.reason for error in refused if isinstance(error, SomaError)} == {Reason.OVERLOADED}
        stored = await AssetServiceStub(server.channel).UploadAsset(whole(b"innocent"))
        assert stored.status == ASSET_STATUS_READY
        for call in slow:
            call.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


@pytest.mark.parametrize("first", [[], [b"first"]], ids=["silent", "begun"])
async def test_an_upload_past_its_deadline_is_ended_and_stores_nothing(tmp_path: Path, first: list[bytes]) -> None:
    async with assets(tmp_path, deadline_s=0.05) as (server, store):
        with pytest.raises(SomaError, match="it stored nothing") as ended:
            await upload(server.channel, endless(*first))
        assert ended.value.reason is Reason.DEADLINE_EXCEEDED
        assert await store.left_behind() == (set(), [])
    assert left(tmp_path) == []
