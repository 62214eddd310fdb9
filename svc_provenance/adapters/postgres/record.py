"""Facts and provenance in Postgres."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from pydantic import TypeAdapter

from mesh.rpc.bounded import OMITTED
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
from svc_provenance.domain.model import Fact, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    import asyncpg

    from mesh.stores.postgres import Postgres
    from svc_provenance.domain.asset_records import AssetCreation, AssetFacts
    from svc_provenance.domain.model import EvaluationSummary, Summary, Transaction

_PROVENANCE: TypeAdapter[Provenance] = TypeAdapter(Provenance)


class PostgresRecord:
    """The record of a cluster. `summary_from_proto` gives what the rules need of the message of a fact."""

    def __init__(self, postgres: Postgres, summary_from_proto: Callable[[Kind, bytes], Summary]) -> None:
        self._postgres = postgres
        self._summary_from_proto = summary_from_proto

    async def add_facts(
        self, unit: Transaction, tenant_id: str, facts: Sequence[Fact], *, replaces: bool = True
    ) -> None:
        """Keeps facts, each unless a later one of its id is there."""
        rows = [_fact_row(tenant_id, fact, replaces=replaces) for fact in facts]
        await _connection(unit).executemany(_FACT, rows)

    async def job_fact(self, unit: Transaction, tenant_id: str, job_id: str) -> Fact | None:
        """The fact of the job itself, with a lock on its row."""
        row = await _connection(unit).fetchrow(_JOB_FACT, tenant_id, job_id, month_of(job_id))
        return self._fact(row) if row else None

    async def add_asset(self, unit: Transaction, tenant_id: str, facts: AssetFacts) -> None:
        """Keeps what an asset's event says."""
        await _connection(unit).execute(
            _ASSET,
            facts.asset_id,
            tenant_id,
            facts.asset_type,
            facts.media_type,
            facts.checksum,
            facts.created_at,
            facts.job_id or None,
            facts.step_id or None,
            facts.execution_id or None,
            facts.subject or None,
            list(facts.parent_ids) or None,
        )

    async def add_creation(
        self, unit: Transaction, tenant_id: str, asset_ids: Sequence[str], creation: AssetCreation
    ) -> None:
        """Keeps how an attempt made assets."""
        attempt = creation.attempt
        await _connection(unit).execute(
            _CREATION,
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

    async def add_verdict(self, unit: Transaction, tenant_id: str, asset_id: str, verdict: EvaluationSummary) -> None:
        """Keeps a verdict on an asset unless a newer one is there."""
        await _connection(unit).execute(
            _VERDICT, asset_id, tenant_id, verdict.evaluation_id, verdict.passes, verdict.score
        )

    async def erase(self, unit: Transaction, tenant_id: str, asset_id: str, now: datetime) -> None:
        """Takes parameters and prompt out."""
        await _connection(unit).execute(_ERASE, asset_id, tenant_id, now)

    async def facts(self, tenant_id: str, job_id: str) -> Sequence[Fact]:
        """All facts of a job."""
        async with self._postgres.transaction(tenant_id) as connection:
            rows = await connection.fetch(_FACTS, tenant_id, job_id, month_of(job_id))
        return await run_in_thread(lambda: [self._fact(row) for row in rows])  # a job may have thousands

    def _fact(self, row: asyncpg.Record) -> Fact:
        kind, document = Kind(row["kind"]), row["document"]
        summary = self._summary_from_proto(kind, document)
        return Fact(kind, row["fact_id"], row["job_id"], row["occurred_at"], summary, document, row["sequence"])

    async def provenance(self, tenant_id: str, asset_id: str) -> Provenance | None:
        """One asset's own, once its event arrived."""
        async with self._postgres.transaction(tenant_id) as connection:
            found, _ = await _known(connection, [asset_id], 1, MAX_LINEAGE_BYTES)
        return found[0] if found else None

    async def ancestors(self, tenant_id: str, asset_id: str) -> Sequence[Provenance]:
        """All that an asset was made from."""
        found: dict[str, Provenance] = {}
        room = MAX_LINEAGE_BYTES
        async with self._postgres.transaction(tenant_id) as connection:
            layer = await _parents(connection, [asset_id])
            for _ in range(MAX_GENERATIONS):
                fresh = [id_ for id_ in layer if id_ not in found and id_ != asset_id]
                known, used = await _known(connection, fresh, MAX_ANCESTORS - len(found), room)
                if not known:
                    break
                room -= used
                found |= {item.asset_id: item for item in known}
                layer = sorted({parent for item in known for parent in item.parent_ids})
        return list(found.values())


async def _known(
    connection: asyncpg.Connection, asset_ids: Sequence[str], limit: int, room: int
) -> tuple[Sequence[Provenance], int]:
    """The provenance of these assets, as far as their events arrived, in the order of their ids; bytes of parameters.

    Parameters for which there is no room have their size in their place.
    """
    ids = [id_ for id_ in asset_ids if is_uuid(id_)]
    rows = await connection.fetch(_ASSETS, ids, limit, MAX_PARAMS_BYTES, room) if ids else []
    return [_provenance(row) for row in rows], sum(row["params_bytes"] for row in rows)


async def _parents(connection: asyncpg.Connection, asset_ids: Sequence[str]) -> Sequence[str]:
    ids = [id_ for id_ in asset_ids if is_uuid(id_)]
    rows = await connection.fetch(_PARENTS, ids) if ids else []
    return sorted({parent for row in rows for parent in row["parent_ids"]})


def _connection(unit: Transaction) -> asyncpg.Connection:
    return cast("asyncpg.Connection", unit)


def _fact_row(tenant_id: str, fact: Fact, *, replaces: bool) -> tuple[object, ...]:
    """A row of facts. Its summary is for the trigger of receipts, and for replicas of the version before."""
    return (
        tenant_id,
        fact.job_id,
        month_of(fact.job_id),
        fact.kind.value,
        fact.fact_id,
        fact.occurred_at,
        asdict(fact.summary),
        fact.document,
        fact.sequence,
        replaces,
    )


def _provenance(row: asyncpg.Record) -> Provenance:
    known = {key: value for key, value in row.items() if value is not None and key != "params_bytes"}
    return _PROVENANCE.validate_python(known)


_FACT = """
INSERT INTO trace_facts AS t (tenant_id, job_id, month, kind, fact_id, occurred_at, summary, document, sequence)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant_id, job_id, kind, fact_id, month) DO UPDATE
SET occurred_at = excluded.occurred_at, summary = excluded.summary, document = excluded.document,
    sequence = greatest(t.sequence, excluded.sequence)
WHERE CASE WHEN excluded.sequence = 0 THEN $10 ELSE excluded.sequence >= t.sequence END
"""
# After the term of traces, retention leaves the mark of an erasure: asset_id, tenant_id and deleted_at alone. No event
# that comes later, as one of a dead letter does, fills it again. An erased row that is none has parameters, empty ones.
_NO_MARK = "(p.deleted_at IS NULL OR p.generation_params IS NOT NULL)"
# Where an earlier version wrote the row, its request_id is the job.
_ASSET = f"""
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
WHERE p.asset_type IS NULL AND {_NO_MARK}
"""  # noqa: S608
_CREATION = f"""
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
WHERE p.capability_id IS NULL AND {_NO_MARK}
"""  # noqa: S608
_VERDICT = f"""
INSERT INTO asset_provenance AS p (asset_id, tenant_id, evaluation_id, passes, quality_score)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (asset_id) DO UPDATE
SET evaluation_id = excluded.evaluation_id, passes = excluded.passes, quality_score = excluded.quality_score
WHERE (p.evaluation_id IS NULL OR p.evaluation_id COLLATE "C" <= excluded.evaluation_id) AND {_NO_MARK}
"""  # noqa: S608
_ERASE = """
INSERT INTO asset_provenance AS p (asset_id, tenant_id, generation_params, prompt_summary, prompt, deleted_at)
VALUES ($1, $2, '{}', '', '', $3)
ON CONFLICT (asset_id) DO UPDATE
SET generation_params = excluded.generation_params, prompt_summary = '', prompt = '', deleted_at = excluded.deleted_at
WHERE p.tenant_id = excluded.tenant_id
"""
_JOB_FACT = """
SELECT kind, fact_id, job_id, occurred_at, document, sequence FROM trace_facts
WHERE tenant_id = $1 AND job_id = $2 AND kind = 'job' AND fact_id = $2 AND month = $3 FOR UPDATE
"""
_FACTS = """
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
_ASSETS = f"""
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
_PARENTS = "SELECT parent_ids FROM asset_provenance WHERE asset_id = ANY($1::uuid[]) AND parent_ids IS NOT NULL"
