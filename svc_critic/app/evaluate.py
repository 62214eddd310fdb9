"""Evaluation of assets, once for each request id."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mesh.errors import not_found
from mesh.idempotency import NO_KEY, RequestKey
from svc_critic.domain.asset import EvaluationContext
from svc_critic.domain.evaluation import Evaluation, ListQuery, Origin, RubricChoice
from svc_critic.domain.scoring import score_measurements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.clock import Clock
    from mesh.ids import Ids
    from svc_critic.app.evaluators import Evaluators
    from svc_critic.app.ports import AssetReader, EvaluationMetrics, EvaluationStore
    from svc_critic.app.rubrics import RubricUseCases
    from svc_critic.app.slots import EvaluationSlots
    from svc_critic.domain.asset import AssetKind


@dataclass(frozen=True)
class EvaluationRequest:
    """Which asset to evaluate, by which rubric, and what was requested of its producer."""

    asset_id: str
    rubric: RubricChoice = field(default_factory=RubricChoice)
    context: EvaluationContext = field(default_factory=EvaluationContext)
    origin: Origin = field(default_factory=Origin)
    key: RequestKey = NO_KEY


class Evaluate:
    """Evaluates assets, and reads earlier evaluations."""

    def __init__(
        self,
        *,
        assets: AssetReader,
        rubrics: RubricUseCases,
        evaluators: Evaluators,
        evaluations: EvaluationStore,
        metrics: EvaluationMetrics,
        slots: EvaluationSlots,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._assets = assets
        self._rubrics = rubrics
        self._evaluators = evaluators
        self._evaluations = evaluations
        self._metrics = metrics
        self._slots = slots
        self._clock = clock
        self._ids = ids

    async def __call__(self, tenant_id: str, request: EvaluationRequest, *, by_service: bool = False) -> Evaluation:
        """Returns the evaluation; for a repeated request id, the first one.

        NOT_FOUND for an asset or a rubric that is not the tenant's, UNSUPPORTED_MEDIA_TYPE when no evaluator measures
        its kind, FAILED_PRECONDITION when no criterion of the rubric can be measured or measuring exceeds its limits,
        OVERLOADED when too many assets wait, or a call `by_service` would wait too long, IDEMPOTENCY_MISMATCH.
        """
        if request.key.request_id:
            earlier = await self._evaluations.get_by_request(tenant_id, request.key)
            if earlier is not None:
                return earlier
        # The slot is acquired before the bytes are read, so that waiting requests use no memory for them.
        async with self._slots.slot(tenant_id, by_service=by_service):
            evaluation, kind = await self._evaluate(tenant_id, request)
        recorded = await self._evaluations.record(evaluation, request.key)
        if recorded.evaluation_id == evaluation.evaluation_id:
            self._metrics.record_evaluation(recorded, kind)
        return recorded

    async def _evaluate(self, tenant_id: str, request: EvaluationRequest) -> tuple[Evaluation, AssetKind]:
        started = self._clock.monotonic()
        asset = await self._assets.read(request.asset_id)
        rubric = await self._rubrics.choose(tenant_id, request.rubric, asset.asset_type)
        evaluator, kind = self._evaluators.choose(asset)
        result = await evaluator.measure(tenant_id, asset, request.context)
        scoring = score_measurements(rubric, result.measurements)
        evaluation = Evaluation(
            evaluation_id=self._ids.new(),
            tenant_id=tenant_id,
            asset_id=asset.asset_id,
            asset_type=asset.asset_type,
            passes=scoring.passes,
            score=scoring.score,
            min_overall_score=rubric.min_overall_score,
            criteria=scoring.criteria,
            feedback=scoring.feedback,
            evaluator=evaluator.name,
            rubric_id=rubric.rubric_id,
            rubric_version=rubric.version,
            cost_micro_usd=result.cost_micro_usd,
            elapsed_ms=round((self._clock.monotonic() - started) * 1_000),
            origin=request.origin,
            created_at=self._clock.now(),
        )
        return evaluation, kind

    async def get(self, tenant_id: str, evaluation_id: str) -> Evaluation:
        """Returns an earlier evaluation."""
        evaluation = await self._evaluations.get(tenant_id, evaluation_id)
        if evaluation is None:
            raise not_found("evaluation", evaluation_id)
        return evaluation

    async def list(self, tenant_id: str, query: ListQuery) -> Sequence[Evaluation]:
        """Returns earlier evaluations, newest first."""
        return await self._evaluations.list(tenant_id, query)
