"""What a tenant may have of its own."""

from __future__ import annotations

from mesh.errors import Reason, SomaError

RECORDS_OF_ONE = 5
"""Records, deleted ones included, that a tenant may have for each capability of its quota."""


def quota_error(what: str, limit: int, advice: str) -> SomaError:
    """The error for one thing more than a tenant may have."""
    return SomaError(
        Reason.FAILED_PRECONDITION,
        f"the tenant has all {limit} {what} that it may have; {advice}",
        metadata={"quota": what.replace(" ", "_"), "limit": str(limit)},
    )


def require_capability_quota(live: int, records: int, limit: int, *, has_record: bool) -> None:
    """FAILED_PRECONDITION for a tenant that has as many capabilities as it may have.

    The limit of records counts for a capability that has no record yet.
    """
    if live >= limit:
        raise quota_error("capabilities", limit, "delete one that is not needed")
    if not has_record and records >= limit * RECORDS_OF_ONE:
        raise quota_error("records of capabilities", limit * RECORDS_OF_ONE, "deleted ones count until they are purged")


def require_ladder_quota(count: int, limit: int) -> None:
    """FAILED_PRECONDITION for a tenant that has as many ladders as it may have."""
    if count >= limit:
        raise quota_error("ladders", limit, "change one that is not needed")
