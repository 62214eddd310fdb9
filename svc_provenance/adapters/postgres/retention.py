"""The record's tables that grow with work, how each is kept short, and for how long by tenant."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from mesh.events.audit import canonical
from mesh.stores.expired_rows import delete_by_id
from mesh.stores.postgres import SYSTEM
from mesh.stores.retention import RetentionPeriods, Rule
from svc_provenance.domain.retention import Days, TenantRetention

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.events.audit import Auditor
    from mesh.stores.postgres import Postgres

UNDECIDED = "undecided_letters"
UNDECIDED_DAYS = 180
ERASURES = "erasures"
_BUS_DAYS = 7
"""The inbox remembers events for so long, and topics keep them for less."""
_TENANTS = "($1::text[] IS NULL OR tenant_id = ANY($1)) AND tenant_id <> ALL($2::text[])"


class PostgresTerms:
    """A `TermsStore`, and the terms of all tenants for a run of retention."""

    def __init__(
        self, postgres: Postgres, platform: Days, auditor: Auditor, *, undecided_days: int = UNDECIDED_DAYS
    ) -> None:
        self._postgres = postgres
        self.platform = platform
        self._auditor = auditor
        self._undecided_days = undecided_days

    async def find(self, tenant_id: str) -> TenantRetention | None:
        """See the port."""
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(_KEPT, tenant_id)
        return TenantRetention(_days(row), row["updated_by"], row["updated_at"]) if row else None

    async def save(self, tenant_id: str, retention: TenantRetention) -> None:
        """See the port."""
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(f"{_KEPT} FOR UPDATE", tenant_id)
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
                _KEEP, tenant_id, *asdict(retention.days).values(), retention.updated_by, retention.updated_at
            )

    async def terms(self) -> Mapping[str, RetentionPeriods]:
        """RetentionPeriods by kind of record, of dead letters that nobody decided about, and of marks of erasures."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(_TERMS)
        days = {row["tenant_id"]: asdict(_days(row)) for row in rows}
        kinds = {
            name.removesuffix("_days"): RetentionPeriods(
                own, {tenant: of_tenant[name] for tenant, of_tenant in days.items()}
            )
            for name, own in asdict(self.platform).items()
        }
        erasures = RetentionPeriods(
            self._erasures_days(self.platform),
            {row["tenant_id"]: self._erasures_days(_days(row)) for row in rows},
        )
        return kinds | {UNDECIDED: RetentionPeriods(self._undecided_days), ERASURES: erasures}

    def _erasures_days(self, days: Days) -> int:
        """How long an event that was told before an erasure may still come.

        A dead letter may be sent again at the end of its term, expire instead of being applied, and be sent once more.
        """
        return max(days.traces_days, self._undecided_days + days.dead_letters_days + _BUS_DAYS)


def _days(row: Mapping[str, int]) -> Days:
    return Days(**{item.name: row[item.name] for item in fields(Days)})


