"""Judging an asset: which rubric, which evaluator, once per request."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError, not_found
from mesh.fairness import FairSlots
from mesh.idempotency import RequestKey
from mesh.ids import SystemIds
from mesh.testing import FakeClock
from svc_critic.app import Evaluate, EvaluationRequest, EvaluationSlots, Evaluators, RubricUseCases
from svc_critic.app.ports import EvaluatorResult
from svc_critic.domain.asset import AssetKind, EvaluatedAsset, EvaluationContext
from svc_critic.domain.evaluation import ListQuery, Origin, RubricChoice
from svc_critic.domain.rubric import Criterion, Dimension, Rubric
from svc_critic.domain.scoring import FeedbackCode, Measurement, measurement
from tests.in_memory.critic import MemoryEvaluationStore, MemoryRubricStore

if TYPE_CHECKING:
    from svc_critic.domain.evaluation import Evaluation

LENIENT = Rubric((Criterion(Dimension.CLARITY, 1.0, 0.2),), 0.2)
STRICT = Rubric((Criterion(Dimension.CLARITY, 1.0, 0.99),), 0.99)


class FakeAssets:
    """Assets by id."""

    def __init__(self) -> None:
        self.assets: dict[str, EvaluatedAsset] = {}

    def put(self, asset_id: str, asset_type: str = "diagram", media_type: str = "image/png") -> str:
        self.assets[asset_id] = EvaluatedAsset(asset_id, asset_type, media_type, b"content")
        return asset_id

    async def read(self, asset_id: str) -> EvaluatedAsset:
        if asset_id not in self.assets:
            raise not_found("asset", asset_id)
        return self.assets[asset_id]


class FixedEvaluator:
    """An evaluator that always finds the same."""

    name = "heuristics/diagram"
    kinds = frozenset({AssetKind.DIAGRAM, AssetKind.IMAGE})

    def __init__(self, clarity: float = 0.8, relevance: float = 0.8) -> None:
        self.clarity = clarity
        self.relevance = relevance
        self.asked: list[EvaluationContext] = []

    async def measure(self, tenant_id: str, asset: EvaluatedAsset, context: EvaluationContext) -> EvaluatorResult:
        self.asked.append(context)
        mend = measurement(
            Dimension.CLARITY, self.clarity, "sharp", FeedbackCode.BLURRED, "Draw it sharper.", hint={"min_width_px": 9}
        )
        return EvaluatorResult((mend, Measurement(Dimension.RELEVANCE, self.relevance, "named")), cost_micro_usd=7)


class CountingMeter:
    """Counts what is measured."""

    def __init__(self) -> None:
        self.verdicts: Counter[tuple[str, bool]] = Counter()

    def record_evaluation(self, evaluation: Evaluation, kind: AssetKind) -> None:
        self.verdicts[kind.value, evaluation.passes] += 1


class Critic:
    """The use case on adapters in memory."""

    def __init__(self) -> None:
        self.assets = FakeAssets()
        self.evaluator = FixedEvaluator()
        self.tally = CountingMeter()
        self.clock = FakeClock()
        self.rubrics = RubricUseCases(MemoryRubricStore(), self.clock, SystemIds())
        self.evaluate = Evaluate(
            assets=self.assets,
            rubrics=self.rubrics,
            evaluators=Evaluators([self.evaluator]),
            evaluations=MemoryEvaluationStore(),
            metrics=self.tally,
            slots=EvaluationSlots(FairSlots("the critic", 2, per_tenant=1), 1),
            clock=self.clock,
            ids=SystemIds(),
        )


@pytest.fixture
def critic() -> Critic:
    made = Critic()
    made.assets.put("a-1")
    return made


async def refusal(critic: Critic, order: EvaluationRequest, tenant: str = "acme") -> Reason:
    with pytest.raises(SomaError) as refused:
        await critic.evaluate(tenant, order)
    return refused.value.reason


async def test_a_good_asset_passes_by_the_default_of_its_type(critic: Critic) -> None:
    verdict = await critic.evaluate("acme", EvaluationRequest("a-1"))
    assert verdict.passes
    assert (verdict.rubric_id, verdict.evaluator, verdict.cost_micro_usd) == (
        "default-diagram",
        "heuristics/diagram",
        7,
    )
    assert (verdict.score, verdict.min_overall_score) == (0.8, 0.65)
    assert verdict.feedback == ()


async def test_a_bad_asset_is_sent_back_with_what_to_change(critic: Critic) -> None:
    critic.evaluator.clarity = 0.3
    verdict = await critic.evaluate("acme", EvaluationRequest("a-1"))
    assert not verdict.passes
    (note,) = verdict.feedback
    assert (note.code, note.hint) == ("BLURRED", {"min_width_px": 9})


async def test_the_evaluator_hears_what_was_asked_for(critic: Critic) -> None:
    context = EvaluationContext("Draw the shop", ("Browser",), 800)
    await critic.evaluate("acme", EvaluationRequest("a-1", context=context))
    assert critic.evaluator.asked == [context]


async def test_a_verdict_is_kept_with_where_the_asset_came_from(critic: Critic) -> None:
    origin = Origin("job-1", "step-1", "execution-1", "mermaid")
    made = await critic.evaluate("acme", EvaluationRequest("a-1", origin=origin))
    assert await critic.evaluate.get("acme", made.evaluation_id) == made
    assert await critic.evaluate.list("acme", ListQuery(job_id="job-1")) == [made]
    assert made.origin == origin


async def test_another_tenant_sees_no_verdict(critic: Critic) -> None:
    made = await critic.evaluate("acme", EvaluationRequest("a-1"))
    with pytest.raises(SomaError) as hidden:
        await critic.evaluate.get("umbrella", made.evaluation_id)
    assert hidden.value.reason is Reason.NOT_FOUND


async def test_a_request_id_judges_once(critic: Critic) -> None:
    first = await critic.evaluate("acme", EvaluationRequest("a-1", key=RequestKey.for_request("r", b"a-1")))
    critic.evaluator.clarity = 0.1
    assert await critic.evaluate("acme", EvaluationRequest("a-1", key=RequestKey.for_request("r", b"a-1"))) == first
    assert len(critic.evaluator.asked) == 1
    assert critic.tally.verdicts == {("diagram", True): 1}


async def test_a_request_id_is_not_taken_for_another_asset(critic: Critic) -> None:
    critic.assets.put("a-2")
    await critic.evaluate("acme", EvaluationRequest("a-1", key=RequestKey.for_request("r", b"a-1")))
    assert (
        await refusal(critic, EvaluationRequest("a-2", key=RequestKey.for_request("r", b"a-2")))
        is Reason.IDEMPOTENCY_MISMATCH
    )


async def test_a_rubric_in_the_request_wins(critic: Critic) -> None:
    kept = await critic.rubrics.create("acme", STRICT)
    choice = RubricChoice(LENIENT, kept.rubric_id)
    verdict = await critic.evaluate("acme", EvaluationRequest("a-1", choice))
    assert (verdict.passes, verdict.rubric_id) == (True, "")


async def test_a_rubric_can_be_named(critic: Critic) -> None:
    kept = await critic.rubrics.create("acme", STRICT)
    verdict = await critic.evaluate("acme", EvaluationRequest("a-1", RubricChoice(rubric_id=kept.rubric_id)))
    assert (verdict.passes, verdict.rubric_id, verdict.rubric_version) == (False, kept.rubric_id, 1)


async def test_the_default_of_the_tenant_goes_before_the_platforms(critic: Critic) -> None:
    kept = await critic.rubrics.create("acme", replace(STRICT, asset_type="diagram", is_default=True))
    assert (await critic.evaluate("acme", EvaluationRequest("a-1"))).rubric_id == kept.rubric_id
    assert (await critic.evaluate("umbrella", EvaluationRequest("a-1"))).rubric_id == "default-diagram"


async def test_another_tenants_rubric_does_not_exist(critic: Critic) -> None:
    kept = await critic.rubrics.create("umbrella", STRICT)
    order = EvaluationRequest("a-1", RubricChoice(rubric_id=kept.rubric_id))
    assert await refusal(critic, order) is Reason.NOT_FOUND


async def test_a_rubric_that_does_not_add_up_is_refused(critic: Critic) -> None:
    bad = replace(LENIENT, criteria=(Criterion(Dimension.CLARITY, 0.5, 0.2),))
    assert await refusal(critic, EvaluationRequest("a-1", RubricChoice(bad))) is Reason.INVALID_ARGUMENT


async def test_an_asset_that_is_not_there_is_told(critic: Critic) -> None:
    assert await refusal(critic, EvaluationRequest("a-9")) is Reason.NOT_FOUND


async def test_what_nobody_can_judge_is_told(critic: Critic) -> None:
    critic.assets.put("zip", "bundle", "application/zip")
    assert await refusal(critic, EvaluationRequest("zip")) is Reason.UNSUPPORTED_MEDIA_TYPE


async def test_what_cannot_be_measured_is_no_verdict(critic: Critic) -> None:
    only = Rubric((Criterion(Dimension.AESTHETIC, 1.0, 0.5),), 0.5)
    assert await refusal(critic, EvaluationRequest("a-1", RubricChoice(only))) is Reason.FAILED_PRECONDITION


async def test_rubrics_change_by_version(critic: Critic) -> None:
    first = await critic.rubrics.create("acme", LENIENT, RequestKey.for_request("r-1"))
    assert await critic.rubrics.create("acme", LENIENT, RequestKey.for_request("r-1")) == first
    second = await critic.rubrics.update("acme", first.rubric_id, replace(STRICT, version=1))
    assert (second.version, second.min_overall_score) == (2, 0.99)
    with pytest.raises(SomaError) as stale:
        await critic.rubrics.update("acme", first.rubric_id, replace(LENIENT, version=1))
    assert stale.value.reason is Reason.STALE_VERSION
    overwritten = await critic.rubrics.update("acme", first.rubric_id, LENIENT)
    assert overwritten.version == 3


async def test_a_repeated_update_changes_once(critic: Critic) -> None:
    first = await critic.rubrics.create("acme", LENIENT)
    once = await critic.rubrics.update(
        "acme", first.rubric_id, replace(STRICT, version=1), RequestKey.for_request("r-2")
    )
    assert (
        await critic.rubrics.update("acme", first.rubric_id, replace(STRICT, version=1), RequestKey.for_request("r-2"))
        == once
    )


async def test_evaluations_keep_their_figures_when_the_rubric_goes(critic: Critic) -> None:
    kept = await critic.rubrics.create("acme", LENIENT)
    made = await critic.evaluate("acme", EvaluationRequest("a-1", RubricChoice(rubric_id=kept.rubric_id)))
    await critic.rubrics.delete("acme", kept.rubric_id)
    assert await critic.evaluate.get("acme", made.evaluation_id) == made
    with pytest.raises(SomaError) as gone:
        await critic.rubrics.get("acme", kept.rubric_id)
    assert gone.value.reason is Reason.NOT_FOUND


async def test_the_platforms_rubrics_stay_as_they_are(critic: Critic) -> None:
    assert (await critic.rubrics.get("acme", "default-audio")).builtin
    for change in (
        critic.rubrics.update("acme", "default-audio", LENIENT),
        critic.rubrics.delete("acme", "default-audio"),
    ):
        with pytest.raises(SomaError) as refused:
            await change
        assert refused.value.reason is Reason.FAILED_PRECONDITION


async def test_rubrics_are_listed_page_by_page(critic: Critic) -> None:
    own = await critic.rubrics.create("acme", LENIENT)
    ids: list[str] = []
    while page := await critic.rubrics.list("acme", "", ids[-1] if ids else "", 3):
        ids += [rubric.rubric_id for rubric in page]
    assert ids[0] == own.rubric_id
    assert ids == sorted(set(ids))
    assert "default-any" in ids


@pytest.mark.parametrize(
    ("asset_type", "media_type", "kind"),
    [
        ("diagram", "image/svg+xml", AssetKind.DIAGRAM),
        ("chart", "image/png", AssetKind.DIAGRAM),
        ("upload", "image/jpeg", AssetKind.IMAGE),
        ("screenshot", "image/png", AssetKind.SCREENSHOT),
        ("audio", "audio/wav", AssetKind.AUDIO),
        ("text", "text/markdown", AssetKind.TEXT),
        ("document", "text/markdown; charset=utf-8", AssetKind.DOCUMENT),
        ("document", "text/plain", AssetKind.DOCUMENT),
        ("document", "application/pdf", AssetKind.DOCUMENT),
        ("bundle", "application/zip", AssetKind.OTHER),
    ],
)
def test_the_kind_follows_bytes_and_purpose(asset_type: str, media_type: str, kind: AssetKind) -> None:
    from svc_critic.domain.asset import asset_kind

    assert asset_kind(asset_type, media_type) is kind
