"""Who may name the job of an upload, which the job then holds and tells in its account."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from google.api.httpbody_pb2 import HttpBody

from mesh.errors import Reason, SomaError
from mesh.testing.server import served
from mesh.testing.tokens import ALICE
from soma.assets.v1.asset_pb2 import Origin
from soma.assets.v1.asset_service_pb2 import UploadAssetRequest
from soma.assets.v1.asset_service_pb2_grpc import AssetServiceStub, add_AssetServiceServicer_to_server
from svc_assets.domain.model import ListQuery
from svc_assets.rpc import AssetServicer
from tests.contract.assets.conftest import now
from tests.contract.assets.store import Store
from tests.in_memory.assets import MemoryAssetStore, MemoryBlobStore, MemoryReadAudit, MemorySweepState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mesh.identity import Claims
    from soma.assets.v1.asset_pb2 import Asset
    from soma.assets.v1.asset_service_pb2_grpc import AssetServiceAsyncStub

MEMBER = replace(ALICE, roles=("member",))
OF_A_JOB = Origin(session_id="s", job_id="j", step_id="a", execution_id="e")


@asynccontextmanager
async def serving(folder: Path, caller: Claims) -> AsyncIterator[tuple[AssetServiceAsyncStub, Store]]:
    clock = now()
    store = Store(MemoryAssetStore(), MemoryBlobStore(clock), MemorySweepState(), clock, folder)
    servicer = AssetServicer(store.ingest, store.assets, MemoryReadAudit(), 600.0)
    async with served([(add_AssetServiceServicer_to_server, servicer)], caller=caller) as server:
        yield AssetServiceStub(server.channel), store


async def upload(stub: AssetServiceAsyncStub, origin: Origin) -> Asset:
    return await stub.UploadAsset(iter([UploadAssetRequest(origin=origin, content=HttpBody(data=b"text"))]))


@pytest.mark.parametrize("role", ["member", "admin", "platform_admin"])
async def test_a_caller_cannot_put_an_asset_into_a_job(tmp_path: Path, role: str) -> None:
    async with serving(tmp_path, replace(ALICE, roles=(role,))) as (stub, store):
        with pytest.raises(SomaError) as refused:
            await upload(stub, OF_A_JOB)
        assert await store.assets.list("acme", ListQuery()) == []
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    named = {violation.field for violation in refused.value.fields}
    assert named == {"origin.job_id", "origin.step_id", "origin.execution_id"}


async def test_a_caller_uploads_in_a_session(tmp_path: Path) -> None:
    async with serving(tmp_path, MEMBER) as (stub, _):
        assert (await upload(stub, Origin(session_id="s"))).origin.session_id == "s"


async def test_a_service_uploads_for_the_job_that_it_runs(tmp_path: Path) -> None:
    async with serving(tmp_path, replace(MEMBER, actor="spiffe://soma/executor")) as (stub, _):
        assert (await upload(stub, OF_A_JOB)).origin == OF_A_JOB
