"""Counts verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh import telemetry

if TYPE_CHECKING:
    from svc_critic.domain.evaluation import Evaluation
    from svc_critic.domain.specimen import Kind

# The tools that ship with the executor. Other names are texts of callers or of tenants, and are counted together.
TOOLS = frozenset((
    "d2", "dalle3", "document_composer", "espeak", "gpt-4.1", "gpt_image", "matplotlib_chart", "mermaid",
    "pillow_transform", "plantuml", "playwright_screenshot", "smollm2", "stable_image",
))  # fmt: skip
SCORES = tuple(step / 10 for step in range(1, 11))


class PrometheusMeter:
    """Scores by modality and tool, verdicts by evaluator."""

    def __init__(self) -> None:
        self._scores = telemetry.histogram(
            "multimodal_quality_score", "Weighted score of judged assets.", ("modality", "tool_id"), SCORES
        )
        self._verdicts = telemetry.counter("critic_evaluations_total", "Verdicts.", ("evaluator", "verdict"))

    def judged(self, evaluation: Evaluation, kind: Kind) -> None:
        """Takes in one new evaluation."""
        tool = evaluation.origin.tool_id or "unknown"
        named = tool if tool in TOOLS or tool == "unknown" else telemetry.OVERFLOW
        self._scores.labels(kind.value, named).observe(evaluation.score)
        self._verdicts.labels(evaluation.evaluator, "passed" if evaluation.passes else "refused").inc()
