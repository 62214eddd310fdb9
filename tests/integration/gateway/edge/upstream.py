"""The small service behind the edge: answers what it received, fails as it is told. Methods that no test calls are not implemented."""

# ruff: noqa: N802, E501 - the contract's names

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc.aio
from google.api import httpbody_pb2

from mesh.errors import Reason, SomaError, invalid
from mesh.rpc.interceptor import add_response_header
from soma.assets.v1 import asset_pb2, asset_service_pb2, asset_service_pb2_grpc
from soma.executor.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc
from soma.gateway.v1 import health_service_pb2, health_service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.rpc.server import Registration

    Context = grpc.aio.ServicerContext[object, object]


class Upstream:
    """Remembers the metadata of the last call; `fail` makes calls fail with this reason."""

    def __init__(self) -> None:
        self.metadata: dict[str, str] = {}
        self.calls = 0
        self.fail: Reason | None = None
        self.hold = asyncio.Event()
        self.held = asyncio.Event()

    def registrations(self) -> dict[str, list[Registration]]:
        return {
            "executor": [(job_service_pb2_grpc.add_JobServiceServicer_to_server, Jobs(self))],  # type: ignore[abstract]
            "assets": [(asset_service_pb2_grpc.add_AssetServiceServicer_to_server, Assets(self))],  # type: ignore[abstract]
            "gateway": [(health_service_pb2_grpc.add_DegradationServiceServicer_to_server, Degradation(self))],  # type: ignore[abstract]
        }

    def called(self, context: Context) -> None:
        self.calls += 1
        self.metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        if self.fail is not None:
            raise SomaError(self.fail, "told to fail", retry_after_s=7 if self.fail is Reason.OVERLOADED else None)


class Degradation(health_service_pb2_grpc.DegradationServiceServicer):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def GetStatus(
        self, request: health_service_pb2.GetStatusRequest, context: Context
    ) -> health_service_pb2.Status:
        self._upstream.called(context)
        return health_service_pb2.Status(level=health_service_pb2.DEGRADATION_LEVEL_NONE, version="test")


class Jobs(job_service_pb2_grpc.JobServiceServicer):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def SubmitJob(self, request: job_service_pb2.SubmitJobRequest, context: Context) -> job_pb2.Job:
        self._upstream.called(context)
        return job_pb2.Job(job_id="job-1", session_id=request.session_id)

    async def GetJob(self, request: job_service_pb2.GetJobRequest, context: Context) -> job_pb2.Job:
        self._upstream.called(context)
        if request.job_id == "wrong":
            raise invalid("job_id", "is not a UUID")
        if request.job_id == "unreasoned":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, 'invalid value "hunter2" for type TYPE_INT64')
        if request.job_id == "held":
            self._upstream.held.set()
            await self._upstream.hold.wait()
        if request.job_id == "provided":
            add_response_header("x-mesh-overhead-seconds", "0.5")
        return job_pb2.Job(job_id=request.job_id, title="x" * (2 << 20) if request.job_id == "large" else "")

    async def ListJobs(
        self, request: job_service_pb2.ListJobsRequest, context: Context
    ) -> job_service_pb2.ListJobsResponse:
        self._upstream.called(context)
        return job_service_pb2.ListJobsResponse()

    async def CancelJob(self, request: job_service_pb2.CancelJobRequest, context: Context) -> job_pb2.Job:
        self._upstream.called(context)
        return job_pb2.Job(job_id=request.job_id)

    async def WatchJob(
        self, request: job_service_pb2.WatchJobRequest, context: Context
    ) -> AsyncIterator[job_pb2.JobEvent]:
        self._upstream.called(context)
        for number in range(1, 4):
            yield job_pb2.JobEvent(job_id=request.job_id, sequence=number)
            if number == 2:
                self._upstream.held.set()
                await self._upstream.hold.wait()


class Assets(asset_service_pb2_grpc.AssetServiceServicer):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def UploadAsset(
        self, request_iterator: AsyncIterator[asset_service_pb2.UploadAssetRequest], context: Context
    ) -> asset_pb2.Asset:
        self._upstream.called(context)
        size = messages = 0
        filename = kind = ""
        async for message in request_iterator:
            size += len(message.content.data)
            messages += 1
            filename, kind = filename or message.filename, kind or message.content.content_type
            self._upstream.held.set()
        return asset_pb2.Asset(asset_id=str(messages), size_bytes=size, filename=filename, media_type=kind)

    async def DownloadAsset(
        self, request: asset_service_pb2.DownloadAssetRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        self._upstream.called(context)
        for part in (b"\x89PNG", b"\x00" * 300_000):
            yield httpbody_pb2.HttpBody(content_type="image/png", data=part)
