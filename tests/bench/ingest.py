"""Taking bytes in: large and small bodies over gRPC, and what hashing and scanning alone can do."""

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
from svc_assets.adapters.inspect import LocalInspector
from svc_assets.adapters.spool import FileSpooler
from tests.bench.figures import Figure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.conftest import Running

MIB = 1024 * 1024
LARGE, SMALL, SMALLS = 48 * MIB, 64 * 1024, 100
PIECE = 256 * 1024


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]


async def requests(body: bytes) -> AsyncIterator[UploadAssetRequest]:
    async for piece in pieces(body):
        yield UploadAssetRequest(content=HttpBody(data=piece))


async def inside(body: bytes) -> float:
    """MiB a second of spooling, hashing, sniffing and scanning."""
    inspector = LocalInspector()
    began = time.perf_counter()
    async with FileSpooler(Path(tempfile.gettempdir())).take(pieces(body), 2 * LARGE) as spool:
        await inspector.inspect(spool, await inspector.sniff(spool))
    return len(body) / MIB / (time.perf_counter() - began)


def resident_mib(mesh: Running) -> float:
    """Resident memory of the process that serves the contexts."""
    status = Path(f"/proc/{mesh.pid('services')}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


async def measure(mesh: Running) -> list[Figure]:
    """The figures of ingest through the edge."""
    credentials = grpc.ssl_channel_credentials(mesh.authority.read_bytes())
    identity = [("authorization", f"Bearer {mesh.key}")]
    async with grpc.aio.secure_channel(f"localhost:{mesh.port}", credentials) as channel:
        upload = AssetServiceStub(channel).UploadAsset
        await upload(requests(os.urandom(LARGE)), metadata=identity)
        before = resident_mib(mesh)
        body = os.urandom(LARGE)
        began = time.perf_counter()
        await upload(requests(body), metadata=identity)
        large = LARGE / MIB / (time.perf_counter() - began)
        added = resident_mib(mesh) - before
        began = time.perf_counter()
        for _ in range(SMALLS):
            await upload(requests(os.urandom(SMALL)), metadata=identity)
        small = SMALLS / (time.perf_counter() - began)
    alone = await inside(body)
    return [
        Figure("spool, hash and scan alone", alone, "MiB/s", goal=">= 100 without the scanner"),
        Figure("ingest of 48 MiB through the edge", large, "MiB/s", "alone", large / alone),
        Figure("memory added by a second 48 MiB upload", added, "MiB", goal="< 64"),
        Figure("ingest of 64 KiB bodies, one after the other", small, "1/s"),
    ]
