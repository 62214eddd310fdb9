"""Selecting among a thousand capabilities at 500 calls a second, beside a bare gRPC echo at the same rate."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue

from mesh.clock import SystemClock
from mesh.identity import Claims
from mesh.local.pki import OPERATOR, Pki
from soma.common.v1 import modality_pb2
from soma.registry.v1 import capability_pb2, capability_service_pb2
from soma.registry.v1.capability_service_pb2_grpc import CapabilityServiceStub
from soma.selector.v1 import selection_pb2
from soma.selector.v1.selector_service_pb2_grpc import SelectorServiceStub
from tests.bench.figures import Figure, latencies
from tests.bench.load import open_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.e2e.conftest import Running

CAPABILITIES, TASK_TYPES, AT_ONCE = 1_000, 100, 16
RATE, SECONDS = 500, 8


@asynccontextmanager
async def direct(mesh: Running, context: str) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a context's own port."""
    pair = Pki(mesh.home.pki, SystemClock()).pair(OPERATOR)
    credentials = grpc.ssl_channel_credentials(
        mesh.authority.read_bytes(), pair.key.read_bytes(), pair.certificate.read_bytes()
    )
    async with grpc.aio.secure_channel(mesh.service_address(context), credentials) as channel:
        yield channel


async def register(mesh: Running, identity: list[tuple[str, str]]) -> None:
    """A thousand diagram capabilities, ten for each of a hundred task types."""
    places = asyncio.Semaphore(AT_ONCE)
    async with direct(mesh, "registry") as channel, asyncio.TaskGroup() as group:
        stub = CapabilityServiceStub(channel)

        async def one(number: int) -> None:
            capability = capability_pb2.Capability(
                tool_id=f"bench{number}",
                provider=f"p{number % 7}",
                kind=capability_pb2.CAPABILITY_KIND_TOOL,
                modalities=[modality_pb2.MODALITY_DIAGRAM],
                task_types=[f"bench_{number % TASK_TYPES}"],
            )
            request = capability_service_pb2.RegisterCapabilityRequest(capability=capability)
            async with places:
                await stub.RegisterCapability(request, metadata=identity)

        for number in range(CAPABILITIES):
            group.create_task(one(number))


@asynccontextmanager
async def selector(mesh: Running) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    """A call of the selector: chain, seven judgements, record."""
    token = await mesh.token(Claims("dev", "bench", roles=("platform_admin",)))
    identity = [("authorization", f"Bearer {token}")]
    await register(mesh, identity)
    need = capability_service_pb2.Requirements(modality=modality_pb2.MODALITY_DIAGRAM, task_type="bench_1")
    request = selection_pb2.SelectRequest(requirements=need)
    async with direct(mesh, "selector") as channel:
        stub = SelectorServiceStub(channel)

        async def call() -> object:
            return await stub.Select(request, metadata=identity)

        yield call


async def serve_echo() -> None:
    """A bare grpc.aio server that answers with what it got, in a process of its own; prints its port."""

    async def answer(request: StringValue, context: object) -> StringValue:
        return request

    handler = grpc.unary_unary_rpc_method_handler(answer, StringValue.FromString, StringValue.SerializeToString)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Say": handler}),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


@asynccontextmanager
async def echo() -> AsyncIterator[Callable[[], Awaitable[object]]]:
    """A call of that server."""
    program = "import asyncio; from tests.bench.selecting import serve_echo; asyncio.run(serve_echo())"
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    try:
        port = (await child.stdout.readline()).decode().strip() if child.stdout else ""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            say = channel.unary_unary(
                "/bench.Echo/Say",
                request_serializer=StringValue.SerializeToString,
                response_deserializer=StringValue.FromString,
            )

            async def call() -> object:
                return await say(StringValue(value="x" * 200))

            yield call
    finally:
        child.terminate()
        await child.wait()


async def measure(mesh: Running) -> tuple[list[Figure], list[float]]:
    """The figures of selecting, and the echo's latencies as the yardstick of the run."""
    async with echo() as call:
        await open_loop(call, RATE, 1)
        bare = await open_loop(call, RATE, SECONDS)
    async with selector(mesh) as call:
        await open_loop(call, RATE / 5, 1)
        taken = await open_loop(call, RATE, SECONDS)
    figures = latencies("echo at 500/s", bare, bare)
    return [*figures, *latencies("select at 500/s, 1,000 capabilities", taken, bare, "p95 < 5 ms")], bare
