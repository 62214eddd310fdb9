"""Ranked candidates and rejections, as FindCandidates answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.rpc.sizes import MESSAGE_BYTES, within_bytes
from soma.registry.v1 import capability_pb2
from soma.registry.v1 import capability_service_pb2 as pb

if TYPE_CHECKING:
    from svc_selector.domain.decision import RankingResult, Rejection
    from svc_selector.domain.model import Candidate


def ranking_to_proto(ranking: RankingResult, tenant_id: str) -> pb.FindCandidatesResponse:
    """Returns the candidates, best first, then the rejections, as many of both as fit into a message."""
    candidates = within_bytes(capability_to_proto(ranked.candidate, tenant_id) for ranked in ranking.ranked)
    bytes_left = MESSAGE_BYTES - sum(candidate.ByteSize() for candidate in candidates)
    left_out = within_bytes(map(_left_out_to_proto, ranking.rejected), bytes_left) if bytes_left > 0 else []
    return pb.FindCandidatesResponse(
        candidates=candidates,
        left_out=left_out,
        truncated=len(candidates) < len(ranking.ranked) or len(left_out) < len(ranking.rejected),
    )


def capability_to_proto(candidate: Candidate, tenant_id: str) -> capability_pb2.Capability:
    """Returns the registry's message of a candidate; its allow-list names no tenant but this one."""
    # Concatenated serialised parts of a message are the serialised message.
    proto = capability_pb2.Capability.FromString(candidate.serialized + candidate.serialized_schemas_and_allow_lists)
    own = [tenant for tenant in proto.allow.tenants if tenant == tenant_id]
    if proto.HasField("allow"):
        proto.allow.tenants[:] = own
    return proto


def _left_out_to_proto(rejection: Rejection) -> pb.LeftOut:
    return pb.LeftOut(capability_id=rejection.capability_id, code=rejection.code, reason=rejection.reason)
