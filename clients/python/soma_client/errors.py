"""Errors of calls as exceptions: one class for each gRPC code, with the details of docs/errors.md decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_client.gen.soma.executor import v1 as executor_v1


class SomaError(Exception):
    """Anything that this package raises of its own."""


@dataclass(frozen=True)
class Violation:
    """What is wrong with one field, budget, rate or state."""

    subject: str
    """The field as its path in the request, or the name of the budget, rate or state."""
    description: str
    """What is wrong with it, and what would be right."""


@dataclass(frozen=True)
class Details:
    """What a failed call says beside its code."""

    message: str = ""
    reason: str = ""
    """A name of `soma.common.v1.ErrorReason`; empty when no service answered."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    field_violations: tuple[Violation, ...] = ()
    quota_violations: tuple[Violation, ...] = ()
    precondition_violations: tuple[Violation, ...] = ()
    retry_after_s: float | None = None
    """Seconds after which the same call may succeed; None: not said."""
    trace_id: str = ""
    """What to quote when asking for help; empty: unknown."""
    request_id: str = ""
    """Id of the call, in the logs of the mesh."""


class CallError(SomaError):
    """A call failed. The subclasses are the gRPC codes; programs decide by `reason`."""

    code = "UNKNOWN"

    def __init__(self, method: str, details: Details) -> None:
        self.method = method
        self.details = details
        super().__init__(method, details)

    @property
    def message(self) -> str:
        """One sentence for people."""
        return self.details.message

    @property
    def reason(self) -> str:
        """Why, as a name of `soma.common.v1.ErrorReason`; empty when no service answered."""
        return self.details.reason

    @property
    def field_violations(self) -> tuple[Violation, ...]:
        """What is wrong with the fields of the request."""
        return self.details.field_violations

    @property
    def retry_after_s(self) -> float | None:
        """Seconds after which the same call may succeed; None: not said."""
        return self.details.retry_after_s

    @property
    def trace_id(self) -> str:
        """What to quote when asking for help; empty: unknown."""
        return self.details.trace_id

    @property
    def request_id(self) -> str:
        """Id of the call, in the logs of the mesh."""
        return self.details.request_id

    def __str__(self) -> str:
        found = self.details
        violations = (*found.field_violations, *found.quota_violations, *found.precondition_violations)
        known = [f"{self.code} {found.reason}".rstrip() if found.reason != self.code else self.code, self.method]
        known += [f"trace {found.trace_id}"] if found.trace_id else []
        known += [f"request {found.request_id}"] if found.request_id else []
        known += [f"retry after {found.retry_after_s:g} s"] if found.retry_after_s is not None else []
        lines = [f"{found.message or 'The call failed'} ({', '.join(known)})"]
        return "\n".join([*lines, *(f"  {item.subject}: {item.description}" for item in violations)])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class CallCancelledError(CallError):
    """The call was cancelled, by this side or by the mesh."""

    code = "CANCELLED"


class UnknownError(CallError):
    """Something answered that is no gRPC server, or with a code that gRPC does not have."""


class InvalidArgumentError(CallError):
    """The request breaks the contract; `field_violations` names each field."""

    code = "INVALID_ARGUMENT"


class DeadlineExceededError(CallError):
    """Time ran out; the work may or may not have been done. The same `request_id` asks for the same work."""

    code = "DEADLINE_EXCEEDED"


class NotFoundError(CallError):
    """There is no such object for this tenant."""

    code = "NOT_FOUND"


class AlreadyExistsError(CallError):
    """There is such an object, or the `request_id` was used for another request."""

    code = "ALREADY_EXISTS"


class PermissionDeniedError(CallError):
    """The caller may not do this."""

    code = "PERMISSION_DENIED"


class ResourceExhaustedError(CallError):
    """A rate or a budget is used up, or the mesh is busy; `retry_after_s` says when to try again."""

    code = "RESOURCE_EXHAUSTED"


class FailedPreconditionError(CallError):
    """The state of the object does not allow this."""

    code = "FAILED_PRECONDITION"


class AbortedError(CallError):
    """Another change was first: read again."""

    code = "ABORTED"


class OutOfRangeError(CallError):
    """A position outside of what there is."""

    code = "OUT_OF_RANGE"


class UnimplementedError(CallError):
    """The mesh does not have this method."""

    code = "UNIMPLEMENTED"


class InternalError(CallError):
    """A defect of the mesh; quote `trace_id`."""

    code = "INTERNAL"


class UnavailableError(CallError):
    """The mesh cannot be reached or cannot answer now."""

    code = "UNAVAILABLE"


class CertificateError(UnavailableError):
    """The server is not trusted: `ca_file` is not its certificate authority, or the address not in its certificate."""


class DataLossError(CallError):
    """Bytes do not have the checksum that they were stored with."""

    code = "DATA_LOSS"


class UnauthenticatedError(CallError):
    """No API key or token, or one that is expired, revoked or of another mesh."""

    code = "UNAUTHENTICATED"


class JobFailedError(SomaError):
    """A job that was waited for ended as FAILED or CANCELLED."""

    def __init__(self, job: executor_v1.Job) -> None:
        self.job = job
        reason = f": {job.message}" if job.message else ""
        super().__init__(f"job {job.job_id} ended as {job.state.name}{reason}")


BY_CODE: Mapping[str, type[CallError]] = {kind.code: kind for kind in CallError.__subclasses__()}
"""The class of each gRPC code, by its name."""
