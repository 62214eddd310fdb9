"""ReceiptService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.rpc.enums import EnumCodec
from mesh.rpc.paging import page_size, time_cursor_of, time_cursor_token
from mesh.rpc.wellknown import moment, timestamp
from soma.provenance.v1 import receipt_service_pb2
from soma.provenance.v1.receipt_service_pb2_grpc import ReceiptServiceServicer
from svc_provenance.app.receipts import ReceiptFilters
from svc_provenance.domain.pages import PageCursor
from svc_provenance.domain.receipts import Cause, Form
from svc_provenance.domain.retention import Days
from svc_provenance.rpc.convert import degradation_to_proto

if TYPE_CHECKING:
    import grpc.aio

    from svc_provenance.app.receipts import Receipts
    from svc_provenance.app.retention import RetentionDays
    from svc_provenance.domain.receipts import Receipt, ReceiptAttempt
    from svc_provenance.domain.retention import TenantRetention

_FORMS = EnumCodec(receipt_service_pb2.ReceiptForm)
_CAUSES = EnumCodec(receipt_service_pb2.ReceiptCause)


class ReceiptServicer(ReceiptServiceServicer):
    """Serves receipts, and for how long records are kept."""

    def __init__(self, receipts: Receipts, retention: RetentionDays) -> None:
        self._receipts = receipts
        self._retention = retention

    async def ListReceipts(
        self, request: receipt_service_pb2.ListReceiptsRequest, context: grpc.aio.ServicerContext
    ) -> receipt_service_pb2.ListReceiptsResponse:
        """Lists the receipts of the caller's tenant, newest first."""
        mark = time_cursor_of(request)
        page, end = await self._receipts.page(
            caller().tenant_id, _filters(request), mark and PageCursor(*mark), page_size(request)
        )
        return receipt_service_pb2.ListReceiptsResponse(
            receipts=map(_receipt, page), next_page_token=time_cursor_token(request, end.at, end.id_) if end else ""
        )

    async def GetReceipt(
        self, request: receipt_service_pb2.GetReceiptRequest, context: grpc.aio.ServicerContext
    ) -> receipt_service_pb2.Receipt:
        """Reads one receipt, by its own id or the job's."""
        return _receipt(await self._receipts.of(caller().tenant_id, request.receipt_id.lower()))

    async def GetRetention(
        self, request: receipt_service_pb2.GetRetentionRequest, context: grpc.aio.ServicerContext
    ) -> receipt_service_pb2.Retention:
        """Reads how long the caller's tenant's records are kept."""
        return _retention(await self._retention.of(caller().tenant_id))

    async def SetRetention(
        self, request: receipt_service_pb2.SetRetentionRequest, context: grpc.aio.ServicerContext
    ) -> receipt_service_pb2.Retention:
        """Sets how long the caller's tenant's records are kept."""
        wanted = request.retention
        days = Days(wanted.receipts_days, wanted.traces_days, wanted.audit_days, wanted.dead_letters_days)
        return _retention(await self._retention.set(caller().tenant_id, caller().subject, days))


def _filters(request: receipt_service_pb2.ListReceiptsRequest) -> ReceiptFilters:
    form, cause = _FORMS.name(request.form).lower(), _CAUSES.name(request.cause).lower()
    return ReceiptFilters(
        form=Form(form) if form else None,
        cause=Cause(cause) if cause else None,
        start=moment(request.start_time),
        end=moment(request.end_time),
    )


def _receipt(receipt: Receipt) -> receipt_service_pb2.Receipt:
    return receipt_service_pb2.Receipt(
        receipt_id=receipt.receipt_id,
        job_id=receipt.job_id,
        form=_FORMS.number(receipt.form.name),
        causes=[_CAUSES.number(cause.name) for cause in receipt.causes],
        state=receipt.state,
        path=receipt.path,
        predicted_quality=receipt.predicted_quality,
        observed_quality=receipt.observed_quality,
        criterion_scores=receipt.criterion_scores,
        degradation_level=receipt.degradation_level.severity,
        degradation=degradation_to_proto(receipt.degradation_level),
        candidates=receipt.candidates,
        confidence=receipt.confidence,
        attempts=receipt.attempts,
        fallbacks=receipt.fallbacks,
        reworks=receipt.reworks,
        latency_ms=receipt.latency_ms,
        provider_ms=receipt.provider_ms,
        cost_micro_usd=receipt.cost_micro_usd,
        trace_digest=receipt.trace_digest,
        asset_digests=receipt.asset_digests,
        policy_ids=receipt.policy_ids,
        trace_ids=receipt.trace_ids,
        complete=receipt.complete,
        end_time=timestamp(receipt.ended_at),
        attempt_details=map(_attempt, receipt.attempt_details),
    )


def _attempt(attempt: ReceiptAttempt) -> receipt_service_pb2.ReceiptAttempt:
    return receipt_service_pb2.ReceiptAttempt(
        step_id=attempt.step_id,
        attempt=attempt.attempt,
        capability_id=attempt.capability_id,
        status=attempt.status,
        error_code=attempt.error_code,
        selection_id=attempt.selection_id,
        execution_id=attempt.execution_id,
        evaluation_id=attempt.evaluation_id,
        quality_score=attempt.quality,
        cost_micro_usd=attempt.cost_micro_usd,
        latency_ms=attempt.latency_ms,
    )


def _retention(retention: TenantRetention) -> receipt_service_pb2.Retention:
    return receipt_service_pb2.Retention(
        receipts_days=retention.days.receipts_days,
        traces_days=retention.days.traces_days,
        audit_days=retention.days.audit_days,
        dead_letters_days=retention.days.dead_letters_days,
        updated_by=retention.updated_by,
        update_time=timestamp(retention.updated_at),
    )
