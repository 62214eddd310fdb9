"""From what was measured to a verdict."""

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

_DIGITS = 4


class Code(StrEnum):
    """What can be wrong; stable, for programs."""

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
    """One thing that the producer should change; `message` is a sentence, `hint` holds values for programs."""

    dimension: Dimension
    code: str
    message: str
    hint: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """A measurement of a dimension: a score in [0, 1], the evidence in words, and what would improve it."""

    dimension: Dimension
    score: float
    evidence: str
    feedback: Feedback | None = None


def measurement(
    dimension: Dimension, score: float, evidence: str, code: Code, message: str, *, hint: JsonObject | None = None
) -> Measurement:
    """A measurement with what to do about it."""
    return Measurement(dimension, score, evidence, Feedback(dimension, code.value, message, hint or {}))


def zero_scores(code: Code, evidence: str, message: str) -> tuple[Measurement, ...]:
    """The measurements of something that no dimension can be seen in."""
    feedback = Feedback(Dimension.CLARITY, code.value, message)
    return tuple(Measurement(dimension, 0.0, evidence, feedback) for dimension in Dimension)


@dataclass(frozen=True)
class CriterionScore:
    """How one criterion came out."""

    dimension: Dimension
    score: float
    threshold: float
    weight: float
    passes: bool
    evidence: str


@dataclass(frozen=True)
class Verdict:
    """Whether it is good enough, by how much, and what to change."""

    passes: bool
    score: float
    criteria: tuple[CriterionScore, ...]
    feedback: tuple[Feedback, ...]


def judge(rubric: Rubric, measurements: Sequence[Measurement]) -> Verdict:
    """Scores measurements by a rubric.

    A dimension is as good as its weakest measurement. A criterion that nothing was measured for neither helps nor
    hurts: it gets the weighted mean of the others. FAILED_PRECONDITION when nothing was measured for any criterion.
    """
    seen = {criterion.dimension: _of(measurements, criterion.dimension) for criterion in rubric.criteria}
    measured = [criterion for criterion in rubric.criteria if seen[criterion.dimension]]
    if not measured:
        names = ", ".join(criterion.dimension.value for criterion in rubric.criteria)
        raise SomaError(
            Reason.FAILED_PRECONDITION,
            f"nothing can be measured for {names}: give context.request or context.expected_labels, "
            "or use a rubric with other criteria",
        )
    weight = math.fsum(criterion.weight for criterion in measured)
    mean = math.fsum(criterion.weight * seen[criterion.dimension][0].score for criterion in measured) / weight
    scores = tuple(_score(criterion, seen[criterion.dimension], mean) for criterion in rubric.criteria)
    overall = round(mean, _DIGITS)
    passes = overall >= rubric.min_overall_score and all(score.passes for score in scores)
    return Verdict(passes, overall, scores, _feedback(rubric, seen, passes))


def _of(measurements: Iterable[Measurement], dimension: Dimension) -> list[Measurement]:
    """The measurements of a dimension, the weakest first."""
    return sorted(
        (measurement for measurement in measurements if measurement.dimension is dimension),
        key=lambda measurement: measurement.score,
    )


def _score(criterion: Criterion, measurements: Sequence[Measurement], mean: float) -> CriterionScore:
    if not measurements:
        text = "not measured: nothing to compare with; counted as the mean of the other criteria"
        return CriterionScore(
            criterion.dimension, round(mean, _DIGITS), criterion.threshold, criterion.weight, passes=True, evidence=text
        )
    score = round(measurements[0].score, _DIGITS)
    return CriterionScore(
        dimension=criterion.dimension,
        score=score,
        threshold=criterion.threshold,
        weight=criterion.weight,
        passes=score >= criterion.threshold,
        evidence="; ".join(dict.fromkeys(measurement.evidence for measurement in measurements)),
    )


def _feedback(rubric: Rubric, seen: dict[Dimension, list[Measurement]], passes: bool) -> tuple[Feedback, ...]:
    """The feedback on the measurements below their threshold; below the overall bar when only that one was missed."""
    bars = {criterion.dimension: criterion.threshold for criterion in rubric.criteria}
    found = _below(seen, bars)
    if not found and not passes:
        found = _below(seen, dict.fromkeys(bars, rubric.min_overall_score))
    return found


def _below(seen: dict[Dimension, list[Measurement]], bars: dict[Dimension, float]) -> tuple[Feedback, ...]:
    weak = [
        (measurement.score, measurement.feedback)
        for dimension, measurements in seen.items()
        for measurement in measurements
        if measurement.feedback is not None and round(measurement.score, _DIGITS) < bars[dimension]
    ]
    first: dict[str, Feedback] = {}
    for _, feedback in sorted(weak, key=lambda pair: pair[0]):
        first.setdefault(feedback.code, feedback)
    return tuple(first.values())
