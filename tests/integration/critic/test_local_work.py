"""The critic and the local providers: good work passes, and what it sends back is mended by what it hints at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.processes import ProcessLimits, ProcessPool
from soma_providers.port import Feedback
from soma_providers.runtime import discovery, manifests
from soma_providers.runtime.catalogue import ModuleCatalogue
from svc_critic.adapters.heuristics import heuristics
from svc_critic.app import Evaluators
from svc_critic.domain.asset import EvaluatedAsset, EvaluationContext
from svc_critic.domain.rubric import builtin_rubric
from svc_critic.domain.scoring import score_measurements
from svc_executor.domain.prompts import expected_labels_of, requested_text
from tests.conformance import harness
from tests.conformance.diagrams import ALL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from soma_providers.port import JsonValue
    from svc_critic.domain.scoring import ScoringResult

ADAPTERS = {f"{manifest.tool_id}@{manifest.provider}": manifest.adapter for manifest in manifests.installed()}
CHART: Mapping[str, JsonValue] = {
    "kind": "bar",
    "title": "Time to sign in",
    "x_label": "Percentile",
    "y_label": "Milliseconds",
    "series": [{"name": "Password only", "x": ["p50", "p95", "p99"], "y": [142, 287, 611]}],
}
SPEECH = "A customer signs in with an email address and a password. Five failures lock an account for fifteen minutes."


class LocalTools:
    """Providers beside the critic."""

    def __init__(self, catalogue: ModuleCatalogue, evaluators: Evaluators) -> None:
        self._catalogue = catalogue
        self._evaluators = evaluators

    async def judge(
        self, name: str, params: Mapping[str, JsonValue], feedback: tuple[Feedback, ...] = ()
    ) -> ScoringResult:
        provider = self._catalogue.provider(ADAPTERS[name])
        assert provider is not None
        made = (await provider.invoke(harness.invocation(params, feedback=feedback))).artefacts[0]
        asset = EvaluatedAsset(name, made.asset_type, made.media_type, made.content)
        evaluator, _ = self._evaluators.choose(asset)
        found = await evaluator.measure(
            "acme", asset, EvaluationContext(requested_text(params), expected_labels_of(params))
        )
        return score_measurements(builtin_rubric(asset.asset_type), found.measurements)


@pytest.fixture(scope="module")
async def local_tools(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalTools]:
    pool_of = ProcessPool.open("critic", ProcessLimits(memory_mb=1_024), SystemClock())
    async with harness.context(home=tmp_path_factory.mktemp("home")) as context, pool_of as pool:
        catalogue = ModuleCatalogue(context, discovery.installed(), set(ADAPTERS.values()))
        yield LocalTools(catalogue, Evaluators(heuristics(pool, 2)))
        await catalogue.aclose()


@pytest.mark.parametrize("name", ["mermaid@local", "plantuml@local", "d2@local"])
async def test_diagrams_pass(local_tools: LocalTools, name: str) -> None:
    verdict = await local_tools.judge(name, {"diagram": ALL["architecture"]})
    assert verdict.passes, verdict


async def test_sequence_diagrams_may_name_participants_twice(local_tools: LocalTools) -> None:
    verdict = await local_tools.judge("plantuml@local", {"diagram": ALL["sequence"]})
    assert verdict.passes, verdict


async def test_speech_passes(local_tools: LocalTools) -> None:
    verdict = await local_tools.judge("espeak@local", {"text": SPEECH})
    assert verdict.passes, verdict


async def test_a_chart_that_is_too_small_is_sent_back_once(local_tools: LocalTools) -> None:
    small = await local_tools.judge("matplotlib_chart@local", {"chart": CHART, "scale": 0.3})
    assert not small.passes
    assert "RESOLUTION_TOO_LOW" in {note.code for note in small.feedback}
    feedback = tuple(Feedback(note.dimension.value, note.code, note.message, note.hint) for note in small.feedback)
    again = await local_tools.judge("matplotlib_chart@local", {"chart": CHART, "scale": 0.3}, feedback)
    assert again.passes, again
