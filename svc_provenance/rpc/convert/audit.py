"""Converters of audit chains: entries, faults, anchors and filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.rpc.enums import EnumCodec
from mesh.rpc.wellknown import moment, timestamp
from soma.events.v1.audit_pb2 import AuditDecision, AuditRecorded
from soma.provenance.v1 import audit_service_pb2 as pb
from svc_provenance.app.audit import AuditFilters
from svc_provenance.domain.audit import AUDIT_ACTION_FIELDS, AuditAction, Decision, to_base64url

if TYPE_CHECKING:
    from mesh.redaction import Redactor
    from svc_provenance.app.audit_verification import VerificationReport
    from svc_provenance.domain.audit import ChainedEntry, SignedStatement
    from svc_provenance.domain.audit_check import AuditFinding

_DECISIONS = EnumCodec(AuditDecision)
_FAULT_KINDS = EnumCodec(pb.AuditFaultKind)
_KNOWN = frozenset(Decision)


def audit_filters_from_proto(request: pb.ListAuditEventsRequest) -> AuditFilters:
    """Returns the filters of a list request."""
    decision = _DECISIONS.name(request.decision)
    return AuditFilters(
        subject=request.subject,
        action=request.action,
        resource_type=request.resource_type,
        resource_id=request.resource_id,
        decision=Decision(decision) if decision else None,
        start=moment(request.start_time),
        end=moment(request.end_time),
    )


def audit_action_from_proto(message: AuditRecorded, redactor: Redactor) -> AuditAction:
    """Returns what was done; its reason is redacted, and no text contains NUL, which Postgres does not store."""
    texts = {name: getattr(message, name) for name in AUDIT_ACTION_FIELDS if name != "decision"}
    texts["reason"] = redactor.text(texts["reason"])
    storable = {name: text.replace("\0", "\ufffd") for name, text in texts.items()}
    decision = _DECISIONS.name(message.decision) or Decision.UNSPECIFIED.value
    return AuditAction(decision=decision, **storable)


def audit_event_to_proto(chained_entry: ChainedEntry) -> pb.AuditEvent:
    """Returns the message of an entry; a decision that the contract does not know is unspecified."""
    entry = chained_entry.entry
    texts = {name: getattr(entry.audit_action, name) for name in AUDIT_ACTION_FIELDS if name != "decision"}
    decision = entry.audit_action.decision if entry.audit_action.decision in _KNOWN else Decision.UNSPECIFIED
    return pb.AuditEvent(
        audit_id=entry.audit_id,
        sequence=entry.sequence,
        occur_time=timestamp(entry.occurred_at),
        record_time=timestamp(entry.recorded_at),
        record=AuditRecorded(decision=_DECISIONS.number(decision), **texts),
        previous_digest=chained_entry.previous_digest.hex(),
        digest=chained_entry.digest.hex(),
    )


def verification_to_proto(report: VerificationReport) -> pb.VerifyAuditResponse:
    """Returns the message of a verification."""
    return pb.VerifyAuditResponse(
        intact=not report.faults,
        entries=report.entries,
        first_sequence=report.first_sequence,
        last_sequence=report.last_sequence,
        faults=map(audit_fault_to_proto, report.faults),
        anchor=audit_anchor_to_proto(report.anchor) if report.anchor else None,
        next_sequence=report.next_sequence,
        last_digest=report.last_digest.hex(),
    )


def audit_fault_to_proto(fault: AuditFinding) -> pb.AuditFault:
    """Returns the message of a fault."""
    return pb.AuditFault(sequence=fault.sequence, kind=_FAULT_KINDS.number(fault.kind), detail=fault.detail)


def audit_anchor_to_proto(anchor: SignedStatement) -> pb.AuditAnchor:
    """Returns the message of an anchor."""
    return pb.AuditAnchor(
        sequence=anchor.position.sequence,
        digest=anchor.position.digest.hex(),
        key_version=anchor.key_version,
        signature=to_base64url(anchor.signature),
        create_time=timestamp(anchor.created_at),
    )
