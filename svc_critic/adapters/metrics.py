"""Prometheus metrics of the critic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh import context, telemetry

if TYPE_CHECKING:
    from svc_critic.domain.asset import AssetKind
    from svc_critic.domain.evaluation import Evaluation

SCORES = tuple(step / 10 for step in range(1, 11))


class PrometheusMetrics:
    """Scores by modality and tool, evaluations by evaluator and result, and unfinished erasures."""

    def __init__(self) -> None:
        self._scores = telemetry.histogram(
            "multimodal_quality_score", "Weighted score of judged assets.", ("modality", "tool_id"), SCORES
        )
        self._evaluations = telemetry.counter("critic_evaluations_total", "Verdicts.", ("evaluator", "verdict"))
        self._unfinished = telemetry.gauge(
            "critic_erasures_unfinished", "Erased assets that verdicts may still quote, up to 10,000."
        )

    def record_evaluation(self, evaluation: Evaluation, kind: AssetKind) -> None:
        """Counts a new evaluation and observes its score."""
        self._scores.labels(kind.value, _tool(evaluation)).observe(evaluation.score)
        self._evaluations.labels(evaluation.evaluator, "passed" if evaluation.passes else "refused").inc()

    def set_unfinished_erasures(self, count: int) -> None:
        self._unfinished.labels().set(count)


def _tool(evaluation: Evaluation) -> str:
    """Returns the tool if a service names it, which it does for tools of the platform.

    Values from other callers would make the number of labels unbounded.
    """
    request = context.current()
    is_service = request is not None and request.caller is not None and request.caller.actor != ""
    return (evaluation.origin.tool_id if is_service else "") or "unknown"
