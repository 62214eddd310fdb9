"""The store of provenance in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from svc_provenance.domain.asset_records import MAX_ANCESTORS, MAX_GENERATIONS, Provenance
from svc_provenance.domain.model import EntryKind, TraceEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from svc_provenance.domain.asset_records import AssetCreation, StoredAsset
    from svc_provenance.domain.model import EvaluationSummary, Transaction

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class MemoryProvenanceStore:
    """`ProvenanceStore` in memory, without transactions. `on_entry` is called with the job of each entry stored."""

    def __init__(self, on_entry: Callable[[str], None] = lambda _: None) -> None:
        self.on_entry = on_entry
        self._entries: dict[tuple[str, str], dict[tuple[EntryKind, str], TraceEntry]] = {}
        self._assets: dict[tuple[str, str], Provenance] = {}

    async def add_entries(
        self, transaction: Transaction, tenant_id: str, entries: Sequence[TraceEntry], *, replaces: bool = True
    ) -> None:
        for entry in entries:
            stored = self._entries.setdefault((tenant_id, entry.job_id), {})
            before = stored.get((entry.kind, entry.entry_id))
            highest = before.sequence if before else 0
            if before is None or (entry.sequence >= highest if entry.sequence else replaces):
                stored[(entry.kind, entry.entry_id)] = replace(entry, sequence=max(highest, entry.sequence))
                self.on_entry(entry.job_id)

    async def job_entry(self, transaction: Transaction, tenant_id: str, job_id: str) -> TraceEntry | None:
        return self._entries.get((tenant_id, job_id), {}).get((EntryKind.JOB, job_id))

    def _asset(self, tenant_id: str, asset_id: str) -> Provenance:
        empty = Provenance(asset_id, "", "", "", _EPOCH)
        return self._assets.get((tenant_id, asset_id), empty)

    async def add_asset(self, transaction: Transaction, tenant_id: str, asset: StoredAsset) -> None:
        before = self._asset(tenant_id, asset.asset_id)
        if before.asset_type:
            return
        self._assets[(tenant_id, asset.asset_id)] = replace(
            before,
            asset_type=asset.asset_type,
            media_type=asset.media_type,
            checksum=asset.checksum,
            created_at=asset.created_at,
            job_id=before.job_id or asset.job_id,
            step_id=before.step_id or asset.step_id,
            execution_id=before.execution_id or asset.execution_id,
            subject=before.subject or asset.subject,
            parent_ids=before.parent_ids or asset.parent_ids,
        )

    async def add_creation(
        self, transaction: Transaction, tenant_id: str, asset_ids: Sequence[str], creation: AssetCreation
    ) -> None:
        for asset_id in asset_ids:
            self._add_creation(tenant_id, asset_id, creation)

    def _add_creation(self, tenant_id: str, asset_id: str, creation: AssetCreation) -> None:
        before = self._asset(tenant_id, asset_id)
        if before.capability_id:
            return
        attempt, erased = creation.attempt, before.deleted_at is not None
        self._assets[(tenant_id, asset_id)] = replace(
            before,
            job_id=creation.job_id,
            request_id=creation.request_id,
            step_id=attempt.step_id,
            execution_id=attempt.execution_id,
            attempt=attempt.attempt,
            selection_id=attempt.selection_id,
            capability_id=attempt.capability_id,
            model=creation.model,
            subject=creation.subject,
            params={} if erased else creation.params,
            prompt_summary="" if erased else creation.prompt_summary,
            parent_ids=creation.parent_ids,
            cost_micro_usd=attempt.cost_micro_usd,
            latency_ms=attempt.latency_ms,
            trace_id=attempt.trace_id,
            redactions=creation.redactions,
            prompt="" if erased else creation.prompt,
        )

    async def add_evaluation(
        self, transaction: Transaction, tenant_id: str, asset_id: str, evaluation: EvaluationSummary
    ) -> None:
        before = self._asset(tenant_id, asset_id)
        if before.evaluation_id > evaluation.evaluation_id:
            return
        self._assets[(tenant_id, asset_id)] = replace(
            before, evaluation_id=evaluation.evaluation_id, passes=evaluation.passes, quality=evaluation.score
        )

    async def erase(self, transaction: Transaction, tenant_id: str, asset_id: str, now: datetime) -> None:
        before = self._asset(tenant_id, asset_id)
        self._assets[(tenant_id, asset_id)] = replace(before, params={}, prompt_summary="", prompt="", deleted_at=now)

    async def trace_entries(self, tenant_id: str, job_id: str) -> Sequence[TraceEntry]:
        stored = self._entries.get((tenant_id, job_id), {})
        return sorted(stored.values(), key=lambda entry: (entry.occurred_at, entry.kind, entry.entry_id))

    async def provenance(self, tenant_id: str, asset_id: str) -> Provenance | None:
        found = self._assets.get((tenant_id, asset_id))
        return found if found is not None and found.asset_type else None

    async def ancestors(self, tenant_id: str, asset_id: str) -> Sequence[Provenance]:
        found: dict[str, Provenance] = {}
        generation = sorted(self._asset(tenant_id, asset_id).parent_ids)
        for _ in range(MAX_GENERATIONS):
            stored = [
                await self.provenance(tenant_id, id_) for id_ in generation if id_ != asset_id and id_ not in found
            ]
            ancestors = [ancestor for ancestor in stored if ancestor is not None][: MAX_ANCESTORS - len(found)]
            found |= {ancestor.asset_id: ancestor for ancestor in ancestors}
            generation = sorted({parent for ancestor in ancestors for parent in ancestor.parent_ids})
        return list(found.values())
