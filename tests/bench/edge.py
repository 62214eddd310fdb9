"""REST through the edge: a route without identity beside the same work with a token and with an API key."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from mesh.identity import Claims
from tests.bench.figures import Figure, latencies
from tests.bench.load import closed_loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.e2e.conftest import Running

CALLERS, SECONDS = 16, 5
PUBLIC = "/v1/health"
PRIVATE = "/v1/multimodal/ladders/MODALITY_DIAGRAM/image_diagram"


async def caller(mesh: Running, path: str, credential: str) -> Callable[[], Awaitable[object]]:
    """A kept-alive HTTP/1.1 connection that asks for one path."""
    trust = ssl.create_default_context(cafile=str(mesh.authority))
    reader, writer = await asyncio.open_connection("localhost", mesh.port, ssl=trust)
    headers = f"authorization: Bearer {credential}\r\n" if credential else ""
    request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n".encode()

    async def call() -> object:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        return await reader.readexactly(int(fields[b"content-length"]))

    return call


async def measure(mesh: Running, bare: list[float]) -> list[Figure]:
    """Calls a second and latencies of the three."""
    token = await mesh.token(Claims("dev", "bench", roles=("member",)))
    figures: list[Figure] = []
    rates: dict[str, float] = {}
    for name, path, credential in (
        ("transcode only", PUBLIC, ""),
        ("with a token", PRIVATE, token),
        ("with an API key", PRIVATE, mesh.key),
    ):
        calls = [await caller(mesh, path, credential) for _ in range(CALLERS)]
        await closed_loop(calls, 1)
        rates[name], taken = await closed_loop(calls, SECONDS)
        ratio = rates[name] / rates["transcode only"]
        figures.append(Figure(f"REST {name}", rates[name], "1/s", "transcode only", ratio))
        figures += latencies(f"REST {name}", taken, bare)[:2]
    return figures
