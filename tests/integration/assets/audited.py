"""Assets: what is audited, and a call of every method that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import use
from mesh.errors import SomaError
from mesh.events.outbox import Outbox
from mesh.processes import ProcessLimits, ProcessPool
from soma.assets.v1 import asset_service_pb2 as assets_pb
from svc_assets.adapters.inspector import ProcessInspector
from svc_assets.adapters.postgres import PostgresAssetStore
from svc_assets.adapters.postgres.read_audit import PostgresReadAudit
from svc_assets.adapters.spool import FileSpooler
from svc_assets.app import Assets, Ingest, IngestLimits
from svc_assets.domain.limits import SizeLimits
from svc_assets.events.published import AssetEvents
from svc_assets.rpc import AssetServicer
from tests.in_memory.assets import MemoryBlobStore, MemoryPermissions
from tests.integration.contexts.audit.observer import ALICE, CLOCK, IDS, SECRET, AuditObserver, Call
from tests.integration.contexts.audit.table import ContextAudit, Entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mesh.events.audit import Auditor

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


async def drive(observer: AuditObserver, auditor: Auditor, folder: Path) -> None:
    """Bytes that are stored, deleted, and refused."""
    rows, blobs = PostgresAssetStore(observer.postgres, Outbox(), auditor, AssetEvents(IDS)), MemoryBlobStore()
    ingest = Ingest(
        store=rows, blobs=blobs, spooler=FileSpooler(folder), clock=CLOCK, ids=IDS,
        inspector=ProcessInspector(ProcessPool("test", ProcessLimits(), CLOCK)),
        permissions=MemoryPermissions(), limits=IngestLimits(SizeLimits(10_000), 1_000, 900.0),
    )  # fmt: skip
    reads = PostgresReadAudit(auditor, observer.postgres, CLOCK, lambda: "p", every_s=1.0)
    service, servicer = (
        "soma.assets.v1.AssetService",
        AssetServicer(ingest, Assets(rows, blobs, CLOCK), reads, 600.0),
    )
    stored = await observer.call(service, servicer, "UploadAsset", _upload(SECRET.encode()))
    by_id = {"asset_id": stored.asset_id}  # type: ignore[attr-defined]
    await observer.call(service, servicer, "GetAsset", assets_pb.GetAssetRequest(**by_id))
    await reads.flush()
    await observer.note(f"{service}.GetAsset")
    with use(ALICE):
        _ = [piece async for piece in servicer.DownloadAsset(assets_pb.DownloadAssetRequest(**by_id), Call())]  # type: ignore[arg-type]
    await reads.flush()
    await observer.note(f"{service}.DownloadAsset")
    await observer.call(service, servicer, "ListAssets", assets_pb.ListAssetsRequest())
    await reads.flush()
    await observer.note(f"{service}.ListAssets")
    gone = assets_pb.DeleteAssetRequest(asset_id=stored.asset_id, reason="asked for")  # type: ignore[attr-defined]
    await observer.call(service, servicer, "DeleteAsset", gone)
    again = await observer.call(service, servicer, "UploadAsset", _upload(SECRET.encode()))
    erase = assets_pb.EraseAssetRequest(asset_id=again.asset_id, reason="asked for")  # type: ignore[attr-defined]
    await observer.call(service, servicer, "EraseAsset", erase)
    try:
        await observer.call(service, servicer, "UploadAsset", _upload(EICAR))
    except SomaError:
        await observer.note("an upload is rejected by the scan")


async def _upload(body: bytes) -> AsyncIterator[assets_pb.UploadAssetRequest]:
    yield assets_pb.UploadAssetRequest(content={"data": body}, filename=f"{SECRET}.txt")


AUDIT = ContextAudit(
    drive,
    audited={
        "AssetService.UploadAsset": Entry("asset.create", "asset"),
        "AssetService.DeleteAsset": Entry("asset.delete", "asset"),
        "AssetService.EraseAsset": Entry("asset.erase", "asset"),
    },
    reads={
        "AssetService.GetAsset": Entry("asset.read", "asset_metadata", "counted up"),
        "AssetService.DownloadAsset": Entry("asset.read", "asset", "counted up"),
        "AssetService.ListAssets": Entry("asset.read", "asset_list", "counted up"),
    },
    unprompted={
        "an upload is rejected by the scan": Entry("asset.create", "upload", "a refusal"),
    },
)
