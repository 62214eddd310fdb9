"""Judging an asset, once per request id."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mesh.errors import not_found
from mesh.idempotency import NO_KEY, RequestKey
from svc_critic.domain.asset import EvaluationContext
from svc_critic.domain.evaluation import Evaluation, Listing, Origin, RubricChoice
from svc_critic.domain.judgement import judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.clock import Clock
    from mesh.ids import Ids
    from svc_critic.app.evaluators import Evaluators
    from svc_critic.app.ports import AssetReader, Evaluations, Meter
    from svc_critic.app.rubrics import RubricUseCases
    from svc_critic.app.slots import EvaluationSlots
    from svc_critic.domain.asset import Kind


@dataclass(frozen=True)
class EvaluationRequest:
    """What to judge, by what, against which request."""

    asset_id: str
    rubric: RubricChoice = field(default_factory=RubricChoice)
    context: EvaluationContext = field(default_factory=EvaluationContext)
    origin: Origin = field(default_factory=Origin)
    key: RequestKey = NO_KEY


class Evaluate:
    """Judges assets and remembers the verdicts."""

    def __init__(
        self,
        *,
        assets: AssetReader,
        rubrics: RubricUseCases,
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

    async def __call__(self, tenant_id: str, request: EvaluationRequest, *, by_service: bool = False) -> Evaluation:
        """The verdict; a request id that was used gives the verdict it got then.

        NOT_FOUND for an asset or a rubric that is not the tenant's, UNSUPPORTED_MEDIA_TYPE for what nobody can judge,
        FAILED_PRECONDITION when nothing of the rubric can be measured or measuring needs too much, OVERLOADED when too
        many assets wait, or an asset of a job cannot be judged soon (`by_service`), IDEMPOTENCY_MISMATCH.
        """
        if request.key.request_id:
            earlier = await self._evaluations.by_request(tenant_id, request.key)
            if earlier is not None:
                return earlier
        async with self._slots.slot(
            tenant_id, by_service=by_service
        ):  # before the bytes are read: those that wait hold no memory
            made, kind = await self._judged(tenant_id, request)
        recorded = await self._evaluations.record(made, request.key)
        if recorded.evaluation_id == made.evaluation_id:
            self._meter.judged(recorded, kind)
        return recorded

    async def _judged(self, tenant_id: str, request: EvaluationRequest) -> tuple[Evaluation, Kind]:
        started = self._clock.monotonic()
        asset = await self._assets.read(request.asset_id)
        rubric = await self._rubrics.choose(tenant_id, request.rubric, asset.asset_type)
        evaluator, kind = self._evaluators.choose(asset)
        found = await evaluator.examine(tenant_id, asset, request.context)
        verdict = judge(rubric, found.measurements)
        made = Evaluation(
            evaluation_id=self._ids.new(),
            tenant_id=tenant_id,
            asset_id=asset.asset_id,
            asset_type=asset.asset_type,
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
            origin=request.origin,
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
