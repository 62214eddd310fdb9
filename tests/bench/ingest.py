"""Taking bytes in: large and small bodies over gRPC, and what spooling, hashing and scanning alone can do."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc.aio
from google.api.httpbody_pb2 import HttpBody

from soma.assets.v1.asset_service_pb2 import UploadAssetRequest
from soma.assets.v1.asset_service_pb2_grpc import AssetServiceStub
from svc_assets.adapters.content_checks import inspect_content
from svc_assets.adapters.spool import FileSpooler
from svc_assets.domain.limits import SizeLimits
from tests.bench.figures import Figure
from tests.bench.load import closed_loop
from tests.bench.probes import forget_peak, memory_mib

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from soma.assets.v1.asset_service_pb2_grpc import AssetServiceAsyncStub
    from tests.bench.echo import EchoBaseline
    from tests.bench.rig import Rig

MIB = 1 << 20
LARGE, SMALL, PIECE = 50 * 1000 * 1000, 64 * 1024, 256 * 1024
CALLERS, SECONDS, TIMES = 16, 4, 3
PART = "ingest"

Identity = list[tuple[str, str]]


def sound(size: int) -> bytes:
    """A body that was never there before, with the head of a WAV file: noise alone may pass for a broken picture."""
    return b"RIFF\xff\xff\xff\xffWAVE" + os.urandom(size - 12)


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    """A body as a client sends it."""
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]


async def requests(body: bytes) -> AsyncIterator[UploadAssetRequest]:
    """The messages of an upload."""
    async for piece in pieces(body):
        yield UploadAssetRequest(content=HttpBody(data=piece))


async def alone(size: int, times: int) -> float:
    """MiB a second of spooling, hashing, sniffing and scanning, in this process: the best of three rounds."""
    spooler = FileSpooler(Path(tempfile.gettempdir()))
    best = 0.0
    for _ in range(TIMES):
        bodies = [sound(size) for _ in range(times)]
        began = time.perf_counter()
        for body in bodies:
            async with spooler.receive(pieces(body), SizeLimits(2 * LARGE).largest({})) as spool:
                inspect_content(spool.content, spool.path)
        best = max(best, size * times / MIB / (time.perf_counter() - began))
    return best


async def large(stub: AssetServiceAsyncStub, identity: Identity) -> float:
    """MiB a second of one 50 MB body after the other, each different: the best of three."""
    best = 0.0
    for _ in range(TIMES):
        body = sound(LARGE)
        began = time.perf_counter()
        await stub.UploadAsset(requests(body), metadata=identity)
        best = max(best, LARGE / MIB / (time.perf_counter() - began))
    return best


async def small(stub: AssetServiceAsyncStub, identity: Identity, callers: int) -> float:
    """Bodies of 64 KiB a second, each different."""

    async def call() -> object:
        return await stub.UploadAsset(requests(sound(SMALL)), metadata=identity)

    load = await closed_loop([call] * callers, SECONDS)
    if load.failed:
        raise RuntimeError(f"uploads failed: {dict(load.failures)}")
    return load.rate


async def memory(rig: Rig, stub: AssetServiceAsyncStub, identity: Identity) -> float:
    """MiB that the process's resident memory peaks above where it stood, during one upload of 50 MB."""
    pid, body = rig.context_pid("assets"), sound(LARGE)
    forget_peak(pid)
    before = memory_mib(pid)
    await stub.UploadAsset(requests(body), metadata=identity)
    return memory_mib(pid, "VmHWM") - before


def _rate(name: str, value: float, sink: float, baseline: float, against: str) -> Figure:
    return Figure(PART, name, value, "MiB/s", value / sink, against, value / baseline)


async def measure(rig: Rig, baseline: EchoBaseline) -> list[Figure]:
    """The figures of ingest, past the edge and through it."""
    identity: Identity = [("authorization", f"Bearer {rig.key}")]
    trust = grpc.ssl_channel_credentials(rig.authority.read_bytes())
    large_alone, small_alone = await alone(LARGE, 1), await alone(SMALL, 200)
    async with rig.direct("assets") as direct, grpc.aio.secure_channel(f"localhost:{rig.port}", trust) as edge:
        stub, through = AssetServiceStub(direct), AssetServiceStub(edge)
        first = await memory(rig, stub, identity)
        large_direct, large_edge = await large(stub, identity), await large(through, identity)
        later = await memory(rig, stub, identity)
        one, many = await small(stub, identity, 1), await small(stub, identity, CALLERS)
    per_body = SMALL / MIB
    return [
        Figure(PART, "spool, hash and scan alone, 50 MB", large_alone, "MiB/s", large_alone / baseline.sink),
        Figure(PART, "spool, hash and scan alone, 64 KiB", small_alone, "MiB/s", small_alone / baseline.sink),
        _rate("50 MB over gRPC", large_direct, baseline.sink, large_alone, "alone"),
        _rate("50 MB over gRPC through the edge", large_edge, baseline.sink, large_alone, "alone"),
        _rate("64 KiB over gRPC, one caller", one * per_body, baseline.sink, small_alone, "alone"),
        _rate("64 KiB over gRPC, 16 callers", many * per_body, baseline.sink, small_alone, "alone"),
        Figure(PART, "64 KiB bodies, 16 callers", many, "1/s", many / baseline.full.rate),
        Figure(PART, "resident memory added at the peak of the first 50 MB", first, "MiB", goal="< 64"),
        Figure(PART, "resident memory added at the peak of a later 50 MB", later, "MiB", goal="< 64"),
    ]
