"""From measurements to a verdict."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Reason, SomaError
from svc_critic.domain.rubric import Criterion, Dimension, Rubric, builtin_rubric
from svc_critic.domain.scale import linear_score, threshold_score
from svc_critic.domain.scoring import FeedbackCode, Measurement, measurement, score_measurements, zero_scores

RUBRIC = builtin_rubric("image")
SCORES = st.floats(0, 1)


def measurements(clarity: float, relevance: float, aesthetic: float) -> list[Measurement]:
    scores = zip(Dimension, (clarity, relevance, aesthetic), strict=True)
    return [
        measurement(dimension, score, "seen", FeedbackCode.BLURRED, f"feedback {dimension}")
        for dimension, score in scores
    ]


def test_good_in_everything_passes_without_feedback() -> None:
    verdict = score_measurements(RUBRIC, measurements(0.9, 0.8, 0.7))
    assert verdict.passes
    assert verdict.score == pytest.approx(0.4 * 0.9 + 0.3 * 0.8 + 0.3 * 0.7)
    assert verdict.feedback == ()


def test_one_criterion_below_its_threshold_fails_whatever_the_sum() -> None:
    verdict = score_measurements(RUBRIC, measurements(0.69, 1.0, 1.0))
    assert not verdict.passes
    assert verdict.score > RUBRIC.min_overall_score
    assert [note.dimension for note in verdict.feedback] == [Dimension.CLARITY]


def test_thresholds_met_and_sum_missed_fails_and_says_where() -> None:
    verdict = score_measurements(RUBRIC, measurements(0.7, 0.6, 0.5))
    assert [score.passes for score in verdict.criteria] == [True] * 3
    assert not verdict.passes
    assert verdict.feedback


def test_a_dimension_is_as_good_as_its_weakest_facet() -> None:
    weak = Measurement(Dimension.CLARITY, 0.2, "dark")
    verdict = score_measurements(RUBRIC, [*measurements(1, 1, 1), weak])
    clarity = verdict.criteria[0]
    assert clarity.score == 0.2
    assert clarity.evidence == "dark; seen"


def test_what_cannot_be_measured_neither_helps_nor_hurts() -> None:
    clear, _, fair = measurements(0.8, 0, 0.6)
    verdict = score_measurements(RUBRIC, [clear, fair])
    relevance = verdict.criteria[1]
    assert verdict.passes
    assert verdict.score == pytest.approx((0.4 * 0.8 + 0.3 * 0.6) / 0.7, abs=1e-3)
    assert (relevance.score, relevance.passes) == (verdict.score, True)
    assert "not measured" in relevance.evidence


def test_nothing_measured_is_no_verdict() -> None:
    only = Rubric((Criterion(Dimension.RELEVANCE, 1.0, 0.6),), 0.6)
    with pytest.raises(SomaError) as refused:
        score_measurements(only, [Measurement(Dimension.CLARITY, 1.0, "sharp")])
    assert refused.value.reason is Reason.FAILED_PRECONDITION


def test_a_hopeless_asset_scores_nothing_and_says_so_once() -> None:
    verdict = score_measurements(RUBRIC, zero_scores(FeedbackCode.UNDECODABLE, "broken", "It cannot be opened."))
    assert (verdict.passes, verdict.score) == (False, 0.0)
    assert [note.code for note in verdict.feedback] == ["UNDECODABLE"]


@given(SCORES, SCORES, SCORES)
def test_passing_means_both_bars(clarity: float, relevance: float, aesthetic: float) -> None:
    verdict = score_measurements(RUBRIC, measurements(clarity, relevance, aesthetic))
    met = all(score.score >= score.threshold for score in verdict.criteria)
    assert verdict.passes == (met and verdict.score >= RUBRIC.min_overall_score)
    assert bool(verdict.feedback) != verdict.passes


@given(SCORES, SCORES, SCORES, SCORES)
def test_another_facet_never_makes_it_better(clarity: float, relevance: float, aesthetic: float, extra: float) -> None:
    before = score_measurements(RUBRIC, measurements(clarity, relevance, aesthetic))
    after = score_measurements(
        RUBRIC, [*measurements(clarity, relevance, aesthetic), Measurement(Dimension.CLARITY, extra, "more")]
    )
    assert after.score <= before.score + 1e-9


@given(st.floats(-1e6, 1e6), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_a_ramp_stays_in_bounds(value: float, worst: float, best: float) -> None:
    if math.isclose(worst, best, abs_tol=1e-9):
        return
    assert 0 <= linear_score(value, worst, best) <= 1
    assert (linear_score(worst, worst, best), linear_score(best, worst, best)) == (0, 1)


def test_a_demand_is_met_or_below_every_bar() -> None:
    assert threshold_score(100, 100) == 1
    assert threshold_score(99, 100) < 0.5
