"""The wiring of the asset store."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mesh import telemetry
from mesh.chassis import chassis
from mesh.dependencies import Dependency
from mesh.lifecycle import background
from mesh.processes import ProcessLimits
from mesh.settings import load
from mesh.stores import blobs as blob_store
from mesh.stores.retention import Retention, RetentionPeriods
from soma.assets.v1.asset_service_pb2_grpc import add_AssetServiceServicer_to_server
from soma.gateway.v1.permission_service_pb2_grpc import PermissionServiceStub
from svc_assets.adapters.blobs import StoredBytes
from svc_assets.adapters.inspector import ProcessInspector
from svc_assets.adapters.metrics import MeasuredIngest
from svc_assets.adapters.peers import GatewayPermissions
from svc_assets.adapters.postgres import RULES, PostgresRows, PostgresSweep
from svc_assets.adapters.read_audit import ReadAudit
from svc_assets.adapters.spool import FileSpooler
from svc_assets.app import Assets, Ingest, IngestLimits, Reconciler, SweepTimes
from svc_assets.context import CONTEXT, NAME
from svc_assets.rpc import AssetFacts, AssetServicer
from svc_assets.settings import KIB, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from mesh.chassis import Chassis
    from mesh.lifecycle import Service
    from svc_assets.settings import AssetSettings

EXAMINE_CPU_S = 20.0
EXAMINE_S = 60.0
_PROBE_EVERY_S = 15.0
"""Each is a write, which object stores charge for."""


@asynccontextmanager
async def build(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Builds the asset store and undoes it in reverse."""
    settings = settings or load(Settings, NAME)
    async with chassis(CONTEXT, settings) as mesh:
        await mesh.follow_keys()
        rows = PostgresRows(mesh.postgres, mesh.outbox, mesh.auditor, AssetFacts(mesh.ids))
        blobs = StoredBytes(await mesh.enter(blob_store.open(settings.blobs)))
        mesh.depends_on(Dependency("blobs", blobs.lost, every_s=_PROBE_EVERY_S))
        await _start_reconciler(mesh, settings.assets, rows, blobs)
        pool = await mesh.process_pool("asset-inspection", ProcessLimits(cpu_s=EXAMINE_CPU_S, time_s=EXAMINE_S))
        permissions = GatewayPermissions(PermissionServiceStub(await mesh.peer("gateway")), mesh.clock)
        ingest = MeasuredIngest(
            _ingest(mesh, settings.assets, rows, blobs, inspector=ProcessInspector(pool), permissions=permissions)
        )
        reads = await _read_audit(mesh, settings.assets)
        servicer = AssetServicer(ingest, Assets(rows, blobs, mesh.clock), reads, settings.assets.upload_deadline_s)
        yield await mesh.serve([(add_AssetServiceServicer_to_server, servicer)])


async def _read_audit(mesh: Chassis, own: AssetSettings) -> ReadAudit:
    """Starts the audit of reads, which is closed after the server."""
    reads = ReadAudit(
        mesh.auditor, mesh.postgres, mesh.clock, lambda: mesh.policy.policy_id, every_s=own.read_audit_every_s
    )
    mesh.depends_on(Dependency("read_audit", reads.is_behind))
    stack = await mesh.enter(AsyncExitStack())
    stack.push_async_callback(reads.close)
    await mesh.enter(background(reads.run, "audit-reads", clock=mesh.clock))
    return reads


async def _start_reconciler(mesh: Chassis, own: AssetSettings, rows: PostgresRows, blobs: StoredBytes) -> None:
    """Starts the sweeps and the retention."""
    times = SweepTimes(own.reconcile_every_s, own.listing_every_s, own.orphan_grace_s)
    removed = telemetry.counter("asset_sweeps_removed_total", "Bytes that sweeps deleted.", ("kind",))
    reconciler = Reconciler(
        rows,
        blobs,
        PostgresSweep(mesh.postgres),
        mesh.clock,
        times=times,
        removed=lambda kind: removed.labels(kind).inc(),
    )
    await mesh.enter(background(reconciler.run, "asset-reconciler", clock=mesh.clock))
    days = {"requests": RetentionPeriods(own.requests_days), "tombstones": RetentionPeriods(own.tombstones_days)}

    async def terms() -> Mapping[str, RetentionPeriods]:
        return days

    retention = Retention(mesh.postgres, RULES, terms, mesh.clock)
    await mesh.enter(background(retention.run_daily, "retention", clock=mesh.clock))


def _ingest(
    mesh: Chassis, own: AssetSettings, rows: PostgresRows, blobs: StoredBytes, *,
    inspector: ProcessInspector, permissions: GatewayPermissions,
) -> Ingest:  # fmt: skip
    spooler = FileSpooler(own.spool_folder or Path(tempfile.gettempdir()))
    spooler.remove_leftovers(mesh.clock.now() - timedelta(seconds=own.reconcile_grace_s))
    return Ingest(
        rows=rows,
        blobs=blobs,
        spooler=spooler,
        inspector=inspector,
        permissions=permissions,
        clock=mesh.clock,
        ids=mesh.ids,
        limits=IngestLimits(own.sizes, own.inline_max_kib * KIB, own.reconcile_grace_s),
    )
