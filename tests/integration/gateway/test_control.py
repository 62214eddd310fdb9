"""The control plane's port: streams that need no credential leave room for proxies."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.clock import SystemClock
from mesh.settings import TlsSettings
from mesh.testing.contract import eventually
from svc_gateway.adapters.descriptors import Descriptors
from svc_gateway.rpc.control_plane import ControlServer
from svc_gateway.rpc.xds import AggregatedDiscovery, SnapshotCache
from svc_gateway.rpc.xds import messages as x
from svc_gateway.rpc.xds.snapshot import Resource, Resources

import envoy_data_plane.envoy.service.discovery.v3 as discovery  # isort: skip - after the package that quiets it
from envoy_data_plane.google.protobuf import Any  # isort: skip

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from svc_gateway.rpc.xds.snapshot import Snapshot

    Watch = grpc.aio.UnaryStreamCall[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]

ASKED = health_pb2.HealthCheckRequest()
SERVING = health_pb2.HealthCheckResponse.SERVING
ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"


def snapshot() -> Snapshot:
    kinds = {kind: Resources(MappingProxyType({})) for kind in x.SEND_ORDER}
    named = MappingProxyType({"a": Resource(Any(type_url=x.CLUSTER), "1")})
    return MappingProxyType({**kinds, x.CLUSTER: Resources(named)})


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    """To a control plane with room for two open streams."""
    feed = SnapshotCache()
    feed.publish(snapshot())
    discovering = AggregatedDiscovery(feed, lambda _kind, _reason: None)
    control = ControlServer(Descriptors.read().route_table(), discovering, SystemClock(), public_streams=2)
    async with (
        control.serving("127.0.0.1:0", TlsSettings(profile="test")) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield channel


async def watching(channel: grpc.aio.Channel) -> Watch:
    """An open stream, which has told the state."""
    stream: Watch = health_pb2_grpc.HealthStub(channel).Watch(ASKED)  # type: ignore[attr-defined]
    told = await stream.read()
    assert isinstance(told, health_pb2.HealthCheckResponse)
    assert told.status == SERVING
    return stream


async def test_open_streams_are_few_and_a_proxy_is_served_beside_them(channel: grpc.aio.Channel) -> None:
    watchers = [await watching(channel) for _ in range(2)]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await watching(channel)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    check = await health_pb2_grpc.HealthStub(channel).Check(ASKED)  # type: ignore[attr-defined]
    assert check.status == SERVING
    ads = channel.stream_stream(
        ADS, request_serializer=bytes, response_deserializer=discovery.DiscoveryResponse.parse
    )()
    await ads.write(discovery.DiscoveryRequest(type_url=x.CLUSTER))
    answer = await ads.read()
    assert isinstance(answer, discovery.DiscoveryResponse)
    assert answer.type_url == x.CLUSTER
    for stream in (*watchers, ads):
        stream.cancel()


async def test_stream_that_ends_makes_room(channel: grpc.aio.Channel) -> None:
    for stream in [await watching(channel) for _ in range(2)]:
        stream.cancel()

    async def admitted() -> bool:
        try:
            (await watching(channel)).cancel()
        except grpc.aio.AioRpcError:
            return False
        return True

    await eventually(admitted)
