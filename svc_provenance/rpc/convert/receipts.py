"""Converters of receipts, and of the days that records are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.rpc.enums import EnumCodec
from mesh.rpc.wellknown import moment, timestamp
from soma.provenance.v1 import receipt_service_pb2 as pb
from svc_provenance.app.receipts import ReceiptFilters
from svc_provenance.domain.receipts import Cause, Form
from svc_provenance.domain.retention import RetentionDays
from svc_provenance.rpc.convert.degradation import degradation_to_proto

if TYPE_CHECKING:
    from svc_provenance.domain.receipts import Receipt, ReceiptAttempt
    from svc_provenance.domain.retention import TenantRetention

_FORMS = EnumCodec(pb.ReceiptForm)
_CAUSES = EnumCodec(pb.ReceiptCause)


def receipt_filters_from_proto(request: pb.ListReceiptsRequest) -> ReceiptFilters:
    """Returns the filters of a list request."""
    form, cause = _FORMS.name(request.form).lower(), _CAUSES.name(request.cause).lower()
    return ReceiptFilters(
        form=Form(form) if form else None,
        cause=Cause(cause) if cause else None,
        start=moment(request.start_time),
        end=moment(request.end_time),
    )


def receipt_to_proto(receipt: Receipt) -> pb.Receipt:
    """Returns the message of a receipt."""
    return pb.Receipt(
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
        attempt_details=map(receipt_attempt_to_proto, receipt.attempt_details),
    )


def receipt_attempt_to_proto(attempt: ReceiptAttempt) -> pb.ReceiptAttempt:
    """Returns the message of an attempt in a receipt."""
    return pb.ReceiptAttempt(
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


def retention_to_proto(retention: TenantRetention) -> pb.Retention:
    """Returns the message of the days that are in force for a tenant."""
    return pb.Retention(
        receipts_days=retention.days.receipts_days,
        traces_days=retention.days.traces_days,
        audit_days=retention.days.audit_days,
        dead_letters_days=retention.days.dead_letters_days,
        updated_by=retention.updated_by,
        update_time=timestamp(retention.updated_at),
    )


def retention_from_proto(message: pb.Retention) -> RetentionDays:
    """Returns the days that a request sets."""
    return RetentionDays(message.receipts_days, message.traces_days, message.audit_days, message.dead_letters_days)
