"""One job of each kind of ending that a Decision Trace has to explain."""

from __future__ import annotations

from soma.executor.v1 import job_pb2 as j
from soma.selector.v1 import selection_pb2
from tests.unit.provenance.job_builder import JobBuilder, ranked, rejected

CHART, PLANT = "matplotlib_chart@local", "plantuml@local"


def success() -> JobBuilder:
    """Two capabilities could serve, the first one did."""
    sample = JobBuilder("success", "chart").job(j.JOB_STATE_PENDING)
    asset = sample.id("asset", "chart", 1)
    sample.selection(
        "chart", 1, CHART, f"{CHART}: rung 1 of the ladder; 1 more could serve, 1 left out",
        ranked=[ranked(CHART, 1), ranked("d2@local", 2)],
        rejected=[rejected(PLANT, "CANDIDATES", "TASK_TYPE_MISMATCH", "it serves diagram, not chart")],
        ranker=selection_pb2.RankerView(mode="off"),
    )  # fmt: skip
    judged = sample.id("evaluation", "chart", 1)
    sample.execution("chart", 1, CHART, asset_ids=[asset], evaluation_id=judged, quality_score=0.93)
    sample.evaluation("chart", 1, 0.93).step("chart", j.STEP_STATE_SUCCEEDED, 1)
    return sample.job(j.JOB_STATE_COMPLETED)


def fallback() -> JobBuilder:
    """The first choice failed, a dearer one did the work out of a budget."""
    sample = JobBuilder("fallback", "image").job(j.JOB_STATE_PENDING)
    first, second = "stable_image@stability", "dalle3@openai"
    sample.selection(
        "image", 1, first, f"{first}: rung 1 of the ladder; 1 more could serve",
        ranked=[ranked(first, 1, cost=10_000), ranked(second, 2, cost=40_000, health="DEGRADED")],
        budget=selection_pb2.BudgetView(reservation_id="r1", reserved_micro_usd=10_000, remaining_micro_usd=90_000),
    ).execution(
        "image", 1, first, status=j.EXECUTION_STATUS_FAILED, error_code="UNAVAILABLE",
        error_message="the provider did not answer",
    )  # fmt: skip
    sample.selection(
        "image", 2, second, f"after {first} UNAVAILABLE: {second}: rung 2 of the ladder, 1 left out",
        source=selection_pb2.DECISION_SOURCE_FALLBACK, fallback_reason=f"{first} UNAVAILABLE", exclude=[first],
        ranked=[ranked(second, 1, cost=40_000, ladder=2)],
        rejected=[rejected(first, "EXCLUDED", "EXCLUDED", "excluded by the request")],
        budget=selection_pb2.BudgetView(reservation_id="r2", reserved_micro_usd=40_000, remaining_micro_usd=60_000),
    ).execution(
        "image", 2, second, fallback_reason=f"{first} UNAVAILABLE", cost_micro_usd=39_500, latency_ms=2_400,
        asset_ids=[sample.id("asset", "image", 2)],
    )  # fmt: skip
    return sample.step("image", j.STEP_STATE_SUCCEEDED, 2).job(j.JOB_STATE_COMPLETED)


def rework() -> JobBuilder:
    """The critic sent the first result back; the same capability mended it."""
    sample = JobBuilder("rework", "chart").job(j.JOB_STATE_PENDING)
    sample.selection("chart", 1, CHART, f"{CHART}: rung 1 of the ladder", ranked=[ranked(CHART, 1)])
    sample.execution(
        "chart", 1, CHART, status=j.EXECUTION_STATUS_REJECTED, asset_ids=[sample.id("asset", "chart", 1)],
        evaluation_id=sample.id("evaluation", "chart", 1), quality_score=0.4,
    ).evaluation("chart", 1, 0.4, "the picture is 640 pixels wide, 1200 are needed")  # fmt: skip
    sample.execution(
        "chart", 2, CHART, selection_id=sample.id("selection", "chart", 1),
        rework_reason="the picture is 640 pixels wide, 1200 are needed",
        asset_ids=[sample.id("asset", "chart", 2)], evaluation_id=sample.id("evaluation", "chart", 2),
        quality_score=0.95,
    ).evaluation("chart", 2, 0.95)  # fmt: skip
    return sample.step("chart", j.STEP_STATE_SUCCEEDED, 2).job(j.JOB_STATE_COMPLETED)


