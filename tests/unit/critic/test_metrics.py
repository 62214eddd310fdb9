"""Labels of the critic's metrics: the caller's text is not among them."""

from __future__ import annotations

from pathlib import Path

import prometheus_client
import pytest
import yaml

from mesh.testing.clock import FakeClock
from svc_critic.adapters.metrics import TOOLS, PrometheusMeter
from svc_critic.domain.evaluation import Evaluation, Origin
from svc_critic.domain.specimen import Kind

MANIFESTS = Path(__file__).parents[3] / "svc_executor" / "manifests"


def evaluation(tool: str) -> Evaluation:
    """A verdict on what a tool made."""
    return Evaluation(
        evaluation_id="e", tenant_id="t", asset_id="a", asset_type="diagram", passes=True, score=0.9,
        min_overall_score=0.7, criteria=(), feedback=(), evaluator="heuristic", rubric_id="r", rubric_version=1,
        cost_micro_usd=0, elapsed_ms=1, origin=Origin(tool_id=tool), created_at=FakeClock().now(),
    )  # fmt: skip


def test_the_tools_that_are_named_are_those_that_ship() -> None:
    shipped = {
        document["tool_id"] for file in MANIFESTS.glob("*.yaml") for document in yaml.safe_load_all(file.read_text())
    }
    assert shipped == TOOLS


@pytest.mark.parametrize(("tool", "label"), [("mermaid", "mermaid"), ("", "unknown"), ("the caller's text", "other")])
def test_a_score_is_counted_under_a_known_name(tool: str, label: str) -> None:
    wanted = {"modality": "diagram", "tool_id": label}
    before = prometheus_client.REGISTRY.get_sample_value("multimodal_quality_score_count", wanted) or 0.0
    PrometheusMeter().judged(evaluation(tool), Kind.DIAGRAM)
    assert prometheus_client.REGISTRY.get_sample_value("multimodal_quality_score_count", wanted) == before + 1