_TERMS = "SELECT * FROM retention_terms"
_KEPT = "SELECT * FROM retention_terms WHERE tenant_id = $1"
_KEEP = """
INSERT INTO retention_terms AS t
    (tenant_id, receipts_days, traces_days, audit_days, dead_letters_days, updated_by, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant_id) DO UPDATE
SET receipts_days = excluded.receipts_days, traces_days = excluded.traces_days, audit_days = excluded.audit_days,
    dead_letters_days = excluded.dead_letters_days, updated_by = excluded.updated_by, updated_at = excluded.updated_at
"""
# Tenants are found one after the other by index, so that no run reads rows that stay, as with tenants of longer terms.
# A chunk takes them in this order, and the next one begins with the last.
_OWNERS = """
WITH RECURSIVE every (tenant_id) AS (
    (SELECT tenant_id FROM {table} WHERE {held} AND tenant_id >= $6 ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant_id FROM {table} WHERE {held} AND tenant_id > e.tenant_id ORDER BY tenant_id LIMIT 1)
    FROM every AS e WHERE e.tenant_id IS NOT NULL
), owners AS (SELECT tenant_id FROM every WHERE {whose})
"""
# A job's month is never after its end, which spares the younger parts. What is in no month's part is of a month before
# the oldest part, or of one that is to get its part; so no part is read for it, least of all one that holds young rows.
_MONTHS = r"""
month < least($3::date + 1, (
    SELECT CASE WHEN $5 THEN min(to_date(right(part.relname, 7), 'YYYY_MM')) END
    FROM pg_inherits JOIN pg_class AS part ON part.oid = inhrelid
    WHERE inhparent = '{table}'::regclass AND part.relname ~ '_\d{{4}}_\d{{2}}$'
))
"""
_RECEIPTS = f"""
{_OWNERS.format(table="receipts", held="true", whose=_TENANTS)}, old AS (
    SELECT oldest.* FROM owners AS o CROSS JOIN LATERAL (
        SELECT receipt_id FROM receipts
        WHERE tenant_id = o.tenant_id AND ended_at < $3 AND {_MONTHS.format(table="receipts")}
        ORDER BY ended_at LIMIT $4
    ) AS oldest LIMIT $4
), gone AS (
    DELETE FROM receipts WHERE receipt_id = ANY(ARRAY(SELECT receipt_id FROM old)) RETURNING tenant_id
)
SELECT count(*), max(tenant_id) AS last FROM gone
"""  # noqa: S608
# All facts of a job go together, once the last of them is old. A job is older than its facts, so those to look at are
# found by the moment in its id; ids without one are in the default part. The limit is within DISTINCT, which would
# else read the old facts of all tenants for each chunk.
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
{_OWNERS.format(table="trace_facts", held="true", whose=_TENANTS)}, old AS (
    SELECT DISTINCT * FROM (
        SELECT oldest.* FROM owners AS o CROSS JOIN LATERAL (
            ({_ALL_OLD.format(among=_DATED)} ORDER BY job_id LIMIT $4)
            UNION ALL
            ({_ALL_OLD.format(among="month = '1970-01-01'")} ORDER BY job_id LIMIT $4)
        ) AS oldest LIMIT $4
    ) AS facts
), gone AS (
    DELETE FROM trace_facts AS t USING old
    WHERE t.tenant_id = old.tenant_id AND t.job_id = old.job_id AND t.month = old.month
    RETURNING t.tenant_id
)
SELECT count(*), max(tenant_id) AS last FROM gone
"""  # noqa: S608
# Provenance stays as long as its asset, and as long as a trace beyond the asset's end. Then the mark of the erasure is
# left, for as long as an event from before it may come.
_ERASED = "deleted_at IS NOT NULL AND generation_params IS NOT NULL"
_PROVENANCE = f"""
{_OWNERS.format(table="asset_provenance", held=_ERASED, whose=_TENANTS)}, old AS (
    SELECT oldest.* FROM owners AS o CROSS JOIN LATERAL (
        SELECT asset_id FROM asset_provenance
        WHERE tenant_id = o.tenant_id AND deleted_at < $3 AND {_ERASED} AND NOT $5
        ORDER BY deleted_at LIMIT $4
    ) AS oldest LIMIT $4
), gone AS (
    UPDATE asset_provenance AS p
    SET asset_type = NULL, media_type = NULL, checksum = NULL, created_at = NULL, request_id = NULL, job_id = NULL,
        step_id = NULL, execution_id = NULL, attempt = NULL, selection_id = NULL, capability_id = NULL, model = NULL,
        user_id = NULL, generation_params = NULL, prompt_summary = NULL, prompt = NULL, parent_ids = NULL,
        evaluation_id = NULL, passes = NULL, quality_score = NULL, cost_micro_usd = NULL, latency_ms = NULL,
        trace_id = NULL, redactions = NULL
    FROM old WHERE p.asset_id = old.asset_id RETURNING p.tenant_id
)
SELECT count(*), max(tenant_id) AS last FROM gone
"""  # noqa: S608
_MARKS = f"""
{_OWNERS.format(table="asset_provenance", held="deleted_at IS NOT NULL", whose=_TENANTS)}, old AS (
    SELECT oldest.* FROM owners AS o CROSS JOIN LATERAL (
        SELECT asset_id FROM asset_provenance WHERE tenant_id = o.tenant_id AND deleted_at < $3 AND NOT $5
        ORDER BY deleted_at LIMIT $4
    ) AS oldest LIMIT $4
), gone AS (
    DELETE FROM asset_provenance AS p USING old WHERE p.asset_id = old.asset_id RETURNING p.tenant_id
)
SELECT count(*), max(tenant_id) AS last FROM gone
"""  # noqa: S608

_LETTERS_AT_REST = "state IN ('resolved', 'discarded', 'expired')"
_SETTLED = f"""
{_OWNERS.format(table="dlq_messages", held=_LETTERS_AT_REST, whose=_TENANTS)}, old AS (
    SELECT oldest.* FROM owners AS o CROSS JOIN LATERAL (
        SELECT dlq_id FROM dlq_messages
        WHERE tenant_id = o.tenant_id AND {_LETTERS_AT_REST} AND updated_at < $3 AND NOT $5
        ORDER BY updated_at LIMIT $4
    ) AS oldest LIMIT $4
), gone AS (
    DELETE FROM dlq_messages AS d USING old WHERE d.dlq_id = old.dlq_id RETURNING d.tenant_id
)
SELECT count(*), max(tenant_id) AS last FROM gone
"""  # noqa: S608
# A dead letter that goes on by itself changes all the time; what is left is under way or waits for somebody's
# decision. No tenant has a term of its own for them.
_UNDECIDED = f"""
WITH old AS (
    SELECT dlq_id FROM dlq_messages
    WHERE {_TENANTS} AND state IN ('waiting', 'blocked', 'requeued', 'exhausted') AND updated_at < $3 AND NOT $5
    ORDER BY updated_at LIMIT $4
), gone AS (
    DELETE FROM dlq_messages AS d USING old WHERE d.dlq_id = old.dlq_id RETURNING 1
)
SELECT count(*) FROM gone
"""  # noqa: S608
# What attempts and verdicts tell of an asset that was never stored.
_WITHOUT_ASSET = delete_by_id("asset_provenance", "asset_id", "asset_type IS NULL AND deleted_at IS NULL")

RULES = (
    Rule("receipts", "receipts", _RECEIPTS, partitioned=True, resumes_by_tenant=True),
    Rule("trace_facts", "traces", _TRACES, partitioned=True, resumes_by_tenant=True),
    Rule("asset_provenance", "traces", _PROVENANCE, resumes_by_tenant=True),
    Rule("asset_provenance", ERASURES, _MARKS, resumes_by_tenant=True),
    Rule("asset_provenance", "traces", _WITHOUT_ASSET),
    Rule("dlq_messages", "dead_letters", _SETTLED, resumes_by_tenant=True),
    Rule("dlq_messages", UNDECIDED, _UNDECIDED),
)
