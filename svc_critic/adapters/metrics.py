"""Counts verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh import context, telemetry

if TYPE_CHECKING:
    from svc_critic.domain.asset import Kind
    from svc_critic.domain.evaluation import Evaluation

# The tools that ship with the executor. Names of tenants' own tools are counted together.
TOOLS = frozenset((
    "d2", "dalle3", "document_composer", "espeak", "gpt-4.1", "gpt_image", "matplotlib_chart", "mermaid",
    "pillow_transform", "plantuml", "playwright_screenshot", "smollm2", "stable_image",
))  # fmt: skip
SCORES = tuple(step / 10 for step in range(1, 11))


class PrometheusMeter:
    """Scores by modality and tool, verdicts by evaluator, erasures that are left."""

    def __init__(self) -> None:
        self._scores = telemetry.histogram(
            "multimodal_quality_score", "Weighted score of judged assets.", ("modality", "tool_id"), SCORES
        )
        self._verdicts = telemetry.counter("critic_evaluations_total", "Verdicts.", ("evaluator", "verdict"))
        self._unfinished = telemetry.gauge(
            "critic_erasures_unfinished", "Erased assets that verdicts may still quote, up to 10,000."
        )

    def judged(self, evaluation: Evaluation, kind: Kind) -> None:
        """Takes in one new evaluation."""
        self._scores.labels(kind.value, _tool(evaluation)).observe(evaluation.score)
        self._verdicts.labels(evaluation.evaluator, "passed" if evaluation.passes else "refused").inc()

    def unfinished_erasures(self, number: int) -> None:
        """See the port."""
        self._unfinished.labels().set(number)


def _tool(evaluation: Evaluation) -> str:
    """The tool, if a service that acts for somebody names it: what callers write would be labels without end."""
    request = context.current()
    trusted = request is not None and request.caller is not None and request.caller.actor != ""
    if not trusted or not evaluation.origin.tool_id:
        return "unknown"
    return evaluation.origin.tool_id if evaluation.origin.tool_id in TOOLS else telemetry.OVERFLOW
