"""The errors of the mesh: one class, one reason each, one table from reason to wire status."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeGuard


class Reason(StrEnum):
    """Why a call failed; the names of `soma.common.v1.ErrorReason` without their prefix."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    CONFLICT = "CONFLICT"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    RATE_LIMITED = "RATE_LIMITED"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    CONTENT_REJECTED = "CONTENT_REJECTED"
    NO_CAPABLE_CAPABILITY = "NO_CAPABLE_CAPABILITY"
    INVALID_PLAN = "INVALID_PLAN"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    UNAVAILABLE = "UNAVAILABLE"
    DEPENDENCY_UNAVAILABLE = "DEPENDENCY_UNAVAILABLE"
    OVERLOADED = "OVERLOADED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CANCELLED = "CANCELLED"
    INTERNAL = "INTERNAL"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    POLICY_DENIED = "POLICY_DENIED"
    STALE_VERSION = "STALE_VERSION"
    ROUTE_NOT_FOUND = "ROUTE_NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    DATA_LOSS = "DATA_LOSS"


@dataclass(frozen=True)
class StatusMapping:
    """How one reason travels: gRPC code name, HTTP status, and whether the same call may succeed later."""

    grpc_code: str
    http_status: int
    retryable: bool


STATUS_MAPPINGS: Mapping[Reason, StatusMapping] = MappingProxyType(
    {
        Reason.INVALID_ARGUMENT: StatusMapping("INVALID_ARGUMENT", 400, retryable=False),
        Reason.UNAUTHENTICATED: StatusMapping("UNAUTHENTICATED", 401, retryable=False),
        Reason.PERMISSION_DENIED: StatusMapping("PERMISSION_DENIED", 403, retryable=False),
        Reason.NOT_FOUND: StatusMapping("NOT_FOUND", 404, retryable=False),
        Reason.ALREADY_EXISTS: StatusMapping("ALREADY_EXISTS", 409, retryable=False),
        Reason.CONFLICT: StatusMapping("ABORTED", 409, retryable=True),
        Reason.FAILED_PRECONDITION: StatusMapping("FAILED_PRECONDITION", 400, retryable=False),
        Reason.RATE_LIMITED: StatusMapping("RESOURCE_EXHAUSTED", 429, retryable=True),
        Reason.BUDGET_EXCEEDED: StatusMapping("RESOURCE_EXHAUSTED", 429, retryable=False),
        Reason.PAYLOAD_TOO_LARGE: StatusMapping("INVALID_ARGUMENT", 413, retryable=False),
        Reason.UNSUPPORTED_MEDIA_TYPE: StatusMapping("INVALID_ARGUMENT", 415, retryable=False),
        Reason.CONTENT_REJECTED: StatusMapping("INVALID_ARGUMENT", 400, retryable=False),
        Reason.NO_CAPABLE_CAPABILITY: StatusMapping("FAILED_PRECONDITION", 400, retryable=False),
        Reason.INVALID_PLAN: StatusMapping("INVALID_ARGUMENT", 400, retryable=False),
        Reason.IDEMPOTENCY_MISMATCH: StatusMapping("ALREADY_EXISTS", 409, retryable=False),
        Reason.UNAVAILABLE: StatusMapping("UNAVAILABLE", 503, retryable=True),
        Reason.DEPENDENCY_UNAVAILABLE: StatusMapping("UNAVAILABLE", 503, retryable=True),
        Reason.OVERLOADED: StatusMapping("RESOURCE_EXHAUSTED", 429, retryable=True),
        Reason.DEADLINE_EXCEEDED: StatusMapping("DEADLINE_EXCEEDED", 504, retryable=True),
        Reason.CANCELLED: StatusMapping("CANCELLED", 499, retryable=False),
        Reason.INTERNAL: StatusMapping("INTERNAL", 500, retryable=False),
        Reason.UNIMPLEMENTED: StatusMapping("UNIMPLEMENTED", 501, retryable=False),
        Reason.POLICY_DENIED: StatusMapping("PERMISSION_DENIED", 403, retryable=False),
        Reason.STALE_VERSION: StatusMapping("ABORTED", 409, retryable=False),
        Reason.ROUTE_NOT_FOUND: StatusMapping("NOT_FOUND", 404, retryable=False),
        Reason.METHOD_NOT_ALLOWED: StatusMapping("UNIMPLEMENTED", 405, retryable=False),
        Reason.DATA_LOSS: StatusMapping("DATA_LOSS", 500, retryable=False),
    }
)


@dataclass(frozen=True)
class FieldViolation:
    """One request field and what is wrong with it."""

    field: str
    description: str


@dataclass(frozen=True)
class QuotaViolation:
    """One quota (subject, for example `budget:monthly`) and how it was exceeded."""

    subject: str
    description: str


@dataclass(frozen=True)
class PreconditionViolation:
    """One state that forbids the call: its kind, whose state it is, and what would allow the call."""

    type: str
    subject: str
    description: str


class SomaError(Exception):
    """A failure meant for the caller: its text names what is wrong and what to do, and nothing internal.

    `retry_after_s` is in seconds; `metadata` holds short machine-readable facts such as a policy id.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        fields: Sequence[FieldViolation] = (),
        quotas: Sequence[QuotaViolation] = (),
        preconditions: Sequence[PreconditionViolation] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))
        self.fields = tuple(fields)
        self.quotas = tuple(quotas)
        self.preconditions = tuple(preconditions)
        self.retry_after_s = retry_after_s

    @property
    def status_mapping(self) -> StatusMapping:
        """The wire status of this error's reason."""
        return STATUS_MAPPINGS[self.reason]

    def __repr__(self) -> str:
        return f"SomaError({self.reason.value}, {self.message!r})"


def is_transient(error: BaseException) -> TypeGuard[SomaError]:
    """Whether the same work may succeed later by itself: an outage or a lost race, whose text says all there is."""
    return isinstance(error, SomaError) and error.status_mapping.retryable


def not_found(kind: str, id_: str) -> SomaError:
    """The error for an object that is absent or another tenant's: the two are never told apart."""
    return SomaError(Reason.NOT_FOUND, f"{kind} {id_!r} does not exist", metadata={"kind": kind})


def invalid(field: str, description: str) -> SomaError:
    """The error for one bad request field."""
    return invalid_all((FieldViolation(field, description),))


def invalid_all(violations: Sequence[FieldViolation]) -> SomaError:
    """The error for every bad request field at once; `violations` must not be empty."""
    if not violations:
        raise ValueError("invalid_all needs at least one violation")
    text = "; ".join(f"{violation.field}: {violation.description}" for violation in violations)
    return SomaError(Reason.INVALID_ARGUMENT, text, fields=violations)
