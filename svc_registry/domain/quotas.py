"""The quotas of a tenant."""

from __future__ import annotations

from mesh.errors import Reason, SomaError

RECORDS_PER_CAPABILITY = 5
"""Most records, deleted ones included, for each capability of a tenant's quota."""


def _quota_exceeded(resource: str, limit: int, advice: str) -> SomaError:
    return SomaError(
        Reason.FAILED_PRECONDITION,
        f"the tenant has all {limit} {resource} that it may have; {advice}",
        metadata={"quota": resource.replace(" ", "_"), "limit": str(limit)},
    )


def require_capability_quota(live: int, records: int, limit: int, *, has_record: bool) -> None:
    """Raises FAILED_PRECONDITION for a tenant that has used up its quota of capabilities.

    The limit of records applies to a capability that has no record yet.
    """
    if live >= limit:
        raise _quota_exceeded("capabilities", limit, "delete one that is not needed")
    if not has_record and records >= limit * RECORDS_PER_CAPABILITY:
        advice = "deleted ones count until they are purged"
        raise _quota_exceeded("records of capabilities", limit * RECORDS_PER_CAPABILITY, advice)


def require_ladder_quota(count: int, limit: int) -> None:
    """Raises FAILED_PRECONDITION for a tenant that has used up its quota of ladders."""
    if count >= limit:
        raise _quota_exceeded("ladders", limit, "change one that is not needed")
