"""AuditService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.api.httpbody_pb2 import HttpBody

from mesh.context import caller
from mesh.errors import invalid
from mesh.rpc.paging import cursor_of, cursor_token, page_size
from soma.provenance.v1 import audit_service_pb2 as pb
from soma.provenance.v1.audit_service_pb2_grpc import AuditServiceServicer
from svc_provenance.domain.tenant_scope import tenant_of
from svc_provenance.rpc.convert.audit import audit_event_to_proto, audit_filters_from_proto, verification_to_proto

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from svc_provenance.app.audit import Audit

_NDJSON = "application/x-ndjson"
_MAX_SEQUENCE_DIGITS = 18
"""A number of as many digits is within an int64."""


class AuditServicer(AuditServiceServicer):
    """Serves the chain of the caller's tenant, and the platform's to its administrators."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    async def ListAuditEvents(
        self, request: pb.ListAuditEventsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListAuditEventsResponse:
        """Lists entries, newest first."""
        chain = tenant_of(caller(), platform=request.platform)
        filters, before = audit_filters_from_proto(request), _sequence_of_cursor(request)
        page, next_before = await self._audit.page(chain, filters, before, page_size(request))
        token = cursor_token(request, str(next_before)) if next_before else ""
        return pb.ListAuditEventsResponse(audit_events=map(audit_event_to_proto, page), next_page_token=token)

    async def GetAuditEvent(self, request: pb.GetAuditEventRequest, context: grpc.aio.ServicerContext) -> pb.AuditEvent:
        """Reads one entry."""
        chain = tenant_of(caller(), platform=request.platform)
        return audit_event_to_proto(await self._audit.get(chain, request.audit_id.lower()))

    async def VerifyAudit(
        self, request: pb.VerifyAuditRequest, context: grpc.aio.ServicerContext
    ) -> pb.VerifyAuditResponse:
        """Verifies a part of the chain."""
        chain = tenant_of(caller(), platform=request.platform)
        report = await self._audit.verify(chain, request.from_sequence, bytes.fromhex(request.previous_digest))
        return verification_to_proto(report)

    async def ExportAudit(
        self, request: pb.ExportAuditRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[HttpBody]:
        """Streams the chain as JSON lines."""
        chain = tenant_of(caller(), platform=request.platform)
        async for lines in self._audit.export(chain, request.from_sequence):
            yield HttpBody(content_type=_NDJSON, data=lines)


def _sequence_of_cursor(request: pb.ListAuditEventsRequest) -> int:
    """Returns the sequence before which the page begins; 0 for the first page."""
    cursor = cursor_of(request)
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= _MAX_SEQUENCE_DIGITS):
        raise invalid("page_token", "must be the next_page_token of the page before")
    return int(cursor or 0)
