"""SomaError to google.rpc.Status and back: what a failure looks like on the wire."""

from __future__ import annotations

import re
from dataclasses import astuple
from typing import TYPE_CHECKING, TypeVar

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from mesh.errors import FieldViolation, PreconditionViolation, QuotaViolation, Reason, SomaError
from mesh.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from google.protobuf.message import Message

DOMAIN = "soma"
DETAILS_KEY = "grpc-status-details-bin"
TRACE_ID_KEY = "x-trace-id"
REQUEST_ID_KEY = "x-request-id"
OVERHEAD_KEY = "x-mesh-overhead-seconds"
PROXIED_KEY = "x-forwarded-proto"
"""The header by which a call is known that the edge hands on."""
REASON_KEY = "x-soma-reason"

V = TypeVar("V", FieldViolation, QuotaViolation, PreconditionViolation)

# A client may drop a response whose headers exceed 8 KiB. The status travels there in base64, its message twice.
_TRACE_ID = re.compile("[0-9a-f]{32}")
_MAX_TEXT = 500
_MAX_BYTES = 3_000
_OVERHEAD = 8

INTERNAL_TEXT = "The service failed to answer; quote the trace id when reporting this"

_REASONS: Mapping[str, Reason] = {
    "CANCELLED": Reason.CANCELLED,
    "INVALID_ARGUMENT": Reason.INVALID_ARGUMENT,
    "OUT_OF_RANGE": Reason.INVALID_ARGUMENT,
    "DEADLINE_EXCEEDED": Reason.DEADLINE_EXCEEDED,
    "NOT_FOUND": Reason.NOT_FOUND,
    "ALREADY_EXISTS": Reason.ALREADY_EXISTS,
    "PERMISSION_DENIED": Reason.PERMISSION_DENIED,
    "UNAUTHENTICATED": Reason.UNAUTHENTICATED,
    "RESOURCE_EXHAUSTED": Reason.OVERLOADED,
    "FAILED_PRECONDITION": Reason.FAILED_PRECONDITION,
    "ABORTED": Reason.CONFLICT,
    "UNIMPLEMENTED": Reason.UNIMPLEMENTED,
    "UNAVAILABLE": Reason.DEPENDENCY_UNAVAILABLE,
    "DATA_LOSS": Reason.DATA_LOSS,
}
CODES: Mapping[str, grpc.StatusCode] = {code.name: code for code in grpc.StatusCode}
_NAMES: Mapping[int, str] = {code.value[0]: code.name for code in grpc.StatusCode}


def code_of(error: SomaError) -> grpc.StatusCode:
    """The gRPC code of the error's reason."""
    return CODES[error.status_mapping.grpc_code]


def internal(trace_id: str) -> SomaError:
    """The answer to an exception that nobody expected: it says nothing but where to look."""
    return SomaError(Reason.INTERNAL, INTERNAL_TEXT, metadata={"trace_id": trace_id})


def to_status(error: SomaError, trace_id: str = "") -> status_pb2.Status:
    """The rich status of an error. Texts and violations beyond what headers can carry are cut, and say so."""
    metadata = {_clean(key): _clean(value) for key, value in error.metadata.items() if key != "trace_id"}
    trace_id = trace_id or error.metadata.get("trace_id", "")
    if trace_id:
        # Ours, and not to be mistaken for a number that it may look like: one in some thousand would pass for an IBAN.
        metadata["trace_id"] = trace_id if _TRACE_ID.fullmatch(trace_id) else _clean(trace_id)
    info = error_details_pb2.ErrorInfo(reason=error.reason.value, domain=DOMAIN, metadata=metadata)
    status = status_pb2.Status(code=code_of(error).value[0], message=_clean(error.message))
    _attach(status, info)
    if error.retry_after_s is not None:
        _attach(status, error_details_pb2.RetryInfo(retry_delay=_duration(error.retry_after_s)))
    if error.fields:
        _attach(status, _bad_request(error.fields))
    if error.quotas:
        _attach(status, _quota_failure(error.quotas))
    if error.preconditions:
        _attach(status, _precondition_failure(error.preconditions))
    return status


