"""For how many days a tenant's records are kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime  # noqa: TC003 - the storage adapter reads the annotations

from mesh.errors import FieldViolation, invalid_all

MIN_DAYS, MAX_DAYS, MIN_AUDIT_DAYS = 1, 3650, 90


@dataclass(frozen=True)
class Days:
    """Days by kind of record."""

    receipts_days: int
    traces_days: int
    audit_days: int
    dead_letters_days: int

    def check(self) -> None:
        """INVALID_ARGUMENT naming each field that is out of bounds."""
        wrong = [
            FieldViolation(f"retention.{name}", f"must be {least} to {MAX_DAYS} days")
            for name, days in asdict(self).items()
            for least in (MIN_AUDIT_DAYS if name == "audit_days" else MIN_DAYS,)
            if not least <= days <= MAX_DAYS
        ]
        if wrong:
            raise invalid_all(wrong)


@dataclass(frozen=True)
class TenantRetention:
    """The days that hold for a tenant; nobody set them where they are the platform's own."""

    days: Days
    updated_by: str = ""
    updated_at: datetime | None = None
