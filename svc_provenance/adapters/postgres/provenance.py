"""Entries of traces, and provenance of assets, in Postgres."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from pydantic import TypeAdapter

from mesh.rpc.params_truncation import OMITTED
from mesh.stores.partitions import month_of
from mesh.thread_slots import run_in_thread
from svc_provenance.domain.asset_records import (
    MAX_ANCESTORS,
    MAX_GENERATIONS,
    MAX_LINEAGE_BYTES,
    MAX_PARAMS_BYTES,
    Provenance,
)
from svc_provenance.domain.ids import is_uuid
from svc_provenance.domain.model import EntryKind, TraceEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    import asyncpg

    from mesh.stores.postgres import Postgres
    from svc_provenance.domain.asset_records import AssetCreation, StoredAsset
    from svc_provenance.domain.model import EvaluationSummary, Summary, Transaction

_PROVENANCE: TypeAdapter[Provenance] = TypeAdapter(Provenance)


class PostgresProvenanceStore:
    """`ProvenanceStore` in Postgres. `summary_from_proto` returns the summary of an entry's document."""

    def __init__(self, postgres: Postgres, summary_from_proto: Callable[[EntryKind, bytes], Summary]) -> None:
        self._postgres = postgres
        self._summary_from_proto = summary_from_proto

    async def add_entries(
        self, transaction: Transaction, tenant_id: str, entries: Sequence[TraceEntry], *, replaces: bool = True
    ) -> None:
        rows = [_entry_row(tenant_id, entry, replaces=replaces) for entry in entries]
        await _connection(transaction).executemany(_ADD_ENTRY, rows)

    async def job_entry(self, transaction: Transaction, tenant_id: str, job_id: str) -> TraceEntry | None:
        row = await _connection(transaction).fetchrow(_JOB_ENTRY, tenant_id, job_id, month_of(job_id))
        return self._entry(row) if row else None

    async def add_asset(self, transaction: Transaction, tenant_id: str, asset: StoredAsset) -> None:
        await _connection(transaction).execute(
            _ADD_ASSET,
            asset.asset_id,
            tenant_id,
            asset.asset_type,
            asset.media_type,
            asset.checksum,
            asset.created_at,
            asset.job_id or None,
            asset.step_id or None,
            asset.execution_id or None,
            asset.subject or None,
            list(asset.parent_ids) or None,
        )

    async def add_creation(
        self, transaction: Transaction, tenant_id: str, asset_ids: Sequence[str], creation: AssetCreation
    ) -> None:
        attempt = creation.attempt
        await _connection(transaction).execute(
            _ADD_CREATION,
            sorted(set(asset_ids)),
            tenant_id,
            creation.job_id,
            creation.request_id or None,
            attempt.step_id,
            attempt.execution_id,
            attempt.attempt,
            attempt.selection_id,
            attempt.capability_id,
            creation.model,
            creation.subject,
            creation.params,
            creation.prompt_summary,
            list(creation.parent_ids) or None,
            attempt.cost_micro_usd,
            attempt.latency_ms,
            attempt.trace_id,
            creation.redactions,
            creation.prompt,
        )

    async def add_evaluation(
        self, transaction: Transaction, tenant_id: str, asset_id: str, evaluation: EvaluationSummary
    ) -> None:
        await _connection(transaction).execute(
            _ADD_EVALUATION, asset_id, tenant_id, evaluation.evaluation_id, evaluation.passes, evaluation.score
        )

    async def erase(self, transaction: Transaction, tenant_id: str, asset_id: str, now: datetime) -> None:
        await _connection(transaction).execute(_ERASE, asset_id, tenant_id, now)

    async def trace_entries(self, tenant_id: str, job_id: str) -> Sequence[TraceEntry]:
        async with self._postgres.transaction(tenant_id) as connection:
            rows = await connection.fetch(_TRACE_ENTRIES, tenant_id, job_id, month_of(job_id))
        return await run_in_thread(lambda: [self._entry(row) for row in rows])  # a job may have thousands

    def _entry(self, row: asyncpg.Record) -> TraceEntry:
        kind, document = EntryKind(row["kind"]), row["document"]
        summary = self._summary_from_proto(kind, document)
        return TraceEntry(kind, row["fact_id"], row["job_id"], row["occurred_at"], summary, document, row["sequence"])

    async def provenance(self, tenant_id: str, asset_id: str) -> Provenance | None:
        async with self._postgres.transaction(tenant_id) as connection:
            found, _ = await _get_provenance(connection, [asset_id], 1, MAX_LINEAGE_BYTES)
        return found[0] if found else None

    async def ancestors(self, tenant_id: str, asset_id: str) -> Sequence[Provenance]:
        found: dict[str, Provenance] = {}
        remaining_bytes = MAX_LINEAGE_BYTES
        async with self._postgres.transaction(tenant_id) as connection:
            generation = await _get_parents(connection, [asset_id])
            for _ in range(MAX_GENERATIONS):
                ids = [id_ for id_ in generation if id_ not in found and id_ != asset_id]
                limit = MAX_ANCESTORS - len(found)
                ancestors, used_bytes = await _get_provenance(connection, ids, limit, remaining_bytes)
                if not ancestors:
                    break
                remaining_bytes -= used_bytes
                found |= {ancestor.asset_id: ancestor for ancestor in ancestors}
                generation = sorted({parent for ancestor in ancestors for parent in ancestor.parent_ids})
        return list(found.values())


