"""The wiring of the asset store."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.chassis import chassis
from mesh.dependencies import Dependency
from mesh.events.event import ProtoCodec
from mesh.lifecycle import background
from mesh.settings import load
from mesh.stores import blobs as blob_store
from soma.assets.v1.asset_service_pb2_grpc import add_AssetServiceServicer_to_server
from soma.events.v1.audit_pb2 import AuditRecorded
from soma.events.v1.envelope_pb2 import Envelope
from soma.gateway.v1.identity_service_pb2 import WatchRevocationsRequest
from soma.gateway.v1.identity_service_pb2_grpc import ApiKeyServiceStub
from svc_assets.adapters.blobs import StoredBytes
from svc_assets.adapters.inspect import LocalInspector
from svc_assets.adapters.metrics import MeasuredIngest
from svc_assets.adapters.postgres import PostgresRows
from svc_assets.adapters.spool import FileSpooler
from svc_assets.app import Assets, Ingest, Reconciler
from svc_assets.rpc import AssetFacts, AssetServicer
from svc_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.chassis import Chassis
    from mesh.lifecycle import Service

NAME = "assets"
MIB = 1024 * 1024
_PROBE_EVERY_S = 15.0
"""Each is a write, which object stores charge for."""


@asynccontextmanager
async def build(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Builds the asset store and undoes it in reverse."""
    settings = settings or load(Settings, NAME)
    config = resources.files("protos").joinpath("service_config.json").read_text()
    codec = ProtoCodec(Envelope)
    async with chassis(NAME, settings, codec=codec, audit=AuditRecorded, service_config=config) as mesh:
        keys = ApiKeyServiceStub(await mesh.peer("gateway"))
        await mesh.follow_revocations(lambda: keys.WatchRevocations(WatchRevocationsRequest()))
        rows = PostgresRows(mesh.postgres, mesh.outbox, mesh.auditor, AssetFacts(mesh.ids))
        blobs = StoredBytes(await mesh.enter(blob_store.open(settings.blobs)))
        mesh.depends_on(Dependency("blobs", blobs.lost, every_s=_PROBE_EVERY_S))
        own = settings.assets
        reconciler = Reconciler(
            rows, blobs, mesh.clock, grace_s=own.reconcile_grace_s, interval_s=own.reconcile_every_s
        )
        await mesh.enter(background(reconciler.run, "asset-reconciler"))
        ingest = MeasuredIngest(_ingest(mesh, settings, rows, blobs))
        servicer = AssetServicer(ingest, Assets(rows, blobs, mesh.clock))
        yield await mesh.serve([(add_AssetServiceServicer_to_server, servicer)])


def _ingest(mesh: Chassis, settings: Settings, rows: PostgresRows, blobs: StoredBytes) -> Ingest:
    folder = settings.assets.spool_folder or Path(tempfile.gettempdir())
    return Ingest(
        rows=rows,
        blobs=blobs,
        spooler=FileSpooler(folder),
        inspector=LocalInspector(),
        clock=mesh.clock,
        ids=mesh.ids,
        max_bytes=settings.assets.max_asset_size_mb * MIB,
    )
