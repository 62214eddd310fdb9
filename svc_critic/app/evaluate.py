"""Judging an asset, once per request id."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from mesh.errors import not_found
from svc_critic.domain.evaluation import Evaluation, Listing, Once, Origin, RubricChoice
from svc_critic.domain.judgement import judge
from svc_critic.domain.specimen import Brief

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.clock import Clock
    from mesh.ids import Ids
    from svc_critic.app.evaluators import Evaluators
    from svc_critic.app.rubrics import RubricBook
    from svc_critic.app.slots import EvaluationSlots
    from svc_critic.domain.ports import AssetReader, Evaluations, Meter
    from svc_critic.domain.specimen import Kind


@dataclass(frozen=True)
class Order:
    """What to judge, by what, against which request."""

    asset_id: str
    rubric: RubricChoice = field(default_factory=RubricChoice)
    brief: Brief = field(default_factory=Brief)
    origin: Origin = field(default_factory=Origin)
    request_id: str = ""

    @property
    def once(self) -> Once:
        """The request id with a digest of all that was asked."""
        text = json.dumps(asdict(self), sort_keys=True, default=str)
        return Once(self.request_id, hashlib.sha256(text.encode()).hexdigest())


class Evaluate:
    """Judges assets and remembers the verdicts."""

    def __init__(
        self,
        *,
        assets: AssetReader,
        rubrics: RubricBook,
        evaluators: Evaluators,
        evaluations: Evaluations,
        meter: Meter,
        slots: EvaluationSlots,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._assets = assets
        self._rubrics = rubrics
        self._evaluators = evaluators
        self._evaluations = evaluations
        self._meter = meter
        self._slots = slots
        self._clock = clock
        self._ids = ids

    async def __call__(self, tenant_id: str, order: Order, *, by_service: bool = False) -> Evaluation:
        """The verdict; a request id that was used gives the verdict it got then.

        NOT_FOUND for an asset or a rubric that is not the tenant's, UNSUPPORTED_MEDIA_TYPE for what nobody can judge,
        FAILED_PRECONDITION when nothing of the rubric can be measured or measuring needs too much, OVERLOADED when too
        many assets wait, or an asset of a job cannot be judged soon (`by_service`), IDEMPOTENCY_MISMATCH.
        """
        if order.request_id:
            earlier = await self._evaluations.by_request(tenant_id, order.once)
            if earlier is not None:
                return earlier
        async with self._slots.slot(
            tenant_id, by_service=by_service
        ):  # before the bytes are read: those that wait hold no memory
            made, kind = await self._judged(tenant_id, order)
        kept = await self._evaluations.record(made, order.once)
        if kept.evaluation_id == made.evaluation_id:
            self._meter.judged(kept, kind)
        return kept

    async def _judged(self, tenant_id: str, order: Order) -> tuple[Evaluation, Kind]:
        started = self._clock.monotonic()
        specimen = await self._assets.read(order.asset_id)
        rubric = await self._rubrics.choose(tenant_id, order.rubric, specimen.asset_type)
        evaluator, kind = self._evaluators.choose(specimen)
        found = await evaluator.examine(tenant_id, specimen, order.brief)
        verdict = judge(rubric, found.facets)
        made = Evaluation(
            evaluation_id=self._ids.new(),
            tenant_id=tenant_id,
            asset_id=order.asset_id,
            asset_type=specimen.asset_type,
            passes=verdict.passes,
            score=verdict.score,
            min_overall_score=rubric.min_overall_score,
            criteria=verdict.criteria,
            feedback=verdict.feedback,
            evaluator=evaluator.name,
            rubric_id=rubric.rubric_id,
            rubric_version=rubric.version,
            cost_micro_usd=found.cost_micro_usd,
            elapsed_ms=round((self._clock.monotonic() - started) * 1_000),
            origin=order.origin,
            created_at=self._clock.now(),
        )
        return made, kind

    async def get(self, tenant_id: str, evaluation_id: str) -> Evaluation:
        """A past verdict."""
        found = await self._evaluations.get(tenant_id, evaluation_id)
        if found is None:
            raise not_found("evaluation", evaluation_id)
        return found

    async def list(self, tenant_id: str, wanted: Listing) -> Sequence[Evaluation]:
        """Past verdicts, newest first."""
        return await self._evaluations.list(tenant_id, wanted)