def policy_denial() -> JobBuilder:
    """Policy left one capability out; another one did the work."""
    sample = JobBuilder("policy", "image").job(j.JOB_STATE_PENDING)
    why = "it may not see data of this classification"
    sample.selection(
        "image", 1, "sd@local", "sd@local: rung 2 of the ladder, 1 left out",
        ranked=[ranked("sd@local", 1, ladder=2)],
        rejected=[
            rejected("dalle3@openai", "POLICY", "CLASSIFICATION_NOT_ALLOWED", why)
        ],
    ).execution("image", 1, "sd@local", asset_ids=[sample.id("asset", "image", 1)])  # fmt: skip
    return sample.step("image", j.STEP_STATE_SUCCEEDED, 1).job(j.JOB_STATE_COMPLETED)


def budget_denial() -> JobBuilder:
    """The budget bore nothing; the job failed."""
    sample = JobBuilder("budget", "image").job(j.JOB_STATE_PENDING)
    sample.selection(
        "image", 1, "", "nothing could be chosen: the only capability was left out",
        rejected=[
            rejected("dalle3@openai", "BUDGET", "BUDGET_EXCEEDED",
                     "its cost of 40000 micro-USD is above what the budget has left", 40_000)
        ],
    )  # fmt: skip
    why = "the budget does not bear any capability for image/image"
    return sample.step("image", j.STEP_STATE_FAILED, 0, why).job(j.JOB_STATE_FAILED, f"image: {why}")


def no_candidate() -> JobBuilder:
    """The only capability failed, and nothing was left."""
    sample = JobBuilder("nobody", "chart").job(j.JOB_STATE_PENDING)
    sample.selection("chart", 1, CHART, f"{CHART}: rung 1 of the ladder", ranked=[ranked(CHART, 1)])
    sample.execution(
        "chart", 1, CHART, status=j.EXECUTION_STATUS_FAILED, error_code="TIMEOUT", error_message="it took too long"
    )
    sample.selection(
        "chart", 2, "", f"after {CHART} TIMEOUT: nothing could be chosen: all 2 capabilities were left out",
        fallback_reason=f"{CHART} TIMEOUT", exclude=[CHART],
        rejected=[
            rejected(CHART, "EXCLUDED", "EXCLUDED", "excluded by the request"),
            rejected("d2@local", "HEALTH", "CIRCUIT_OPEN", "its circuit breaker is open"),
        ],
    )  # fmt: skip
    why = "no capability for diagram/chart is left"
    return sample.step("chart", j.STEP_STATE_FAILED, 1, why).job(j.JOB_STATE_FAILED, f"chart: {why}")


def cancelled() -> JobBuilder:
    """Somebody stopped the job in the middle of an attempt."""
    sample = JobBuilder("cancelled", "chart", "document").job(j.JOB_STATE_PENDING)
    sample.selection("chart", 1, CHART, f"{CHART}: rung 1 of the ladder", ranked=[ranked(CHART, 1)])
    sample.step("chart", j.STEP_STATE_CANCELLED, 0).step("document", j.STEP_STATE_CANCELLED, 0)
    return sample.job(j.JOB_STATE_CANCELLED, "cancelled by alice: not needed any more")


def partial() -> JobBuilder:
    """A step that may fail did fail; what depends on it was skipped."""
    sample = JobBuilder("partial", "chart", "screenshot", "caption").job(j.JOB_STATE_PENDING)
    sample.selection("chart", 1, CHART, f"{CHART}: rung 1 of the ladder", ranked=[ranked(CHART, 1)])
    sample.execution("chart", 1, CHART, asset_ids=[sample.id("asset", "chart", 1)])
    shot = "playwright_screenshot@local"
    sample.selection("screenshot", 1, shot, f"{shot}: rung 1 of the ladder", ranked=[ranked(shot, 1)])
    sample.execution(
        "screenshot", 1, shot, status=j.EXECUTION_STATUS_FAILED, error_code="INVALID_INPUT",
        error_message="the page answered 404",
    )  # fmt: skip
    sample.step("chart", j.STEP_STATE_SUCCEEDED, 1)
    sample.step("screenshot", j.STEP_STATE_FAILED, 1, "the page answered 404")
    sample.step("caption", j.STEP_STATE_SKIPPED, 0, "screenshot failed, which it depends on")
    return sample.job(j.JOB_STATE_PARTIAL)


SAMPLE_JOBS = {
    sample.__name__: sample
    for sample in (success, fallback, rework, policy_denial, budget_denial, no_candidate, cancelled, partial)
}
