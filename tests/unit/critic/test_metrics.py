"""Labels of the critic's metrics are few, whatever callers write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from prometheus_client import REGISTRY

from mesh import context
from mesh.context import RequestContext
from mesh.testing import ALICE
from svc_critic.adapters.metrics import PrometheusMetrics
from svc_critic.domain.asset import AssetKind
from tests.contract.critic.test_critic_stores import evaluation

MANIFESTS = Path(__file__).parents[3] / "soma_providers"


def counted(tool_id: str) -> float:
    labels = {"modality": "diagram", "tool_id": tool_id}
    return REGISTRY.get_sample_value("multimodal_quality_score_count", labels) or 0.0


def test_only_tools_that_a_service_names_are_labels() -> None:
    metrics, made = PrometheusMetrics(), evaluation()
    named, unknown = counted("mermaid"), counted("unknown")
    with context.use(RequestContext(ALICE, "r", "t")):
        metrics.record_evaluation(made, AssetKind.DIAGRAM)
    with context.use(RequestContext(replace(ALICE, actor="executor"), "r", "t")):
        metrics.record_evaluation(made, AssetKind.DIAGRAM)
    assert (counted("mermaid") - named, counted("unknown") - unknown) == (1, 1)
