"""ProvenanceService: convert, call, convert back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from google.protobuf.struct_pb2 import Struct

from mesh.context import caller
from mesh.rpc.wellknown import struct, timestamp
from soma.provenance.v1 import provenance_service_pb2
from soma.provenance.v1.provenance_service_pb2_grpc import ProvenanceServiceServicer
from svc_provenance.domain.prov import prov_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc.aio

    from svc_provenance.app.lineage import Lineage
    from svc_provenance.domain.asset_records import Provenance


class ProvenanceServicer(ProvenanceServiceServicer):
    """Serves the provenance of assets."""

    def __init__(self, lineage: Lineage) -> None:
        self._lineage = lineage

    async def GetProvenance(
        self, request: provenance_service_pb2.GetProvenanceRequest, context: grpc.aio.ServicerContext
    ) -> provenance_service_pb2.Provenance:
        """Reads an asset's provenance with its lineage."""
        own, ancestors = await self._lineage.of(caller().tenant_id, request.asset_id.lower())
        return await asyncio.to_thread(_lineage, own, ancestors)  # hundreds of ancestors may have large parameters

    async def ExportProvenance(
        self, request: provenance_service_pb2.ExportProvenanceRequest, context: grpc.aio.ServicerContext
    ) -> Struct:
        """Writes an asset's lineage as PROV-JSON."""
        own, ancestors = await self._lineage.of(caller().tenant_id, request.asset_id.lower())
        return await asyncio.to_thread(_document, own, ancestors)


def _lineage(own: Provenance, ancestors: Sequence[Provenance]) -> provenance_service_pb2.Provenance:
    return provenance_service_pb2.Provenance(asset=_provenance(own), ancestors=map(_provenance, ancestors))


def _document(own: Provenance, ancestors: Sequence[Provenance]) -> Struct:
    return struct(prov_json(own, ancestors)) or Struct()


def _provenance(item: Provenance) -> provenance_service_pb2.AssetProvenance:
    return provenance_service_pb2.AssetProvenance(
        asset_id=item.asset_id,
        asset_type=item.asset_type,
        media_type=item.media_type,
        checksum_sha256=item.checksum,
        job_id=item.job_id,
        step_id=item.step_id,
        execution_id=item.execution_id,
        attempt=item.attempt,
        selection_id=item.selection_id,
        capability_id=item.capability_id,
        model=item.model,
        subject=item.subject,
        generation_params=struct(item.params or None),
        prompt_summary=item.prompt_summary,
        parent_ids=item.parent_ids,
        evaluation_id=item.evaluation_id,
        passes=item.passes,
        quality_score=item.quality,
        cost_micro_usd=item.cost_micro_usd,
        latency_ms=item.latency_ms,
        trace_id=item.trace_id,
        redactions=item.redactions,
        create_time=timestamp(item.created_at),
        delete_time=timestamp(item.deleted_at),
        prompt=item.prompt,
        request_id=item.request_id,
    )
