"""AuditService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.api.httpbody_pb2 import HttpBody

from mesh.context import caller
from mesh.errors import invalid
from mesh.rpc.enums import EnumCodec
from mesh.rpc.paging import cursor_of, cursor_token, page_size
from mesh.rpc.wellknown import moment, timestamp
from soma.events.v1.audit_pb2 import AuditDecision, AuditRecorded
from soma.provenance.v1 import audit_service_pb2 as pb
from soma.provenance.v1.audit_service_pb2_grpc import AuditServiceServicer
from svc_provenance.app.audit import AuditFilters
from svc_provenance.domain.audit import AUDIT_ACTION_FIELDS, Decision, to_base64url
from svc_provenance.domain.tenant_scope import tenant_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from svc_provenance.app.audit import Audit
    from svc_provenance.domain.audit import ChainedEntry, SignedStatement
    from svc_provenance.domain.audit_check import Fault

_DECISIONS = EnumCodec(AuditDecision)
_FAULT_KINDS = EnumCodec(pb.AuditFaultKind)
_LINES = "application/x-ndjson"
_KNOWN = frozenset(Decision)


class AuditServicer(AuditServiceServicer):
    """Serves the chain of the caller's tenant, and the platform's to its administrators."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    async def ListAuditEvents(
        self, request: pb.ListAuditEventsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListAuditEventsResponse:
        """Lists entries, newest first."""
        chain = tenant_of(caller(), platform=request.platform)
        page, end = await self._audit.page(chain, _filters(request), _mark(request), page_size(request))
        token = cursor_token(request, str(end)) if end else ""
        return pb.ListAuditEventsResponse(audit_events=map(_event, page), next_page_token=token)

    async def GetAuditEvent(self, request: pb.GetAuditEventRequest, context: grpc.aio.ServicerContext) -> pb.AuditEvent:
        """Reads one entry."""
        chain = tenant_of(caller(), platform=request.platform)
        return _event(await self._audit.of(chain, request.audit_id.lower()))

    async def VerifyAudit(
        self, request: pb.VerifyAuditRequest, context: grpc.aio.ServicerContext
    ) -> pb.VerifyAuditResponse:
        """Computes a part of the chain anew."""
        chain = tenant_of(caller(), platform=request.platform)
        report = await self._audit.verify(chain, request.from_sequence, bytes.fromhex(request.previous_digest))
        return pb.VerifyAuditResponse(
            intact=not report.faults,
            entries=report.entries,
            first_sequence=report.first,
            last_sequence=report.last,
            faults=map(_fault, report.faults),
            anchor=_anchor(report.anchor) if report.anchor else None,
            next_sequence=report.next_sequence,
            last_digest=report.last_digest.hex(),
        )

    async def ExportAudit(
        self, request: pb.ExportAuditRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[HttpBody]:
        """Streams the chain as JSON lines."""
        chain = tenant_of(caller(), platform=request.platform)
        async for lines in self._audit.export(chain, request.from_sequence):
            yield HttpBody(content_type=_LINES, data=lines)


def _filters(request: pb.ListAuditEventsRequest) -> AuditFilters:
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


def _mark(request: pb.ListAuditEventsRequest) -> int:
    place = cursor_of(request)
    if place and not (place.isascii() and place.isdigit() and len(place) <= 18):  # noqa: PLR2004 - digits of an int64
        raise invalid("page_token", "must be the next_page_token of the page before")
    return int(place or 0)


def _event(linked: ChainedEntry) -> pb.AuditEvent:
    entry = linked.entry
    texts = {name: getattr(entry.audit_action, name) for name in AUDIT_ACTION_FIELDS if name != "decision"}
    decision = entry.audit_action.decision if entry.audit_action.decision in _KNOWN else Decision.UNSPECIFIED
    return pb.AuditEvent(
        audit_id=entry.audit_id,
        sequence=entry.sequence,
        occur_time=timestamp(entry.occurred_at),
        record_time=timestamp(entry.recorded_at),
        record=AuditRecorded(decision=_DECISIONS.number(decision), **texts),
        previous_digest=linked.previous_digest.hex(),
        digest=linked.digest.hex(),
    )


def _fault(fault: Fault) -> pb.AuditFault:
    return pb.AuditFault(sequence=fault.sequence, kind=_FAULT_KINDS.number(fault.kind), detail=fault.detail)


def _anchor(anchor: SignedStatement) -> pb.AuditAnchor:
    return pb.AuditAnchor(
        sequence=anchor.end.sequence,
        digest=anchor.end.digest.hex(),
        key_version=anchor.key_version,
        signature=to_base64url(anchor.signature),
        create_time=timestamp(anchor.created_at),
    )
