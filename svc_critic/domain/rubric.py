"""Rubrics: the criteria by which assets are evaluated."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - the storage adapter reads the annotation
from enum import StrEnum
from typing import TYPE_CHECKING

from mesh.errors import FieldViolation, invalid_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WEIGHT_TOLERANCE = 1e-6
DEFAULT_PREFIX = "default-"


class Dimension(StrEnum):
    """What is measured."""

    CLARITY = "clarity"
    RELEVANCE = "relevance"
    AESTHETIC = "aesthetic"


@dataclass(frozen=True)
class Criterion:
    """One dimension: its share of the weighted score, and the smallest score in [0, 1] that passes."""

    dimension: Dimension
    weight: float
    threshold: float
    description: str = ""


@dataclass(frozen=True)
class Rubric:
    """Assets pass that reach `min_overall_score` in the weighted score and the threshold of every criterion.

    `asset_type` is empty for any. `version` increases with each change; it is 0 for a rubric that is not stored.
    """

    criteria: tuple[Criterion, ...]
    min_overall_score: float
    rubric_id: str = ""
    asset_type: str = ""
    display_name: str = ""
    version: int = 0
    builtin: bool = False
    is_default: bool = False
    updated_at: datetime | None = None


def check_rubric(rubric: Rubric, field: str = "rubric") -> None:
    """Refuses a rubric that cannot be judged by; INVALID_ARGUMENT names everything that is wrong with it."""
    violations = [FieldViolation(f"{field}.{name}", problem) for name, problem in _problems(rubric)]
    if violations:
        raise invalid_all(violations)


def _problems(rubric: Rubric) -> Iterable[tuple[str, str]]:
    if not rubric.criteria:
        yield "criteria", "must name at least one criterion"
        return
    for index, criterion in enumerate(rubric.criteria):
        if not 0 < criterion.weight <= 1:
            yield f"criteria[{index}].weight", "must be above 0 and at most 1"
        if not 0 <= criterion.threshold <= 1:
            yield f"criteria[{index}].threshold", "must be from 0 to 1"
    counts = Counter(criterion.dimension for criterion in rubric.criteria)
    for dimension in sorted(dimension for dimension, count in counts.items() if count > 1):
        yield "criteria", f"names {dimension.value!r} more than once; merge its criteria into one"
    total = math.fsum(criterion.weight for criterion in rubric.criteria)
    if abs(total - 1) > WEIGHT_TOLERANCE:
        yield "criteria", f"weights must sum to 1, not to {total:g}"
    if not 0 <= rubric.min_overall_score <= 1:
        yield "min_overall_score", "must be from 0 to 1"


_CRITERIA = (
    Criterion(Dimension.CLARITY, 0.4, 0.7, "It can be read, seen or heard without effort."),
    Criterion(Dimension.RELEVANCE, 0.3, 0.6, "It shows or says what was asked for."),
    Criterion(Dimension.AESTHETIC, 0.3, 0.5, "It is well proportioned, tidy and free of artefacts."),
)
_MIN_OVERALL = 0.65
_TYPES = ("audio", "diagram", "document", "image", "screenshot", "text")


def builtin_rubric(asset_type: str) -> Rubric:
    """The platform's rubric for an asset type; types without one of their own have the general one."""
    known_type = asset_type if asset_type in _TYPES else ""
    return Rubric(
        criteria=_CRITERIA,
        min_overall_score=_MIN_OVERALL,
        rubric_id=DEFAULT_PREFIX + (known_type or "any"),
        asset_type=known_type,
        display_name=f"Default for {known_type or 'any asset'}",
        version=1,
        builtin=True,
        is_default=True,
    )


def builtin_rubrics() -> Sequence[Rubric]:
    """Every rubric of the platform, ordered by id."""
    return sorted((builtin_rubric(asset_type) for asset_type in ("", *_TYPES)), key=lambda rubric: rubric.rubric_id)
