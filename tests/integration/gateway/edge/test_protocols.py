"""The protocols that the edge accepts: TLS, HTTP versions, gRPC and gRPC-Web."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
from google.api import httpbody_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from soma.assets.v1 import asset_service_pb2, asset_service_pb2_grpc
from soma.executor.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.gateway.edge.rig import EdgeUnderTest


def handshake(edge: EdgeUnderTest, version: ssl.TLSVersion, protocols: list[str]) -> tuple[str | None, str | None]:
    context = edge.trust
    context.maximum_version = version
    context.set_alpn_protocols(protocols)
    with (
        socket.create_connection(("127.0.0.1", edge.port), 5) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secured,
    ):
        return secured.version(), secured.selected_alpn_protocol()


async def test_tls_1_3_is_spoken_with_both_http_versions(edge: EdgeUnderTest) -> None:
    both = await asyncio.to_thread(handshake, edge, ssl.TLSVersion.TLSv1_3, ["h2", "http/1.1"])
    old = await asyncio.to_thread(handshake, edge, ssl.TLSVersion.TLSv1_3, ["http/1.1"])
    assert (both, old) == (("TLSv1.3", "h2"), ("TLSv1.3", "http/1.1"))


async def test_tls_1_2_is_refused(edge: EdgeUnderTest) -> None:
    with pytest.raises(ssl.SSLError):
        await asyncio.to_thread(handshake, edge, ssl.TLSVersion.TLSv1_2, ["h2"])


async def test_native_grpc_passes(edge: EdgeUnderTest) -> None:
    async with edge.channel() as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        metadata = (("authorization", f"Bearer {edge.signer.token()}"),)
        job = await stub.GetJob(job_service_pb2.GetJobRequest(job_id="a"), metadata=metadata)
        events = [
            event.sequence
            async for event in stub.WatchJob(job_service_pb2.WatchJobRequest(job_id="a"), metadata=metadata)
        ]
    assert (job.job_id, events) == ("a", [1, 2, 3])


async def test_native_grpc_streams_requests(edge: EdgeUnderTest) -> None:
    async def parts() -> AsyncIterator[asset_service_pb2.UploadAssetRequest]:
        for data in (b"ab", b"cd"):
            yield asset_service_pb2.UploadAssetRequest(content=httpbody_pb2.HttpBody(data=data))

    async with edge.channel() as channel:
        stub = asset_service_pb2_grpc.AssetServiceStub(channel)
        asset = await stub.UploadAsset(parts(), metadata=(("authorization", f"Bearer {edge.signer.token()}"),))
    assert asset.size_bytes == 4


async def test_grpc_web_passes(edge: EdgeUnderTest) -> None:
    message = job_service_pb2.GetJobRequest(job_id="web").SerializeToString()
    frame = b"\0" + len(message).to_bytes(4, "big") + message
    async with edge.client() as client:
        answer = await client.post(
            "/soma.executor.v1.JobService/GetJob",
            content=frame,
            headers={"content-type": "application/grpc-web+proto", "x-grpc-web": "1"},
        )
    size = int.from_bytes(answer.content[1:5], "big")
    assert job_pb2.Job.FromString(answer.content[5 : 5 + size]).job_id == "web"
    assert b"grpc-status:0" in answer.content[5 + size :]


async def test_native_grpc_is_refused_with_status_and_reason(edge: EdgeUnderTest) -> None:
    async with edge.channel() as channel:
        path = "/soma.executor.v1.JobService/Nothing"
        unknown: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        with pytest.raises(grpc.aio.AioRpcError) as lost:
            await unknown(b"")
        with pytest.raises(grpc.aio.AioRpcError) as nobody:
            await job_service_pb2_grpc.JobServiceStub(channel).GetJob(job_service_pb2.GetJobRequest(job_id="a"))
    assert (lost.value.code(), nobody.value.code()) == (
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.UNAUTHENTICATED,
    )
    assert "Authorization: Bearer" in str(nobody.value.details())
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(lost.value)  # type: ignore[arg-type]
    assert status is not None
    assert status.details[0].Unpack(info)
    assert info.reason == "ROUTE_NOT_FOUND"
