"""Evaluations: verdicts as they are kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime  # noqa: TC003 - the storage adapter reads the annotation
from typing import TYPE_CHECKING

from svc_critic.domain.judgement import CriterionScore, Feedback  # noqa: TC001 - the storage adapter reads them

if TYPE_CHECKING:
    from svc_critic.domain.rubric import Rubric


@dataclass(frozen=True)
class Origin:
    """What made the asset; empty strings where it is unknown."""

    job_id: str = ""
    step_id: str = ""
    execution_id: str = ""
    tool_id: str = ""


@dataclass(frozen=True)
class Evaluation:
    """The verdict on one asset; changed by the erasure of the asset alone. `elapsed_ms` is in milliseconds."""

    evaluation_id: str
    tenant_id: str
    asset_id: str
    asset_type: str
    passes: bool
    score: float
    min_overall_score: float
    criteria: tuple[CriterionScore, ...]
    feedback: tuple[Feedback, ...]
    evaluator: str
    rubric_id: str
    rubric_version: int
    cost_micro_usd: int
    elapsed_ms: int
    origin: Origin
    created_at: datetime

    def without_quotes(self) -> Evaluation:
        """The verdict without evidence, messages and hints, all of which may quote the asset."""
        return replace(
            self,
            criteria=tuple(replace(score, evidence="") for score in self.criteria),
            feedback=tuple(replace(item, message="", hint={}) for item in self.feedback),
        )


@dataclass(frozen=True)
class Listing:
    """Which evaluations to list, newest first; `before` is the last id of the page before."""

    asset_id: str = ""
    job_id: str = ""
    size: int = 50
    before: str = ""


@dataclass(frozen=True)
class RubricChoice:
    """Which rubric a request wants: one written in it, one by id, else the tenant's default."""

    written: Rubric | None = None
    rubric_id: str = ""
