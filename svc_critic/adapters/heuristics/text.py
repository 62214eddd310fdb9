"""Measurements of plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_critic.app.ports import EvaluatorResult
from svc_critic.domain.asset import AssetKind
from svc_critic.domain.prose import measure_prose
from svc_critic.domain.scoring import FeedbackCode, zero_scores

if TYPE_CHECKING:
    from svc_critic.adapters.heuristics.measurement_pool import MeasurementPool
    from svc_critic.domain.asset import EvaluatedAsset, EvaluationContext
    from svc_critic.domain.scoring import Measurement

MAX_CHARS = 200_000


class TextHeuristics:
    """Measures text. It does not check facts."""

    name = "heuristics/text"
    kinds = frozenset({AssetKind.TEXT})

    def __init__(self, measurement_pool: MeasurementPool) -> None:
        self._measurement_pool = measurement_pool

    async def measure(self, tenant_id: str, asset: EvaluatedAsset, context: EvaluationContext) -> EvaluatorResult:
        """Measures a text in a child process."""
        return EvaluatorResult(await self._measurement_pool.run(tenant_id, _measure, asset.content, context))


def _measure(content: bytes, context: EvaluationContext) -> tuple[Measurement, ...]:
    if b"\0" in content:
        text = "the bytes are not text"
        return zero_scores(FeedbackCode.UNDECODABLE, text, f"It cannot be read: {text}.")
    return measure_prose(content.decode("utf-8", "replace")[:MAX_CHARS], context)
