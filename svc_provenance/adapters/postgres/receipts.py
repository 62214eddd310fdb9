"""Receipts in Postgres, and which ones are due."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from mesh.degradation import DegradationLevel
from mesh.stores.partitions import month_of
from mesh.stores.postgres import SYSTEM
from svc_provenance.adapters.postgres.listing import SCAN_LIMIT, Listing
from svc_provenance.app.receipts import DueReceipt, JobKey
from svc_provenance.domain.ids import is_uuid
from svc_provenance.domain.pages import PageCursor
from svc_provenance.domain.receipts import Receipt

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from mesh.stores.postgres import Postgres
    from svc_provenance.app.receipts import ReceiptFilters

_RECEIPT: TypeAdapter[Receipt] = TypeAdapter(Receipt)
_NAMES = [field.name for field in fields(Receipt)]
_LISTED = ", ".join("'[]'::jsonb AS attempt_details" if name == "attempt_details" else name for name in _NAMES)
CHANNEL = "receipts_due"


class PostgresReceiptStore:
    """A `ReceiptStore`. A trigger on the entries of traces makes receipts due, and notifies `CHANNEL`.

    A page of a list scans `scan_limit` receipts at most.
    """

    def __init__(self, postgres: Postgres, scan_limit: int = SCAN_LIMIT) -> None:
        self._postgres = postgres
        self._listing = Listing("receipts", _LISTED, ("ended_at", "receipt_id"), scan_limit)

    async def claim_due(self, limit: int) -> Sequence[JobKey]:
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(_CLAIM_DUE, limit)
        return [JobKey(row["tenant_id"], row["job_id"]) for row in rows]

    async def due(self, key: JobKey) -> DueReceipt | None:
        async with self._postgres.transaction(key.tenant_id) as connection:
            row = await connection.fetchrow(_DUE, key.tenant_id, key.job_id)
        return DueReceipt(**row) if row else None

    async def complete(self, key: JobKey, due: DueReceipt, receipt: Receipt | None) -> None:
        async with self._postgres.transaction(key.tenant_id) as connection:
            is_unchanged = await connection.fetchval(_COMPLETE, key.tenant_id, key.job_id, due.changes, due.since)
            if is_unchanged and receipt is not None:
                await _save(connection, key.tenant_id, receipt)

    async def postpone(self, key: JobKey, due: DueReceipt, seconds: float, receipt: Receipt | None) -> None:
        async with self._postgres.transaction(key.tenant_id) as connection:
            is_unchanged = await connection.fetchval(
                _POSTPONE, key.tenant_id, key.job_id, due.changes, due.since, seconds
            )
            if is_unchanged and receipt is not None:
                await _save(connection, key.tenant_id, receipt)

    async def page(
        self, tenant_id: str, filters: ReceiptFilters, after: PageCursor | None, limit: int
    ) -> tuple[Sequence[Receipt], PageCursor | None]:
        bounds = (
            ("ended_at >= {}", filters.start),
            ("ended_at < {}", filters.end),
            ("(ended_at, receipt_id) < ({}, {}::uuid)", *((after.at, after.id_) if after else (None, None))),
        )
        filter_conditions = (
            ("form = {}", filters.form.value if filters.form else None),
            ("{} = ANY(causes)", filters.cause.value if filters.cause else None),
        )
        async with self._postgres.transaction(tenant_id) as connection:
            rows, last = await self._listing.page(connection, tenant_id, bounds, filter_conditions, limit)
        return [_receipt(row) for row in rows], PageCursor(last["ended_at"], str(last["receipt_id"])) if last else None

    async def get(self, tenant_id: str, id_: str) -> Receipt | None:
        async with self._postgres.transaction(tenant_id) as connection:
            by_id = await connection.fetchrow(_BY_ID, tenant_id, id_) if is_uuid(id_) else None
            row = by_id or await connection.fetchrow(_BY_JOB, tenant_id, id_, month_of(id_))
        return _receipt(row) if row else None


async def _save(connection: asyncpg.Connection, tenant_id: str, receipt: Receipt) -> None:
    row = {**asdict(receipt), "degradation_level": receipt.degradation_level.severity}
    await connection.execute(_SAVE, tenant_id, month_of(receipt.job_id), *(row[name] for name in _NAMES))


def _receipt(row: asyncpg.Record) -> Receipt:
    level = DegradationLevel.from_severity(row["degradation_level"])
    return _RECEIPT.validate_python({**row, "receipt_id": str(row["receipt_id"]), "degradation_level": level})


_DUE = "SELECT news AS changes, tries, since FROM receipts_due WHERE tenant_id = $1 AND job_id = $2"
_CLAIM_DUE = """
UPDATE receipts_due AS d
SET tries = d.tries + 1,
    not_before = clock_timestamp() + least(3600, 10 * power(2, least(d.tries, 20))) * interval '1 second'
WHERE d.ctid = ANY(ARRAY(
    SELECT ctid FROM receipts_due WHERE not_before <= statement_timestamp()
    ORDER BY not_before LIMIT $1 FOR UPDATE SKIP LOCKED
))
RETURNING d.tenant_id, d.job_id
"""
_POSTPONE = """
UPDATE receipts_due SET tries = tries + 1, not_before = clock_timestamp() + $5 * interval '1 second'
WHERE tenant_id = $1 AND job_id = $2 AND news = $3 AND since = $4 RETURNING true
"""
# A row is identified by the time of its first change too: a later one may have the same number of changes.
_COMPLETE = "DELETE FROM receipts_due WHERE tenant_id = $1 AND job_id = $2 AND news = $3 AND since = $4 RETURNING true"
_SAVE = f"""
INSERT INTO receipts AS r (tenant_id, month, {", ".join(_NAMES)})
VALUES ($1, $2, {", ".join(f"${number}" for number in range(3, 3 + len(_NAMES)))})
ON CONFLICT (tenant_id, job_id, month) DO UPDATE
SET {", ".join(f"{name} = excluded.{name}" for name in _NAMES if name not in {"receipt_id", "job_id"})}
WHERE r.trace_digest <> excluded.trace_digest
"""  # noqa: S608
_GET = f"SELECT {', '.join(_NAMES)} FROM receipts WHERE tenant_id = $1"  # noqa: S608
_BY_ID = f"{_GET} AND receipt_id = $2::text::uuid"
_BY_JOB = f"{_GET} AND job_id = $2 AND month = $3"
