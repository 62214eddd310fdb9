"""Retention: for how long rows of each table stay, by tenant, and the statements that delete them."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from mesh.events.audit import canonical
from mesh.stores.expired_rows import delete_by_id
from mesh.stores.postgres import SYSTEM
from mesh.stores.retention import RetentionPeriods, RetentionRule
from svc_provenance.domain.retention import RetentionDays, TenantRetention

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.events.audit import Auditor
    from mesh.stores.postgres import Postgres

OPEN = "unsettled_dead_letters"
UNSETTLED_DAYS = 180
ERASURES = "erasures"
_BUS_DAYS = 7
"""Days for which the inbox stores ids of events; topics store events for less."""
_TENANTS = "($1::text[] IS NULL OR tenant_id = ANY($1)) AND tenant_id <> ALL($2::text[])"


class PostgresRetentionStore:
    """A `RetentionStore`, and the periods of all tenants for a run of retention."""

    def __init__(
        self, postgres: Postgres, platform: RetentionDays, auditor: Auditor, *, unsettled_days: int = UNSETTLED_DAYS
    ) -> None:
        self._postgres = postgres
        self.platform = platform
        self._auditor = auditor
        self._unsettled_days = unsettled_days

    async def get(self, tenant_id: str) -> TenantRetention | None:
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(_GET, tenant_id)
        return TenantRetention(_days(row), row["updated_by"], row["updated_at"]) if row else None

    async def save(self, tenant_id: str, retention: TenantRetention) -> None:
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(f"{_GET} FOR UPDATE", tenant_id)
            await self._auditor.record(
                connection,
                action="retention.write",
                resource_type="retention",
                resource_id=tenant_id,
                before=canonical(_days(row)) if row else None,
                after=canonical(retention.days),
                tenant_id=tenant_id,
            )
            await connection.execute(
                _SAVE, tenant_id, *asdict(retention.days).values(), retention.updated_by, retention.updated_at
            )

    async def periods(self) -> Mapping[str, RetentionPeriods]:
        """Returns periods by kind of record, of dead letters that are not settled, and of marks of erasures."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(_GET_ALL)
        by_tenant = {row["tenant_id"]: _days(row) for row in rows}
        kinds = {
            name.removesuffix("_days"): RetentionPeriods(
                platform_days, {tenant: getattr(days, name) for tenant, days in by_tenant.items()}
            )
            for name, platform_days in asdict(self.platform).items()
        }
        erasures = RetentionPeriods(
            self._erasures_days(self.platform),
            {tenant: self._erasures_days(days) for tenant, days in by_tenant.items()},
        )
        return kinds | {OPEN: RetentionPeriods(self._unsettled_days), ERASURES: erasures}

    def _erasures_days(self, days: RetentionDays) -> int:
        """Returns for how many days an event from before an erasure may still arrive.

        A dead letter may be sent again at the end of its period, expire instead of being applied, and be sent again.
        """
        return max(days.traces_days, self._unsettled_days + days.dead_letters_days + _BUS_DAYS)


def _days(row: Mapping[str, int]) -> RetentionDays:
    return RetentionDays(**{field.name: row[field.name] for field in fields(RetentionDays)})


_GET_ALL = "SELECT * FROM retention_terms"
_GET = "SELECT * FROM retention_terms WHERE tenant_id = $1"
_SAVE = """
INSERT INTO retention_terms AS t
    (tenant_id, receipts_days, traces_days, audit_days, dead_letters_days, updated_by, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant_id) DO UPDATE
SET receipts_days = excluded.receipts_days, traces_days = excluded.traces_days, audit_days = excluded.audit_days,
    dead_letters_days = excluded.dead_letters_days, updated_by = excluded.updated_by, updated_at = excluded.updated_at
"""
# Tenants are found one after the other by index, so that no run reads rows that stay, as with tenants of longer
# periods. A chunk takes them in this order, and the next one begins with the last.
_OWNERS = """
WITH RECURSIVE every (tenant_id) AS (
    (SELECT tenant_id FROM {table} WHERE {condition} AND tenant_id >= $6 ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant_id FROM {table} WHERE {condition} AND tenant_id > e.tenant_id ORDER BY tenant_id LIMIT 1)
    FROM every AS e WHERE e.tenant_id IS NOT NULL
), owners AS (SELECT tenant_id FROM every WHERE {tenants})
"""
_OLDEST_OF_OWNERS = """
{owners}, old AS (
    SELECT oldest.* FROM owners AS o CROSS JOIN LATERAL (
        SELECT {key} FROM {table}
        WHERE tenant_id = o.tenant_id AND {column} < $3 AND {condition} AND {partitions}
        ORDER BY {column} LIMIT $4
    ) AS oldest LIMIT $4
), gone AS (
    {change} RETURNING t.tenant_id
)
SELECT count(*), max(tenant_id) AS last FROM gone
"""
# A job's month is never after its end, so newer partitions are not read. Rows in no month's partition are of a month
# before the oldest partition, or of one whose partition does not exist yet; so for them no partition is read either,
# least of all one with young rows.
_MONTHS = r"""
month < least($3::date + 1, (
    SELECT CASE WHEN $5 THEN min(to_date(right(part.relname, 7), 'YYYY_MM')) END
    FROM pg_inherits JOIN pg_class AS part ON part.oid = inhrelid
    WHERE inhparent = '{table}'::regclass AND part.relname ~ '_\d{{4}}_\d{{2}}$'
))
"""
_DELETE = "DELETE FROM {table} AS t USING old WHERE t.{key} = old.{key}"


