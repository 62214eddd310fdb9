"""Reads and verifies the audit chains. Nothing writes here: entries arrive as events, one chain a tenant."""

# Generated from protos/soma/provenance/v1/audit_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from datetime import datetime

from soma_client.calls import Caller
from soma_client.gen.soma.events import v1 as events_v1
from soma_client.gen.soma.provenance import v1 as provenance_v1
from soma_client.paging import Pages


class AuditServiceMethods:
    """Reads and verifies the audit chains. Nothing writes here: entries arrive as events, one chain a tenant."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def list_audit_events(
        self,
        *,
        subject: str = "",
        action: str = "",
        resource_type: str = "",
        resource_id: str = "",
        decision: events_v1.AuditDecision = events_v1.AuditDecision(0),
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        platform: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> Pages[provenance_v1.ListAuditEventsResponse, provenance_v1.AuditEvent]:
        """Lists entries of the caller's tenant, newest first.

        Args:
            subject: Only those of this subject.
            action: Only this action.
            resource_type: Only things of this kind.
            resource_id: Only this thing.
            decision: Only this decision.
            start_time: Only what happened at or after this, 1970 or later.
            end_time: Only what happened before this, 1970 or later.
            platform: The platform's own chain in place of the tenant's; for platform administrators.
            page_size: Most entries a page, 1 to 500; 0 means 50.
            page_token: next_page_token of the page before; the filters must be the same.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """

        def request(token: str) -> provenance_v1.ListAuditEventsRequest:
            return provenance_v1.ListAuditEventsRequest(
                subject=subject,
                action=action,
                resource_type=resource_type,
                resource_id=resource_id,
                decision=decision,
                start_time=start_time,
                end_time=end_time,
                platform=platform,
                page_size=page_size,
                page_token=token,
            )

        return Pages(
            self._caller,
            "/soma.provenance.v1.AuditService/ListAuditEvents",
            request,
            provenance_v1.ListAuditEventsResponse,
            lambda page: page.audit_events,
            page_token=page_token,
            timeout=timeout,
        )

    async def get_audit_event(
        self, audit_id: str, *, platform: bool = False, timeout: float | None = None
    ) -> provenance_v1.AuditEvent:
        """Reads one entry.

        Args:
            audit_id: Id of the entry. Required.
            platform: From the platform's own chain; for platform administrators.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = provenance_v1.GetAuditEventRequest(audit_id=audit_id, platform=platform)
        return await self._caller.unary(
            "/soma.provenance.v1.AuditService/GetAuditEvent", request, provenance_v1.AuditEvent, timeout
        )

    async def verify(
        self, *, platform: bool = False, from_sequence: int = 0, previous_digest: str = "", timeout: float | None = None
    ) -> provenance_v1.VerifyAuditResponse:
        """Computes the chain anew and compares it with what is kept and with the signed anchors outside the
        database: finds every change, deletion, swap and truncation. A call verifies at most 20,000 entries
        and 1,000 anchors: call again with next_sequence as from_sequence and last_digest as previous_digest
        until next_sequence is 0.

        Args:
            platform: The platform's own chain in place of the tenant's; for platform administrators.
            from_sequence: Verify from this place on; 0: from the first that is kept. With
                previous_digest it may be the place behind the last entry.
            previous_digest: Digest of the entry before from_sequence, as last_digest of the call before
                told it: lower-case hex. The chain must go on from it, else there is a fault
                (BROKEN_LINK). Empty: whatever the entry before has is trusted.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = provenance_v1.VerifyAuditRequest(
            platform=platform, from_sequence=from_sequence, previous_digest=previous_digest
        )
        return await self._caller.unary(
            "/soma.provenance.v1.AuditService/VerifyAudit", request, provenance_v1.VerifyAuditResponse, timeout
        )
