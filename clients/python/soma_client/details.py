"""Reads what a failed call carries: `google.rpc.Status` in its trailers, and the ids of trace and request."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from soma_client.errors import BY_CODE, CertificateError, Details, UnknownError, Violation
from soma_client.gen.google import rpc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import betterproto2
    import grpc.aio

    from soma_client.errors import CallError

_STATUS, _TRACE_ID, _REQUEST_ID, _REASON = "grpc-status-details-bin", "x-trace-id", "x-request-id", "x-soma-reason"
_UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification Check failed")
"""How gRPC says that it does not trust a server."""
_ADVICE = "give as ca_file the certificate authority of the mesh, and as address a name that its certificate holds"


def call_error(method: str, failure: grpc.aio.AioRpcError, request_id: str) -> CallError:
    """The exception for a failed call; `request_id` is what the call was sent with."""
    headers = _headers(failure)
    found = list(_details(headers.get(_STATUS, b"")))
    info = next((item for item in found if isinstance(item, rpc.ErrorInfo)), rpc.ErrorInfo())
    details = Details(
        message=failure.details() or "",
        reason=info.reason or _text(headers, _REASON),
        metadata=dict(info.metadata),
        field_violations=tuple(_of_fields(found)),
        quota_violations=tuple(_of_quotas(found)),
        precondition_violations=tuple(_of_preconditions(found)),
        retry_after_s=_retry_after_s(found),
        trace_id=info.metadata.get("trace_id", "") or _text(headers, _TRACE_ID),
        request_id=_text(headers, _REQUEST_ID) or request_id,
    )
    if any(text in details.message for text in _UNTRUSTED):
        return CertificateError(method, replace(details, message=f"{details.message}: {_ADVICE}"))
    return BY_CODE.get(failure.code().name, UnknownError)(method, details)


def _headers(failure: grpc.aio.AioRpcError) -> Mapping[str, str | bytes]:
    pairs = (*(failure.initial_metadata() or ()), *(failure.trailing_metadata() or ()))
    return {str(key): value for key, value in pairs}


def _text(headers: Mapping[str, str | bytes], key: str) -> str:
    value = headers.get(key, "")
    return value if isinstance(value, str) else value.decode("ascii", "replace")


def _details(raw: str | bytes) -> Iterator[betterproto2.Message]:
    """Details that this package knows; others, and a status that cannot be read, are left out."""
    if not isinstance(raw, bytes):
        return
    try:
        status = rpc.Status.parse(raw)
    except (ValueError, EOFError):
        return
    for item in status.details:
        try:
            known = item.unpack()
        except (TypeError, ValueError, EOFError):
            continue
        if known is not None:
            yield known


def _of_fields(found: Iterable[betterproto2.Message]) -> Iterator[Violation]:
    for item in found:
        if isinstance(item, rpc.BadRequest):
            yield from (Violation(entry.field, entry.description) for entry in item.field_violations)


def _of_quotas(found: Iterable[betterproto2.Message]) -> Iterator[Violation]:
    for item in found:
        if isinstance(item, rpc.QuotaFailure):
            yield from (Violation(entry.subject, entry.description) for entry in item.violations)


def _of_preconditions(found: Iterable[betterproto2.Message]) -> Iterator[Violation]:
    for item in found:
        if isinstance(item, rpc.PreconditionFailure):
            yield from (Violation(entry.subject or entry.type, entry.description) for entry in item.violations)


def _retry_after_s(found: Iterable[betterproto2.Message]) -> float | None:
    for item in found:
        if isinstance(item, rpc.RetryInfo) and item.retry_delay is not None:
            return item.retry_delay.total_seconds()
    return None
