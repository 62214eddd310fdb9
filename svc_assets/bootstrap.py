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
from svc_assets.adapters.blobs import AssetBlobStore
from svc_assets.adapters.inspector import ProcessInspector
from svc_assets.adapters.metrics import MeasuredIngest
from svc_assets.adapters.peers import GatewayPermissions
from svc_assets.adapters.postgres import RETENTION_RULES, PostgresAssetStore, PostgresReadAudit, PostgresSweepState
from svc_assets.adapters.spool import FileSpooler
from svc_assets.app import Assets, Ingest, IngestLimits, Reconciler, SweepTimes
from svc_assets.context import CONTEXT, NAME
from svc_assets.events.published import AssetEvents
from svc_assets.rpc import AssetServicer
from svc_assets.settings import KIB, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from mesh.chassis import Chassis
    from mesh.lifecycle import Service
    from svc_assets.settings import AssetSettings

INSPECTION_CPU_S = 20.0
INSPECTION_TIME_S = 60.0
_PROBE_INTERVAL_S = 15.0
"""Seconds between two probes of the blob store: each is a write, which object stores charge for."""


@asynccontextmanager
async def build(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Builds the asset store; on exit closes its parts in reverse order."""
    settings = settings or load(Settings, NAME)
    async with chassis(CONTEXT, settings) as mesh:
        await mesh.follow_keys()
        store = PostgresAssetStore(mesh.postgres, mesh.outbox, mesh.auditor, AssetEvents(mesh.ids))
        blobs = AssetBlobStore(await mesh.enter(blob_store.open(settings.blobs)))
        mesh.depends_on(Dependency("blobs", blobs.check_writable, every_s=_PROBE_INTERVAL_S))
        await _start_reconciler(mesh, settings.assets, store, blobs)
        pool = await mesh.process_pool(
            "asset-inspection", ProcessLimits(cpu_s=INSPECTION_CPU_S, time_s=INSPECTION_TIME_S)
        )
        permissions = GatewayPermissions(PermissionServiceStub(await mesh.peer("gateway")), mesh.clock)
        ingest = MeasuredIngest(
            _ingest(mesh, settings.assets, store, blobs, inspector=ProcessInspector(pool), permissions=permissions)
        )
        reads = await _read_audit(mesh, settings.assets)
        servicer = AssetServicer(ingest, Assets(store, blobs, mesh.clock), reads, settings.assets.upload_deadline_s)
        yield await mesh.serve([(add_AssetServiceServicer_to_server, servicer)])


async def _read_audit(chassis: Chassis, settings: AssetSettings) -> PostgresReadAudit:
    """Starts the audit of reads, which closes after the server."""
    reads = PostgresReadAudit(
        chassis.auditor,
        chassis.postgres,
        chassis.clock,
        lambda: chassis.policy.policy_id,
        every_s=settings.read_audit_every_s,
    )
    chassis.depends_on(Dependency("read_audit", reads.check_dropped))
    stack = await chassis.enter(AsyncExitStack())
    stack.push_async_callback(reads.close)
    await chassis.enter(background(reads.run, "audit-reads", clock=chassis.clock))
    return reads


async def _start_reconciler(
    chassis: Chassis, settings: AssetSettings, store: PostgresAssetStore, blobs: AssetBlobStore
) -> None:
    """Starts the sweeps and the retention."""
    times = SweepTimes(settings.reconcile_every_s, settings.listing_every_s, settings.orphan_grace_s)
    deleted_total = telemetry.counter("asset_sweeps_removed_total", "Bytes that sweeps deleted.", ("kind",))
    reconciler = Reconciler(
        store,
        blobs,
        PostgresSweepState(chassis.postgres),
        chassis.clock,
        times=times,
        on_deleted=lambda kind: deleted_total.labels(kind).inc(),
    )
    await chassis.enter(background(reconciler.run, "asset-reconciler", clock=chassis.clock))
    days = {
        "requests": RetentionPeriods(settings.requests_days),
        "tombstones": RetentionPeriods(settings.tombstones_days),
    }

    async def retention_periods() -> Mapping[str, RetentionPeriods]:
        return days

    retention = Retention(chassis.postgres, RETENTION_RULES, retention_periods, chassis.clock)
    await chassis.enter(background(retention.run_daily, "retention", clock=chassis.clock))


def _ingest(
    chassis: Chassis, settings: AssetSettings, store: PostgresAssetStore, blobs: AssetBlobStore, *,
    inspector: ProcessInspector, permissions: GatewayPermissions,
) -> Ingest:  # fmt: skip
    spooler = FileSpooler(settings.spool_folder or Path(tempfile.gettempdir()))
    spooler.remove_leftovers(chassis.clock.now() - timedelta(seconds=settings.reconcile_grace_s))
    return Ingest(
        store=store,
        blobs=blobs,
        spooler=spooler,
        inspector=inspector,
        permissions=permissions,
        clock=chassis.clock,
        ids=chassis.ids,
        limits=IngestLimits(settings.sizes, settings.inline_max_kib * KIB, settings.reconcile_grace_s),
    )