def _by_tenant_and_age(  # noqa: PLR0917 - one for each part of the statement
    table: str, key: str, column: str, condition: str = "true", partitions: str = "NOT $5", change: str = _DELETE
) -> str:
    """Returns the chunk of a rule that deletes, or changes, the oldest rows of a tenant after the other.

    An index of the tenant and `column` finds them, of the rows that `condition` describes.
    """
    return _OLDEST_OF_OWNERS.format(
        owners=_OWNERS.format(table=table, condition=condition, tenants=_TENANTS),
        table=table,
        key=key,
        column=column,
        condition=condition,
        partitions=partitions,
        change=change.format(table=table, key=key),
    )


_RECEIPTS = _by_tenant_and_age(
    "receipts",
    "receipt_id",
    "ended_at",
    partitions=_MONTHS.format(table="receipts"),
    change="DELETE FROM receipts AS t WHERE receipt_id = ANY(ARRAY(SELECT receipt_id FROM old))",
)
# All entries of a trace are deleted together, once the last of them is old. A job is older than its entries, so the
# time in its id finds candidates; ids without one are in the default partition. The limit is within DISTINCT, which
# otherwise would read the old entries of all tenants for each chunk.
_BEFORE = "rpad(lpad(to_hex((extract(epoch FROM $3::timestamptz) * 1000)::bigint), 12, '0'), 32, '0')::uuid::text"
_ALL_OLD = """
SELECT tenant_id, job_id, month FROM trace_facts AS t
WHERE tenant_id = o.tenant_id AND {among} AND occurred_at < $3 AND NOT EXISTS (
    SELECT FROM trace_facts AS young
    WHERE young.tenant_id = t.tenant_id AND young.job_id = t.job_id AND young.month = t.month
        AND young.occurred_at >= $3
)
"""
_DATED = f"job_id < {_BEFORE} AND {_MONTHS.format(table='trace_facts')}"
_TRACES = f"""
{_OWNERS.format(table="trace_facts", condition="true", tenants=_TENANTS)}, old AS (
    SELECT DISTINCT * FROM (
        SELECT oldest.* FROM owners AS o CROSS JOIN LATERAL (
            ({_ALL_OLD.format(among=_DATED)} ORDER BY job_id LIMIT $4)
            UNION ALL
            ({_ALL_OLD.format(among="month = '1970-01-01'")} ORDER BY job_id LIMIT $4)
        ) AS oldest LIMIT $4
    ) AS entries
), gone AS (
    DELETE FROM trace_facts AS t USING old
    WHERE t.tenant_id = old.tenant_id AND t.job_id = old.job_id AND t.month = old.month
    RETURNING t.tenant_id
)
SELECT count(*), max(tenant_id) AS last FROM gone
"""  # noqa: S608
# Provenance stays as long as its asset, and as long as a trace beyond the asset's erasure. Then the mark of the erasure
# remains, for as long as an event from before it may arrive.
_ERASED = "deleted_at IS NOT NULL AND generation_params IS NOT NULL"
_CLEAR_PROVENANCE = """
    UPDATE {table} AS t
    SET asset_type = NULL, media_type = NULL, checksum = NULL, created_at = NULL, request_id = NULL, job_id = NULL,
        step_id = NULL, execution_id = NULL, attempt = NULL, selection_id = NULL, capability_id = NULL, model = NULL,
        user_id = NULL, generation_params = NULL, prompt_summary = NULL, prompt = NULL, parent_ids = NULL,
        evaluation_id = NULL, passes = NULL, quality_score = NULL, cost_micro_usd = NULL, latency_ms = NULL,
        trace_id = NULL, redactions = NULL
    FROM old WHERE t.{key} = old.{key}
"""
_PROVENANCE = _by_tenant_and_age("asset_provenance", "asset_id", "deleted_at", _ERASED, change=_CLEAR_PROVENANCE)
_ERASURE_MARKS = _by_tenant_and_age("asset_provenance", "asset_id", "deleted_at", "deleted_at IS NOT NULL")
_SETTLED = _by_tenant_and_age("dlq_messages", "dlq_id", "updated_at", "state IN ('resolved', 'discarded', 'expired')")
# A dead letter that is retried changes all the time; what is left is being sent, or waits for a decision. No tenant has
# a period of its own for them.
_OPEN = f"""
WITH old AS (
    SELECT dlq_id FROM dlq_messages
    WHERE {_TENANTS} AND state IN ('waiting', 'blocked', 'requeued', 'exhausted') AND updated_at < $3 AND NOT $5
    ORDER BY updated_at LIMIT $4
), gone AS (
    DELETE FROM dlq_messages AS d USING old WHERE d.dlq_id = old.dlq_id RETURNING 1
)
SELECT count(*) FROM gone
"""  # noqa: S608
# What attempts and evaluations report of an asset that was never stored.
_NEVER_STORED = delete_by_id("asset_provenance", "asset_id", "asset_type IS NULL AND deleted_at IS NULL")

RETENTION_RULES = (
    RetentionRule("receipts", "receipts", _RECEIPTS, partitioned=True, resumes_by_tenant=True),
    RetentionRule("trace_facts", "traces", _TRACES, partitioned=True, resumes_by_tenant=True),
    RetentionRule("asset_provenance", "traces", _PROVENANCE, resumes_by_tenant=True),
    RetentionRule("asset_provenance", ERASURES, _ERASURE_MARKS, resumes_by_tenant=True),
    RetentionRule("asset_provenance", "traces", _NEVER_STORED),
    RetentionRule("dlq_messages", "dead_letters", _SETTLED, resumes_by_tenant=True),
    RetentionRule("dlq_messages", OPEN, _OPEN),
)
