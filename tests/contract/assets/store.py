"""The asset store with its adapters, as tests use it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.ids import SystemIds
from mesh.processes import ProcessLimits, ProcessPool
from svc_assets.adapters.inspector import ProcessInspector
from svc_assets.adapters.spool import FileSpooler
from svc_assets.app import Assets, Ingest, IngestLimits, Reconciler, SweepTimes
from svc_assets.domain.limits import Permissions, SizeLimits
from svc_assets.domain.model import ListQuery, ReleaseRequest, Status, UploadMetadata
from tests.in_memory.assets import MemoryPermissions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mesh.testing import FakeClock
    from svc_assets.app.ports import AssetStore, BlobStore, SweepState
    from svc_assets.domain.model import Asset

MAX = 100_000
INLINE = 1_000
LARGE = b"large " * 1_000
"""More than fits into a row."""
GRACE_S = 900.0
DAY_S = 86_400.0


@dataclass
class Store:
    rows: AssetStore
    blobs: BlobStore
    state: SweepState
    clock: FakeClock
    spool: Path
    permissions: Permissions = field(default_factory=Permissions)

    @property
    def ingest(self) -> Ingest:
        return Ingest(
            store=self.rows,
            blobs=self.blobs,
            spooler=FileSpooler(self.spool),
            inspector=ProcessInspector(ProcessPool("test", ProcessLimits(), self.clock)),
            clock=self.clock,
            ids=SystemIds(),
            permissions=MemoryPermissions(self.permissions),
            limits=IngestLimits(SizeLimits(MAX), INLINE, GRACE_S),
        )

    @property
    def assets(self) -> Assets:
        return Assets(self.rows, self.blobs, self.clock)

    @property
    def reconciler(self) -> Reconciler:
        return Reconciler(self.rows, self.blobs, self.state, self.clock, times=SweepTimes(300.0, DAY_S, DAY_S))

    async def put(self, body: bytes, tenant: str = "acme", subject: str = "alice", **declared: object) -> Asset:
        return await self.ingest.store(tenant, subject, UploadMetadata(**declared), chunks(body))  # type: ignore[arg-type]

    async def read(self, asset: Asset, offset: int = 0, limit: int = 0) -> bytes:
        _, body = await self.assets.open(asset.tenant_id, asset.asset_id, offset, limit)
        return b"".join([chunk async for chunk in body])

    async def delete(
        self, asset: Asset, subject: str = "alice", job_id: str = "", *, by_service: bool = False
    ) -> Asset:
        release = ReleaseRequest(subject, job_id, by_service)
        return await self.assets.delete(asset.tenant_id, asset.asset_id, release, "asked for")

    async def paths(self) -> set[str]:
        """What the blob store has of assets."""
        pages = [page async for page in self.blobs.pages("", 100)]
        return {blob.path for page in pages for blob in page if not blob.path.startswith("_")}

    async def left_behind(self) -> tuple[set[str], list[Asset]]:
        """Blobs that no readable asset has, and rows whose bytes are not deleted, once every grace is over."""
        readable = await self.rows.list("acme", ListQuery(limit=100))
        unclaimed = await self.rows.claim_for_deletion(self.clock.now() + timedelta(days=30), self.clock.now(), 100)
        return await self.paths() - {asset.storage_path for asset in readable}, list(unclaimed)

    async def swept(self) -> None:
        """Lets every grace pass and sweeps."""
        await self.clock.advance(GRACE_S + 1)
        await self.reconciler.sweep_rows()
        await self.reconciler.sweep_holders()
        await self.clock.advance(2 * DAY_S)
        await self.reconciler.sweep_blobs()


async def chunks(body: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def ready(assets: list[Asset]) -> list[Asset]:
    return [asset for asset in assets if asset.status is Status.READY]