async def _get_provenance(
    connection: asyncpg.Connection, asset_ids: Sequence[str], limit: int, max_bytes: int
) -> tuple[Sequence[Provenance], int]:
    """Returns the provenance of assets whose events arrived, by id, and the bytes of its parameters.

    Parameters that exceed `max_bytes` are replaced by their size.
    """
    ids = [id_ for id_ in asset_ids if is_uuid(id_)]
    rows = await connection.fetch(_GET_PROVENANCE, ids, limit, MAX_PARAMS_BYTES, max_bytes) if ids else []
    return [_provenance(row) for row in rows], sum(row["params_bytes"] for row in rows)


async def _get_parents(connection: asyncpg.Connection, asset_ids: Sequence[str]) -> Sequence[str]:
    ids = [id_ for id_ in asset_ids if is_uuid(id_)]
    rows = await connection.fetch(_GET_PARENTS, ids) if ids else []
    return sorted({parent for row in rows for parent in row["parent_ids"]})


def _connection(transaction: Transaction) -> asyncpg.Connection:
    return cast("asyncpg.Connection", transaction)


def _entry_row(tenant_id: str, entry: TraceEntry, *, replaces: bool) -> tuple[object, ...]:
    """Returns a row. Its summary is for the trigger of receipts, and for replicas of the previous version."""
    return (
        tenant_id,
        entry.job_id,
        month_of(entry.job_id),
        entry.kind.value,
        entry.entry_id,
        entry.occurred_at,
        asdict(entry.summary),
        entry.document,
        entry.sequence,
        replaces,
    )


def _provenance(row: asyncpg.Record) -> Provenance:
    fields = {key: value for key, value in row.items() if value is not None and key != "params_bytes"}
    return _PROVENANCE.validate_python(fields)


