"""REST through the edge: one read with a token and with an API key, beside a proxy that only transcodes it."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from mesh.identity import Claims
from tests.bench import bare_edge
from tests.bench.figures import Figure, latencies
from tests.bench.load import Load, closed_loop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bench.echo import EchoBaseline
    from tests.bench.load import Caller
    from tests.bench.rig import Rig

CALLERS, ROUNDS, SECONDS = 16, 4, 2
PATH = "/v1/multimodal/ladders/MODALITY_DIAGRAM/image_diagram"
SERVICE = "soma.registry.v1.CapabilityService"
PART = "REST"
BARE, TOKEN, KEY = "transcode only", "with a token", "with an API key"


async def caller(rig: Rig, port: int, credential: str) -> Caller:
    """A kept-alive HTTP/1.1 connection that asks for one thing."""
    trust = ssl.create_default_context(cafile=str(rig.authority))
    reader, writer = await asyncio.open_connection("localhost", port, ssl=trust)
    request = f"GET {PATH} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {credential}\r\n\r\n".encode()

    async def call() -> object:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        return await reader.readexactly(int(fields[b"content-length"]))

    return call


async def taking_turns(ways: Mapping[str, list[Caller]]) -> dict[str, Load]:
    """Loads each way for a while, round after round, so that what else the machine does hits all of them alike."""
    sums = {name: Load(0.0) for name in ways}
    for calls in ways.values():
        await closed_loop(calls, 1)
    for _ in range(ROUNDS):
        for name, calls in ways.items():
            load = await closed_loop(calls, SECONDS)
            sums[name].latencies += load.latencies
            sums[name].seconds += load.seconds
    return sums


async def measure(rig: Rig, baseline: EchoBaseline) -> list[Figure]:
    """Requests a second and latencies of the three: the same read of the same service, which verifies every time."""
    token = await rig.token(Claims("dev", "bench", roles=("member",)))
    async with bare_edge.serving(rig, "registry", SERVICE) as bare:
        doors = {BARE: (bare, token), TOKEN: (rig.port, token), KEY: (rig.port, rig.key)}
        ways = {name: [await caller(rig, *door) for _ in range(CALLERS)] for name, door in doors.items()}
        loads = await taking_turns(ways)
    figures: list[Figure] = []
    for name, load in loads.items():
        ratio = load.rate / loads[BARE].rate
        goal = "" if name == BARE else ">= 0.9"
        echo = load.rate / baseline.full.rate
        figures.append(Figure(PART, f"{name}, 16 callers", load.rate, "1/s", echo, BARE, ratio, goal))
        figures += latencies(PART, name, load.latencies, baseline.full.latencies)
    return figures
