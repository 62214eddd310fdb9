"""Converters of lineages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.struct_pb2 import Struct

from mesh.rpc.wellknown import struct, timestamp
from soma.provenance.v1 import provenance_service_pb2 as pb
from svc_provenance.domain.prov import prov_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_provenance.domain.asset_records import Provenance


def lineage_to_proto(asset: Provenance, ancestors: Sequence[Provenance]) -> pb.Provenance:
    """Returns the message of an asset's provenance and that of its ancestors."""
    return pb.Provenance(asset=asset_provenance_to_proto(asset), ancestors=map(asset_provenance_to_proto, ancestors))


def prov_json_to_proto(asset: Provenance, ancestors: Sequence[Provenance]) -> Struct:
    """Returns the lineage of an asset as a PROV-JSON document."""
    return struct(prov_json(asset, ancestors)) or Struct()


def asset_provenance_to_proto(provenance: Provenance) -> pb.AssetProvenance:
    """Returns the message of one asset's provenance."""
    return pb.AssetProvenance(
        asset_id=provenance.asset_id,
        asset_type=provenance.asset_type,
        media_type=provenance.media_type,
        checksum_sha256=provenance.checksum,
        job_id=provenance.job_id,
        step_id=provenance.step_id,
        execution_id=provenance.execution_id,
        attempt=provenance.attempt,
        selection_id=provenance.selection_id,
        capability_id=provenance.capability_id,
        model=provenance.model,
        subject=provenance.subject,
        generation_params=struct(provenance.params or None),
        prompt_summary=provenance.prompt_summary,
        parent_ids=provenance.parent_ids,
        evaluation_id=provenance.evaluation_id,
        passes=provenance.passes,
        quality_score=provenance.quality,
        cost_micro_usd=provenance.cost_micro_usd,
        latency_ms=provenance.latency_ms,
        trace_id=provenance.trace_id,
        redactions=provenance.redactions,
        create_time=timestamp(provenance.created_at),
        delete_time=timestamp(provenance.deleted_at),
        prompt=provenance.prompt,
        request_id=provenance.request_id,
    )
