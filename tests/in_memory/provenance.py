"""The record in the memory of one process."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from svc_provenance.domain.asset_records import MAX_ANCESTORS, MAX_GENERATIONS, Provenance
from svc_provenance.domain.model import Fact, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from svc_provenance.domain.asset_records import AssetCreation, AssetFacts
    from svc_provenance.domain.model import EvaluationSummary, Transaction

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class MemoryRecord:
    """Facts and provenance; nothing outlives the process, and units are not transactions.

    `on_fact` is called with the job of each fact that is kept.
    """

    def __init__(self, on_fact: Callable[[str], None] = lambda _: None) -> None:
        self.on_fact = on_fact
        self._facts: dict[tuple[str, str], dict[tuple[Kind, str], Fact]] = {}
        self._assets: dict[tuple[str, str], Provenance] = {}

    async def add_facts(
        self, unit: Transaction, tenant_id: str, facts: Sequence[Fact], *, replaces: bool = True
    ) -> None:
        """Keeps facts, each unless a later one of its id is there."""
        for fact in facts:
            stored = self._facts.setdefault((tenant_id, fact.job_id), {})
            before = stored.get((fact.kind, fact.fact_id))
            highest = before.sequence if before else 0
            if before is None or (fact.sequence >= highest if fact.sequence else replaces):
                stored[(fact.kind, fact.fact_id)] = replace(fact, sequence=max(highest, fact.sequence))
                self.on_fact(fact.job_id)

    async def job_fact(self, unit: Transaction, tenant_id: str, job_id: str) -> Fact | None:
        """The fact of the job itself."""
        return self._facts.get((tenant_id, job_id), {}).get((Kind.JOB, job_id))

    def _asset(self, tenant_id: str, asset_id: str) -> Provenance:
        empty = Provenance(asset_id, "", "", "", _EPOCH)
        return self._assets.get((tenant_id, asset_id), empty)

    async def add_asset(self, unit: Transaction, tenant_id: str, facts: AssetFacts) -> None:
        """Keeps what an asset's event says."""
        before = self._asset(tenant_id, facts.asset_id)
        if before.asset_type:
            return
        self._assets[(tenant_id, facts.asset_id)] = replace(
            before,
            asset_type=facts.asset_type,
            media_type=facts.media_type,
            checksum=facts.checksum,
            created_at=facts.created_at,
            job_id=before.job_id or facts.job_id,
            step_id=before.step_id or facts.step_id,
            execution_id=before.execution_id or facts.execution_id,
            subject=before.subject or facts.subject,
            parent_ids=before.parent_ids or facts.parent_ids,
        )

    async def add_creation(
        self, unit: Transaction, tenant_id: str, asset_ids: Sequence[str], creation: AssetCreation
    ) -> None:
        """Keeps how an attempt made assets."""
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

    async def add_verdict(self, unit: Transaction, tenant_id: str, asset_id: str, verdict: EvaluationSummary) -> None:
        """Keeps a verdict on an asset unless a newer one is there."""
        before = self._asset(tenant_id, asset_id)
        if before.evaluation_id > verdict.evaluation_id:
            return
        self._assets[(tenant_id, asset_id)] = replace(
            before, evaluation_id=verdict.evaluation_id, passes=verdict.passes, quality=verdict.score
        )

    async def erase(self, unit: Transaction, tenant_id: str, asset_id: str, now: datetime) -> None:
        """Takes parameters and prompt out."""
        before = self._asset(tenant_id, asset_id)
        self._assets[(tenant_id, asset_id)] = replace(before, params={}, prompt_summary="", prompt="", deleted_at=now)

    async def facts(self, tenant_id: str, job_id: str) -> Sequence[Fact]:
        """All facts of a job."""
        stored = self._facts.get((tenant_id, job_id), {})
        return sorted(stored.values(), key=lambda fact: (fact.occurred_at, fact.kind, fact.fact_id))

    async def provenance(self, tenant_id: str, asset_id: str) -> Provenance | None:
        """One asset's own."""
        found = self._assets.get((tenant_id, asset_id))
        return found if found is not None and found.asset_type else None

    async def ancestors(self, tenant_id: str, asset_id: str) -> Sequence[Provenance]:
        """All that an asset was made from, nearest first."""
        found: dict[str, Provenance] = {}
        layer = sorted(self._asset(tenant_id, asset_id).parent_ids)
        for _ in range(MAX_GENERATIONS):
            known = [await self.provenance(tenant_id, id_) for id_ in layer if id_ != asset_id and id_ not in found]
            fresh = [item for item in known if item is not None][: MAX_ANCESTORS - len(found)]
            found |= {item.asset_id: item for item in fresh}
            layer = sorted({parent for item in fresh for parent in item.parent_ids})
        return list(found.values())
