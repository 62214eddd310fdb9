"""Evaluations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime  # noqa: TC003 - the storage adapter reads the annotation
from typing import TYPE_CHECKING

from svc_critic.domain.scoring import CriterionScore, Feedback  # noqa: TC001 - the storage adapter reads them

if TYPE_CHECKING:
    from svc_critic.domain.rubric import Rubric


@dataclass(frozen=True)
class Origin:
    """The job, step, execution and tool that made the asset; each empty when unknown."""

    job_id: str = ""
    step_id: str = ""
    execution_id: str = ""
    tool_id: str = ""


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of one asset. Only the erasure of the asset changes it."""

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
        """Returns the evaluation without evidence, messages and hints, all of which may quote the asset."""
        return replace(
            self,
            criteria=tuple(replace(score, evidence="") for score in self.criteria),
            feedback=tuple(replace(feedback, message="", hint={}) for feedback in self.feedback),
        )


@dataclass(frozen=True)
class ListQuery:
    """Which evaluations to list, newest first; `before_id` is the last id of the previous page."""

    asset_id: str = ""
    job_id: str = ""
    limit: int = 50
    before_id: str = ""


@dataclass(frozen=True)
class RubricChoice:
    """The rubric of a request: given inline, by id, or else the default of the tenant."""

    inline: Rubric | None = None
    rubric_id: str = ""
