"""Judging plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_critic.app.ports import EvaluatorResult
from svc_critic.domain.asset import Kind
from svc_critic.domain.judgement import Code, zero_scores
from svc_critic.domain.prose import examine_prose

if TYPE_CHECKING:
    from svc_critic.adapters.heuristics.measurement_pool import MeasurementPool
    from svc_critic.domain.asset import EvaluatedAsset, EvaluationContext
    from svc_critic.domain.judgement import Measurement

MOST_CHARS = 200_000


class TextHeuristics:
    """Measures text. It does not know whether what it says is true."""

    name = "heuristics/text"
    kinds = frozenset({Kind.TEXT})

    def __init__(self, measurement_pool: MeasurementPool) -> None:
        self._measurement_pool = measurement_pool

    async def examine(self, tenant_id: str, asset: EvaluatedAsset, context: EvaluationContext) -> EvaluatorResult:
        """Measures, beside the event loop."""
        return EvaluatorResult(await self._measurement_pool.run(tenant_id, _examine, asset.content, context))


def _examine(content: bytes, context: EvaluationContext) -> tuple[Measurement, ...]:
    if b"\0" in content:
        text = "the bytes are not text"
        return zero_scores(Code.UNDECODABLE, text, f"It cannot be read: {text}.")
    return examine_prose(content.decode("utf-8", "replace")[:MOST_CHARS], context)
