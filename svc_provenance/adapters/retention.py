"""The record's tables that grow with work, how each is kept short, and for how long by tenant."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from mesh.events.audit import canonical
from mesh.stores.postgres import SYSTEM
from mesh.stores.retention import Rule, Terms
from svc_provenance.domain.retention import Days, Kept

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.events.audit import Auditor
    from mesh.stores.postgres import Postgres

_WHOSE = "($1::text[] IS NULL OR tenant_id = ANY($1)) AND tenant_id <> ALL($2::text[])"


class PostgresTerms:
    """A `TermsStore`, and the terms of all tenants for a run of retention."""

    def __init__(self, postgres: Postgres, platform: Days, auditor: Auditor) -> None:
        self._postgres = postgres
        self.platform = platform
        self._auditor = auditor

    async def kept(self, tenant_id: str) -> Kept | None:
        """See the port."""
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(_KEPT, tenant_id)
        return Kept(_days(row), row["updated_by"], row["updated_at"]) if row else None

    async def keep(self, tenant_id: str, kept: Kept) -> None:
        """See the port."""
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(f"{_KEPT} FOR UPDATE", tenant_id)
            await self._auditor.record(
                connection,
                action="retention.write",
                resource_type="retention",
                resource_id=tenant_id,
                before=canonical(_days(row)) if row else None,
                after=canonical(kept.days),
                tenant_id=tenant_id,
            )
            await connection.execute(_KEEP, tenant_id, *asdict(kept.days).values(), kept.updated_by, kept.updated_at)

    async def terms(self) -> Mapping[str, Terms]:
        """Terms by kind of record."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch("SELECT * FROM retention_terms")
        days = {row["tenant_id"]: asdict(_days(row)) for row in rows}
        return {
            name.removesuffix("_days"): Terms(own, {tenant: of_tenant[name] for tenant, of_tenant in days.items()})
            for name, own in asdict(self.platform).items()
        }


def _days(row: Mapping[str, int]) -> Days:
    return Days(**{item.name: row[item.name] for item in fields(Days)})


_KEPT = "SELECT * FROM retention_terms WHERE tenant_id = $1"
_KEEP = """
INSERT INTO retention_terms AS t
    (tenant_id, receipts_days, traces_days, audit_days, dead_letters_days, updated_by, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant_id) DO UPDATE
SET receipts_days = excluded.receipts_days, traces_days = excluded.traces_days, audit_days = excluded.audit_days,
    dead_letters_days = excluded.dead_letters_days, updated_by = excluded.updated_by, updated_at = excluded.updated_at
"""
# A job's month is never after its end, which spares the younger parts.
_RECEIPTS = f"""
WITH old AS (
    SELECT tenant_id, job_id, month FROM receipts
    WHERE {_WHOSE} AND ended_at < $3 AND month <= $3::date AND (NOT $5 OR tableoid = 'receipts_default'::regclass)
    LIMIT $4
), gone AS (
    DELETE FROM receipts AS r USING old
    WHERE r.tenant_id = old.tenant_id AND r.job_id = old.job_id AND r.month = old.month RETURNING 1
)
SELECT count(*) FROM gone
"""  # noqa: S608
# All facts of a job go together, once the last of them is old.
_TRACES = f"""
WITH old AS (
    SELECT DISTINCT tenant_id, job_id, month FROM (
        SELECT tenant_id, job_id, month FROM trace_facts AS t
        WHERE {_WHOSE} AND occurred_at < $3 AND month <= $3::date
            AND (NOT $5 OR tableoid = 'trace_facts_default'::regclass)
            AND NOT EXISTS (
                SELECT FROM trace_facts AS young
                WHERE young.tenant_id = t.tenant_id AND young.job_id = t.job_id AND young.month = t.month
                    AND young.occurred_at >= $3
            )
        LIMIT $4
    ) AS facts
), gone AS (
    DELETE FROM trace_facts AS t USING old
    WHERE t.tenant_id = old.tenant_id AND t.job_id = old.job_id AND t.month = old.month RETURNING 1
)
SELECT count(*) FROM gone
"""  # noqa: S608
# Provenance stays as long as its asset, and as long as a trace beyond the asset's end.
_PROVENANCE = f"""
WITH old AS (
    SELECT asset_id FROM asset_provenance WHERE {_WHOSE} AND deleted_at < $3 AND NOT $5 LIMIT $4
), gone AS (
    DELETE FROM asset_provenance AS p USING old WHERE p.asset_id = old.asset_id RETURNING 1
)
SELECT count(*) FROM gone
"""  # noqa: S608

# Letters that wait for somebody's decision stay.
_DEAD_LETTERS = f"""
WITH old AS (
    SELECT dlq_id FROM dlq_messages
    WHERE {_WHOSE} AND state IN ('resolved', 'discarded', 'expired') AND updated_at < $3 AND NOT $5 LIMIT $4
), gone AS (
    DELETE FROM dlq_messages AS d USING old WHERE d.dlq_id = old.dlq_id RETURNING 1
)
SELECT count(*) FROM gone
"""  # noqa: S608

RULES = (
    Rule("receipts", "receipts", _RECEIPTS, part=True),
    Rule("trace_facts", "traces", _TRACES, part=True),
    Rule("asset_provenance", "traces", _PROVENANCE),
    Rule("dlq_messages", "dead_letters", _DEAD_LETTERS),
)
