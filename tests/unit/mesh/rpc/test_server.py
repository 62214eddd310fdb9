"""What every server offers beside its methods, and how it stops."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from mesh.errors import Reason, SomaError
from mesh.rpc.server import serving
from mesh.settings import ServerSettings, SettingsError, TlsSettings
from mesh.testing import PLAINTEXT, RunningServer, served

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import SimpleNamespace

    Dynamic = SimpleNamespace
    Context = grpc.aio.ServicerContext
    Invoke = Callable[..., Awaitable[list[str]]]

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def health(channel: grpc.aio.Channel) -> health_pb2_grpc.HealthStub:
    return health_pb2_grpc.HealthStub(channel)


def ask(service: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


@pytest.mark.parametrize("service", ["", "probe.v1.Probe", "grpc.health.v1.Health"])
async def test_health_is_told_to_anyone_overall_and_by_service(service: str, raw: grpc.aio.Channel) -> None:
    assert (await health(raw).Check(ask(service))).status == SERVING


async def test_the_health_of_a_service_that_is_not_here_is_not_found(raw: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health(raw).Check(ask("nobody.v1.Nothing"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_health_is_watched(server: RunningServer, raw: grpc.aio.Channel) -> None:
    watch = health(raw).Watch(ask("probe.v1.Probe"))
    assert (await watch.read()).status == SERVING
    await server.server.health.set("probe.v1.Probe", False)
    assert (await watch.read()).status == NOT_SERVING
    assert (await health(raw).Check(ask("probe.v1.Probe"))).status == NOT_SERVING
    assert (await health(raw).Check(ask(""))).status == SERVING


async def test_an_unknown_service_is_watched_until_it_appears(server: RunningServer, raw: grpc.aio.Channel) -> None:
    watch = health(raw).Watch(ask("later.v1.Later"))
    assert (await watch.read()).status == UNKNOWN
    await server.server.health.set("later.v1.Later", True)
    assert (await watch.read()).status == SERVING


async def test_watchers_see_the_drain_and_their_stream_ends(probe: Dynamic, servicer: Dynamic) -> None:
    stack = AsyncExitStack()
    registration = (probe.grpc.add_ProbeServicer_to_server, servicer)
    running = await stack.enter_async_context(served([registration], settings=ServerSettings(drain_seconds=5.0)))
    async with grpc.aio.insecure_channel(running.address) as raw:
        watch = health(raw).Watch(ask(""))
        assert (await watch.read()).status == SERVING
        stopping = asyncio.ensure_future(stack.aclose())
        assert (await watch.read()).status == NOT_SERVING
        assert await watch.read() is grpc.aio.EOF
        await asyncio.wait_for(stopping, 20)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_and_describes_every_service(version: str, raw: grpc.aio.Channel) -> None:
    method = raw.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    call = method()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services="*"))
    names = [service.name for service in (await call.read()).list_services_response.service]
    assert {"probe.v1.Probe", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"} <= set(names)
    for name in names:
        await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name))
        assert (await call.read()).file_descriptor_response.file_descriptor_proto, name
    await call.done_writing()


async def test_calls_under_way_are_finished_before_the_server_stops(
    probe: Dynamic, servicer: Dynamic, invoke: Invoke
) -> None:
    release = asyncio.Event()

    async def patient(request: Dynamic, context: Context) -> Dynamic:
        servicer.seen.started.set()
        await release.wait()
        return probe.pb2.Answer(text="done")

    servicer.UnaryUnary = patient
    stack = AsyncExitStack()
    running = await stack.enter_async_context(served([(probe.grpc.add_ProbeServicer_to_server, servicer)]))
    async with grpc.aio.insecure_channel(running.address) as raw:
        headers = (("authorization", f"Bearer {await running.issuer.token()}"),)
        watch = health(raw).Watch(ask(""))
        await watch.read()
        call = asyncio.ensure_future(invoke(raw, "UnaryUnary", {}, metadata=headers))
        await servicer.seen.started.wait()
        stopping = asyncio.ensure_future(stack.aclose())
        assert (await watch.read()).status == NOT_SERVING
        release.set()
        assert await call == ["done"]
        await asyncio.wait_for(stopping, 20)


async def test_an_open_stream_is_told_to_reconnect_when_the_server_drains(probe: Dynamic, servicer: Dynamic) -> None:
    stack = AsyncExitStack()
    running = await stack.enter_async_context(served([(probe.grpc.add_ProbeServicer_to_server, servicer)]))
    async with grpc.aio.insecure_channel(running.address) as raw:
        headers = (("authorization", f"Bearer {await running.issuer.token()}"),)
        call = probe.grpc.ProbeStub(raw).UnaryStream(probe.pb2.Ask(behaviour="wait"), metadata=headers)
        await call.read()
        await servicer.seen.started.wait()
        stopping = asyncio.ensure_future(stack.aclose())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert dict(caught.value.trailing_metadata())["x-soma-reason"] == "UNAVAILABLE"
        await asyncio.wait_for(stopping, 20)


@pytest.mark.parametrize("kind", ["UnaryUnary", "UnaryStream"])
async def test_more_calls_than_the_limit_are_refused_as_overload(
    kind: str, probe: Dynamic, servicer: Dynamic, invoke: Invoke
) -> None:
    settings = ServerSettings(max_concurrent_calls=1, max_concurrent_streams=1, drain_seconds=0.2)
    registration = (probe.grpc.add_ProbeServicer_to_server, servicer)
    async with served([registration], settings=settings) as running:
        first = asyncio.ensure_future(invoke(running.channel, kind, {"behaviour": "wait"}))
        await servicer.seen.started.wait()
        with pytest.raises(SomaError) as caught:
            await invoke(running.channel, kind, {"text": "hi"})
        assert caught.value.reason is Reason.OVERLOADED
        assert caught.value.retry_after_s
        assert (await health(running.channel).Check(ask(""))).status == SERVING
        first.cancel()
        await asyncio.wait((first,))
        await servicer.seen.cancelled.wait()
        assert await invoke(running.channel, kind, {"text": "hi"})


async def test_a_message_above_the_limit_is_refused(probe: Dynamic, servicer: Dynamic, invoke: Invoke) -> None:
    settings = ServerSettings(max_message_bytes=1_000)
    async with served([(probe.grpc.add_ProbeServicer_to_server, servicer)], settings=settings) as running:
        with pytest.raises(SomaError) as caught:
            await invoke(running.channel, "UnaryUnary", {"behaviour": "x" * 2_000})
    assert caught.value.reason is Reason.OVERLOADED


async def test_a_port_in_use_is_an_error_that_says_so(server: RunningServer) -> None:
    settings = ServerSettings(bind=server.address)
    with pytest.raises(OSError, match="in use"):
        async with serving("other", settings, PLAINTEXT, [], []):
            pass


async def test_plaintext_is_refused_in_production() -> None:
    with pytest.raises(SettingsError, match="SA01_TLS_CA_FILE"):
        async with serving("probe", ServerSettings(), TlsSettings(), [], []):
            pass


async def test_the_port_is_free_once_the_server_has_stopped(probe: Dynamic, servicer: Dynamic) -> None:
    async with served([(probe.grpc.add_ProbeServicer_to_server, servicer)]) as running:
        host, _, port = running.address.rpartition(":")
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind((host, int(port)))


def test_a_service_cannot_be_registered_twice(probe: Dynamic, servicer: Dynamic) -> None:
    from mesh.rpc.registrar import Registrar

    registration = (probe.grpc.add_ProbeServicer_to_server, servicer)
    with pytest.raises(ValueError, match="twice"):
        Registrar([registration, registration])