def from_status(status: status_pb2.Status) -> SomaError:
    """The error that a rich status tells of; a status of another system is understood by its code."""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    bad, quota = error_details_pb2.BadRequest(), error_details_pb2.QuotaFailure()
    precondition = error_details_pb2.PreconditionFailure()
    found = {
        type(message): any(detail.Unpack(message) for detail in status.details)
        for message in (info, retry, bad, quota, precondition)
    }
    return SomaError(
        _reason(info, _NAMES.get(status.code, "UNKNOWN")),
        status.message,
        metadata=dict(info.metadata) if info.domain == DOMAIN else {},
        fields=[FieldViolation(item.field, item.description) for item in bad.field_violations],
        quotas=[QuotaViolation(item.subject, item.description) for item in quota.violations],
        preconditions=[
            PreconditionViolation(item.type, item.subject, item.description) for item in precondition.violations
        ],
        retry_after_s=retry.retry_delay.ToNanoseconds() / 1e9 if found[type(retry)] else None,
    )


def reason_of_code(code: str) -> Reason:
    """The reason for a bare gRPC code, as a peer or a proxy sends it without details."""
    return _REASONS.get(code, Reason.INTERNAL)


def _reason(info: error_details_pb2.ErrorInfo, code: str) -> Reason:
    if info.domain == DOMAIN and info.reason in Reason.__members__:
        return Reason(info.reason)
    return reason_of_code(code)


def _attach(status: status_pb2.Status, detail: Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def _duration(seconds: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(max(seconds, 0.0) * 1e9))
    return duration


def _bad_request(fields: Sequence[FieldViolation]) -> Message:
    fitting = _fit(fields, lambda more: FieldViolation("", f"{more} more fields are wrong"))
    violation = error_details_pb2.BadRequest.FieldViolation
    detail: Message = error_details_pb2.BadRequest(
        field_violations=[violation(field=_clean(f.field), description=_clean(f.description)) for f in fitting]
    )
    return detail


def _quota_failure(quotas: Sequence[QuotaViolation]) -> Message:
    fitting = _fit(quotas, lambda more: QuotaViolation("", f"{more} more quotas are exceeded"))
    violation = error_details_pb2.QuotaFailure.Violation
    detail: Message = error_details_pb2.QuotaFailure(
        violations=[violation(subject=_clean(q.subject), description=_clean(q.description)) for q in fitting]
    )
    return detail


def _precondition_failure(preconditions: Sequence[PreconditionViolation]) -> Message:
    fitting = _fit(preconditions, lambda more: PreconditionViolation("", "", f"{more} more conditions are not met"))
    violation = error_details_pb2.PreconditionFailure.Violation
    detail: Message = error_details_pb2.PreconditionFailure(
        violations=[
            violation(type=_clean(p.type), subject=_clean(p.subject), description=_clean(p.description))
            for p in fitting
        ]
    )
    return detail


def _fit(items: Sequence[V], rest: Callable[[int], V]) -> Sequence[V]:
    """As many violations as headers can carry, then one that counts the others."""
    room = _MAX_BYTES
    fitting: list[V] = []
    for item in items:
        room -= sum(len(_clean(text).encode()) for text in astuple(item)) + _OVERHEAD
        if room < 0:
            fitting.append(rest(len(items) - len(fitting)))
            break
        fitting.append(item)
    return fitting


def _clean(text: str) -> str:
    """The text as valid UTF-8 without what is personal or secret, cut to a length that headers can carry."""
    valid = Redactor().text(text[: 4 * _MAX_TEXT].encode("utf-8", "replace").decode())
    return valid if len(valid) <= _MAX_TEXT else valid[: _MAX_TEXT - 1] + "…"