_ADD_ENTRY = """
INSERT INTO trace_facts AS t (tenant_id, job_id, month, kind, fact_id, occurred_at, summary, document, sequence)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant_id, job_id, kind, fact_id, month) DO UPDATE
SET occurred_at = excluded.occurred_at, summary = excluded.summary, document = excluded.document,
    sequence = greatest(t.sequence, excluded.sequence)
WHERE CASE WHEN excluded.sequence = 0 THEN $10 ELSE excluded.sequence >= t.sequence END
"""
# When the retention of traces is over, the mark of an erasure remains: asset_id, tenant_id and deleted_at alone. A
# later event, as of a dead letter, must not fill it again. Erased rows that still have their other columns have
# parameters, empty ones.
_NOT_ONLY_ERASURE_MARK = "(p.deleted_at IS NULL OR p.generation_params IS NOT NULL)"
# Where an earlier version wrote the row, its request_id is the job.
_ADD_ASSET = f"""
INSERT INTO asset_provenance AS p
    (asset_id, tenant_id, asset_type, media_type, checksum, created_at, job_id, step_id, execution_id, user_id,
     parent_ids)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (asset_id) DO UPDATE
SET asset_type = excluded.asset_type, media_type = excluded.media_type, checksum = excluded.checksum,
    created_at = excluded.created_at,
    request_id = CASE WHEN p.job_id IS NULL THEN NULL ELSE p.request_id END,
    job_id = coalesce(p.job_id, p.request_id, excluded.job_id), step_id = coalesce(p.step_id, excluded.step_id),
    execution_id = coalesce(p.execution_id, excluded.execution_id), user_id = coalesce(p.user_id, excluded.user_id),
    parent_ids = coalesce(p.parent_ids, excluded.parent_ids)
WHERE p.asset_type IS NULL AND {_NOT_ONLY_ERASURE_MARK}
"""  # noqa: S608
_ADD_CREATION = f"""
INSERT INTO asset_provenance AS p
    (asset_id, tenant_id, job_id, request_id, step_id, execution_id, attempt, selection_id, capability_id, model,
     user_id, generation_params, prompt_summary, parent_ids, cost_micro_usd, latency_ms, trace_id, redactions, prompt)
SELECT asset_id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19
FROM unnest($1::uuid[]) AS asset_id
ON CONFLICT (asset_id) DO UPDATE
SET job_id = excluded.job_id, request_id = excluded.request_id, step_id = excluded.step_id,
    execution_id = excluded.execution_id,
    attempt = excluded.attempt, selection_id = excluded.selection_id, capability_id = excluded.capability_id,
    model = excluded.model, user_id = excluded.user_id, parent_ids = excluded.parent_ids,
    generation_params = CASE WHEN p.deleted_at IS NULL THEN excluded.generation_params ELSE p.generation_params END,
    prompt_summary = CASE WHEN p.deleted_at IS NULL THEN excluded.prompt_summary ELSE p.prompt_summary END,
    prompt = CASE WHEN p.deleted_at IS NULL THEN excluded.prompt ELSE p.prompt END,
    cost_micro_usd = excluded.cost_micro_usd, latency_ms = excluded.latency_ms, trace_id = excluded.trace_id,
    redactions = excluded.redactions
WHERE p.capability_id IS NULL AND {_NOT_ONLY_ERASURE_MARK}
"""  # noqa: S608
_ADD_EVALUATION = f"""
INSERT INTO asset_provenance AS p (asset_id, tenant_id, evaluation_id, passes, quality_score)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (asset_id) DO UPDATE
SET evaluation_id = excluded.evaluation_id, passes = excluded.passes, quality_score = excluded.quality_score
WHERE (p.evaluation_id IS NULL OR p.evaluation_id COLLATE "C" <= excluded.evaluation_id) AND {_NOT_ONLY_ERASURE_MARK}
"""  # noqa: S608
_ERASE = """
INSERT INTO asset_provenance AS p (asset_id, tenant_id, generation_params, prompt_summary, prompt, deleted_at)
VALUES ($1, $2, '{}', '', '', $3)
ON CONFLICT (asset_id) DO UPDATE
SET generation_params = excluded.generation_params, prompt_summary = '', prompt = '', deleted_at = excluded.deleted_at
WHERE p.tenant_id = excluded.tenant_id
"""
_JOB_ENTRY = """
SELECT kind, fact_id, job_id, occurred_at, document, sequence FROM trace_facts
WHERE tenant_id = $1 AND job_id = $2 AND kind = 'job' AND fact_id = $2 AND month = $3 FOR UPDATE
"""
_TRACE_ENTRIES = """
SELECT kind, fact_id, job_id, occurred_at, document, sequence FROM trace_facts
WHERE tenant_id = $1 AND job_id = $2 AND month = $3 ORDER BY occurred_at, kind, fact_id
"""
_COLUMNS = """
asset_id::text AS asset_id, asset_type, media_type, checksum, created_at, step_id, execution_id, attempt,
coalesce(job_id, request_id) AS job_id, CASE WHEN request_id <> job_id THEN request_id END AS request_id,
selection_id, capability_id, model, user_id AS subject, prompt_summary,
parent_ids, evaluation_id, passes, quality_score AS quality, cost_micro_usd, latency_ms, trace_id, redactions,
deleted_at, prompt
"""
_GET_PROVENANCE = f"""
SELECT {_COLUMNS}, CASE WHEN fits THEN params_bytes ELSE 0 END AS params_bytes,
    CASE WHEN fits THEN generation_params
    ELSE jsonb_build_object('{OMITTED}', jsonb_build_object('size_bytes', params_bytes)) END AS params
FROM (
    SELECT *, params_bytes <= $3 AND
        sum(CASE WHEN params_bytes <= $3 THEN params_bytes ELSE 0 END) OVER (ORDER BY asset_id) <= $4 AS fits
    FROM (
        SELECT *, coalesce(octet_length(generation_params::text), 0) AS params_bytes FROM asset_provenance
        WHERE asset_id = ANY($1::uuid[]) AND asset_type IS NOT NULL ORDER BY asset_id LIMIT $2
    ) AS found
) AS sized
ORDER BY sized.asset_id
"""  # noqa: S608
_GET_PARENTS = "SELECT parent_ids FROM asset_provenance WHERE asset_id = ANY($1::uuid[]) AND parent_ids IS NOT NULL"
