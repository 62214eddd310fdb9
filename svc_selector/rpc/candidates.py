"""What is answered of candidates and of what was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.rpc.sizes import MESSAGE_BYTES, within_bytes
from soma.registry.v1 import capability_pb2
from soma.registry.v1 import capability_service_pb2 as pb

if TYPE_CHECKING:
    from svc_selector.domain.decision import JudgementResult, Rejection
    from svc_selector.domain.model import Candidate


def judgement_to_proto(judged: JudgementResult, tenant_id: str) -> pb.FindCandidatesResponse:
    """The candidates, best first, then what was left out, as far as a message takes them."""
    candidates = within_bytes(capability_to_proto(item.candidate, tenant_id) for item in judged.ranked)
    room = MESSAGE_BYTES - sum(item.ByteSize() for item in candidates)
    left_out = within_bytes(map(_left_out_to_proto, judged.rejected), room) if room > 0 else []
    return pb.FindCandidatesResponse(
        candidates=candidates,
        left_out=left_out,
        truncated=len(candidates) < len(judged.ranked) or len(left_out) < len(judged.rejected),
    )


def capability_to_proto(candidate: Candidate, tenant_id: str) -> capability_pb2.Capability:
    """The registry's message of a candidate; of its allow-list no tenant but this one."""
    # Serialised parts of a message joined are the message with all of them.
    proto = capability_pb2.Capability.FromString(candidate.document + candidate.omitted)
    own = [tenant for tenant in proto.allow.tenants if tenant == tenant_id]
    if proto.HasField("allow"):
        proto.allow.tenants[:] = own
    return proto


def _left_out_to_proto(item: Rejection) -> pb.LeftOut:
    return pb.LeftOut(capability_id=item.capability_id, code=item.code, reason=item.reason)
