"""The baseline: a bare grpc.aio server in a process of its own that gives back what it gets."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import uvloop
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value, StringValue

from tests.bench.figures import Figure, latencies
from tests.bench.load import Load, closed_loop, open_loop
from tests.bench.probes import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.bench.load import Caller

CALLERS, RATE, SECONDS = 16, 500, 8
MIB = 1 << 20
BODY, PIECE = 48 * MIB, 256 * 1024
PART = "gRPC echo"


@dataclass(frozen=True)
class EchoBaseline:
    """What the echo does on this machine in this run; rates in calls a second, `sink` in MiB a second."""

    paced: Load
    full: Load
    sequential: Load
    cpu_ms: float
    sink: float

    def figures(self) -> list[Figure]:
        """The rows of the table."""
        return [
            *latencies(PART, f"at {RATE}/s", self.paced.latencies, self.paced.latencies),
            Figure(PART, f"at {RATE}/s, processor time of the server per call", self.cpu_ms, "ms", 1.0),
            Figure(PART, f"{CALLERS} callers", self.full.rate, "1/s", 1.0),
            Figure(PART, "one caller", self.sequential.rate, "1/s", 1.0),
            Figure(PART, "a 48 MiB request stream, thrown away", self.sink, "MiB/s", 1.0),
        ]


async def serve() -> None:
    """Serves; prints the port."""

    async def say(request: StringValue, context: object) -> StringValue:
        return request

    async def take(requests: AsyncIterator[BytesValue], context: object) -> Int64Value:
        size = 0
        async for request in requests:
            size += len(request.value)
        return Int64Value(value=size)

    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Say": grpc.unary_unary_rpc_method_handler(say, StringValue.FromString, StringValue.SerializeToString),
        "Take": grpc.stream_unary_rpc_method_handler(take, BytesValue.FromString, Int64Value.SerializeToString),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", handlers),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


@asynccontextmanager
async def running() -> AsyncIterator[tuple[grpc.aio.Channel, int]]:
    """A channel to the server, and the server's process id."""
    argv = [sys.executable, "-m", "tests.bench.echo"]
    child = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    try:
        port = (await child.stdout.readline()).decode().strip() if child.stdout else ""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel, child.pid
    finally:
        child.terminate()
        await child.wait()


async def _sink(channel: grpc.aio.Channel) -> float:
    take = channel.stream_unary(
        "/bench.Echo/Take",
        request_serializer=BytesValue.SerializeToString,
        response_deserializer=Int64Value.FromString,
    )

    async def pieces() -> AsyncIterator[BytesValue]:
        for _ in range(BODY // PIECE):
            yield BytesValue(value=b"x" * PIECE)

    best = 0.0
    for _ in range(3):
        began = time.perf_counter()
        await take(pieces())
        best = max(best, BODY / MIB / (time.perf_counter() - began))
    return best


def _calling(channel: grpc.aio.Channel) -> Caller:
    say = channel.unary_unary(
        "/bench.Echo/Say",
        request_serializer=StringValue.SerializeToString,
        response_deserializer=StringValue.FromString,
    )

    async def call() -> object:
        return await say(StringValue(value="x" * 200))

    return call


async def _paced(call: Caller, pid: int, rate: float, seconds: float) -> tuple[Load, float]:
    await open_loop([call], rate, 1)
    before = cpu_seconds(pid)
    load = await open_loop([call], rate, seconds)
    return load, (cpu_seconds(pid) - before) * 1000 / max(len(load.latencies), 1)


async def paced(rate: float, seconds: float) -> tuple[Load, float]:
    """The echo at a rate, right now, and its processor time in ms a call: a machine's speed changes by the minute."""
    async with running() as (channel, pid):
        return await _paced(_calling(channel), pid, rate, seconds)


async def measure() -> EchoBaseline:
    """Measures the echo in every way that the rest is compared with."""
    async with running() as (channel, pid):
        call = _calling(channel)
        load, cpu_ms = await _paced(call, pid, RATE, SECONDS)
        full = await closed_loop([call] * CALLERS, 3)
        return EchoBaseline(load, full, await closed_loop([call], 2), cpu_ms, await _sink(channel))


if __name__ == "__main__":
    uvloop.run(serve())
