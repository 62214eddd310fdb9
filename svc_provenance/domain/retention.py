"""For how many days a tenant's records are stored."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime  # noqa: TC003 - the storage adapter reads the annotations

from mesh.errors import FieldViolation, invalid_all

MIN_DAYS, MAX_DAYS, MIN_AUDIT_DAYS = 1, 3650, 90


@dataclass(frozen=True)
class RetentionDays:
    """Days by kind of record."""

    receipts_days: int
    traces_days: int
    audit_days: int
    dead_letters_days: int

    def validate(self) -> None:
        """INVALID_ARGUMENT naming each field that is out of bounds."""
        violations = [
            FieldViolation(f"retention.{name}", f"must be {minimum} to {MAX_DAYS} days")
            for name, days in asdict(self).items()
            for minimum in (MIN_AUDIT_DAYS if name == "audit_days" else MIN_DAYS,)
            if not minimum <= days <= MAX_DAYS
        ]
        if violations:
            raise invalid_all(violations)


@dataclass(frozen=True)
class TenantRetention:
    """The days that are in force for a tenant; `updated_by` is empty where they are the platform's."""

    days: RetentionDays
    updated_by: str = ""
    updated_at: datetime | None = None
