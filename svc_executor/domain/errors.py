"""Errors of jobs."""

from __future__ import annotations

from mesh.errors import PreconditionViolation, Reason, SomaError

_RETRY_AFTER_S = 5.0


def too_many_open(limit: int) -> SomaError:
    """The error of a tenant that has as many open jobs as it may."""
    return SomaError(
        Reason.RATE_LIMITED,
        f"Your tenant has {limit} jobs that have not ended, as many as it may; try again when some have ended",
        retry_after_s=_RETRY_AFTER_S,
    )


def resumed_too_often(job_id: str, limit: int) -> SomaError:
    """The error of a job that was resumed as often as it may be."""
    return SomaError(
        Reason.FAILED_PRECONDITION,
        f"job {job_id} was resumed {limit} times, as often as a job may be; submit its plan anew as another job",
        preconditions=[PreconditionViolation("JOB_RESUMES", job_id, "submit its plan anew")],
    )
