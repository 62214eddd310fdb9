"""Scoring of measurements by a rubric."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from pydantic import JsonValue

from mesh.errors import Reason, SomaError
from svc_critic.domain.rubric import Dimension

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from svc_critic.domain.rubric import Criterion, Rubric

JsonObject: TypeAlias = dict[str, JsonValue]

_SCORE_DECIMALS = 4


class FeedbackCode(StrEnum):
    """Stable codes of feedback, for programs."""

    UNDECODABLE = "UNDECODABLE"
    BLANK = "BLANK"
    RESOLUTION_TOO_LOW = "RESOLUTION_TOO_LOW"
    BLURRED = "BLURRED"
    LOW_CONTRAST = "LOW_CONTRAST"
    NOISE = "NOISE"
    CLIPPED_TEXT = "CLIPPED_TEXT"
    TEXT_ILLEGIBLE = "TEXT_ILLEGIBLE"
    MISSING_LABEL = "MISSING_LABEL"
    MISSING_ELEMENT = "MISSING_ELEMENT"
    DUPLICATE_LABEL = "DUPLICATE_LABEL"
    ERROR_PAGE = "ERROR_PAGE"
    NOT_RELEVANT = "NOT_RELEVANT"
    BAD_PROPORTIONS = "BAD_PROPORTIONS"
    MOSTLY_EMPTY = "MOSTLY_EMPTY"
    SILENT = "SILENT"
    TOO_QUIET = "TOO_QUIET"
    CLIPPED_AUDIO = "CLIPPED_AUDIO"
    TOO_SHORT = "TOO_SHORT"
    TOO_LONG = "TOO_LONG"
    CUT_OFF = "CUT_OFF"
    REPETITIVE = "REPETITIVE"
    UNSTRUCTURED = "UNSTRUCTURED"
    DEAD_REFERENCE = "DEAD_REFERENCE"
    MISSING_FIGURE = "MISSING_FIGURE"


@dataclass(frozen=True)
class Feedback:
    """One change that the producer should make: `message` is a sentence, `hint` has values for programs."""

    dimension: Dimension
    code: str
    message: str
    hint: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """One measurement of a dimension: a score in [0, 1], the evidence in words, and how to improve it."""

    dimension: Dimension
    score: float
    evidence: str
    feedback: Feedback | None = None


def measurement(
    dimension: Dimension,
    score: float,
    evidence: str,
    code: FeedbackCode,
    message: str,
    *,
    hint: JsonObject | None = None,
) -> Measurement:
    """Returns a measurement with feedback on how to improve it."""
    return Measurement(dimension, score, evidence, Feedback(dimension, code.value, message, hint or {}))


def zero_scores(code: FeedbackCode, evidence: str, message: str) -> tuple[Measurement, ...]:
    """Returns a score of 0 in every dimension, for an asset that cannot be measured at all."""
    feedback = Feedback(Dimension.CLARITY, code.value, message)
    return tuple(Measurement(dimension, 0.0, evidence, feedback) for dimension in Dimension)


@dataclass(frozen=True)
class CriterionScore:
    """The score of one criterion, and whether it reaches the threshold."""

    dimension: Dimension
    score: float
    threshold: float
    weight: float
    passes: bool
    evidence: str


@dataclass(frozen=True)
class ScoringResult:
    """Whether an asset passes a rubric, its weighted score, and what to change."""

    passes: bool
    score: float
    criteria: tuple[CriterionScore, ...]
    feedback: tuple[Feedback, ...]


def score_measurements(rubric: Rubric, measurements: Sequence[Measurement]) -> ScoringResult:
    """Scores measurements by a rubric.

    The score of a dimension is that of its lowest measurement. A criterion without measurements does not change the
    result: it gets the weighted mean of the others. FAILED_PRECONDITION when no criterion has measurements.
    """
    by_dimension = {
        criterion.dimension: _of_dimension(measurements, criterion.dimension) for criterion in rubric.criteria
    }
    measured = [criterion for criterion in rubric.criteria if by_dimension[criterion.dimension]]
    if not measured:
        names = ", ".join(criterion.dimension.value for criterion in rubric.criteria)
        raise SomaError(
            Reason.FAILED_PRECONDITION,
            f"nothing can be measured for {names}: give context.request or context.expected_labels, "
            "or use a rubric with other criteria",
        )
    weight = math.fsum(criterion.weight for criterion in measured)
    mean = math.fsum(criterion.weight * by_dimension[criterion.dimension][0].score for criterion in measured) / weight
    scores = tuple(_score(criterion, by_dimension[criterion.dimension], mean) for criterion in rubric.criteria)
    overall = round(mean, _SCORE_DECIMALS)
    passes = overall >= rubric.min_overall_score and all(score.passes for score in scores)
    return ScoringResult(passes, overall, scores, _feedback(rubric, by_dimension, passes))


def _of_dimension(measurements: Iterable[Measurement], dimension: Dimension) -> list[Measurement]:
    """The measurements of a dimension, the weakest first."""
    return sorted(
        (measurement for measurement in measurements if measurement.dimension is dimension),
        key=lambda measurement: measurement.score,
    )


def _score(criterion: Criterion, measurements: Sequence[Measurement], mean: float) -> CriterionScore:
    if not measurements:
        text = "not measured: nothing to compare with; counted as the mean of the other criteria"
        return CriterionScore(
            criterion.dimension,
            round(mean, _SCORE_DECIMALS),
            criterion.threshold,
            criterion.weight,
            passes=True,
            evidence=text,
        )
    score = round(measurements[0].score, _SCORE_DECIMALS)
    return CriterionScore(
        dimension=criterion.dimension,
        score=score,
        threshold=criterion.threshold,
        weight=criterion.weight,
        passes=score >= criterion.threshold,
        evidence="; ".join(dict.fromkeys(measurement.evidence for measurement in measurements)),
    )


def _feedback(rubric: Rubric, by_dimension: dict[Dimension, list[Measurement]], passes: bool) -> tuple[Feedback, ...]:
    """Returns feedback on measurements below their threshold, or below the overall minimum when only that is missed."""
    thresholds = {criterion.dimension: criterion.threshold for criterion in rubric.criteria}
    found = _feedback_below(by_dimension, thresholds)
    if not found and not passes:
        found = _feedback_below(by_dimension, dict.fromkeys(thresholds, rubric.min_overall_score))
    return found


def _feedback_below(
    by_dimension: dict[Dimension, list[Measurement]], thresholds: dict[Dimension, float]
) -> tuple[Feedback, ...]:
    failed = [
        (measurement.score, measurement.feedback)
        for dimension, measurements in by_dimension.items()
        for measurement in measurements
        if measurement.feedback is not None and round(measurement.score, _SCORE_DECIMALS) < thresholds[dimension]
    ]
    by_code: dict[str, Feedback] = {}
    for _, feedback in sorted(failed, key=lambda pair: pair[0]):
        by_code.setdefault(feedback.code, feedback)
    return tuple(by_code.values())
