"""Decision Traces as the command line reads them. Unknown fields are ignored: the API may grow."""

from __future__ import annotations

from soma_cli.api import Answer, Job


class Capability(Answer):
    """A model or a tool."""

    capability_id: str = ""


class Ranked(Answer):
    """A capability that could be chosen."""

    capability_id: str = ""
    rank: int = 0
    health: str = ""
    health_reason: str = ""
    estimated_cost_micro_usd: int = 0
    score: float | None = None
    reason: str = ""


class Rejected(Answer):
    """A capability that could not."""

    capability_id: str = ""
    judgement: str = ""
    code: str = ""
    reason: str = ""


class Selection(Answer):
    """Why a capability was chosen."""

    selection_id: str = ""
    chosen: Capability | None = None
    ranked: tuple[Ranked, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    reason: str = ""
    policy_id: str = ""


class Execution(Answer):
    """One attempt of a step."""

    attempt: int = 0
    tool_id: str = ""
    provider: str = ""
    status: str = ""
    latency_ms: int = 0
    cost_micro_usd: int = 0
    quality_score: float | None = None
    fallback_reason: str = ""
    rework_reason: str = ""
    error_code: str = ""
    error_message: str = ""


class Criterion(Answer):
    """Score of one criterion."""

    dimension: str = ""
    score: float = 0.0
    threshold: float = 0.0
    passes: bool = False
    evidence: str = ""


class Evaluation(Answer):
    """The verdict on an attempt."""

    passes: bool = False
    score: float = 0.0
    evaluator: str = ""
    criteria: tuple[Criterion, ...] = ()


class Cost(Answer):
    """What an attempt cost, in millionths of a US dollar."""

    reserved_micro_usd: int = 0
    settled_micro_usd: int = 0
    evaluation_micro_usd: int = 0


class Times(Answer):
    """Where the time of an attempt went."""

    queue_ms: int | None = None
    selection_us: int | None = None
    provider_ms: int | None = None
    evaluation_ms: int | None = None
    mesh_ms: int | None = None


class TraceAttempt(Answer):
    """One attempt with its choice and what came of it."""

    attempt: int = 0
    kind: str = ""
    cause: str = ""
    selection: Selection | None = None
    execution: Execution | None = None
    evaluation: Evaluation | None = None
    cost: Cost = Cost()
    times: Times = Times()
    span_id: str = ""

    @property
    def capability_id(self) -> str:
        """The capability that was tried or is; empty when nothing could be chosen."""
        if self.execution is not None:
            return f"{self.execution.tool_id}@{self.execution.provider}"
        chosen = self.selection.chosen if self.selection is not None else None
        return chosen.capability_id if chosen is not None else ""


class TraceStep(Answer):
    """One step of a Decision Trace."""

    step_id: str
    step_type: str = ""
    state: str = ""
    attempts: tuple[TraceAttempt, ...] = ()
    story: str = ""


class TraceTotals(Answer):
    """Totals of a Decision Trace."""

    attempts: int = 0
    fallbacks: int = 0
    reworks: int = 0
    failures: int = 0
    cost_micro_usd: int = 0
    reserved_micro_usd: int = 0
    evaluation_micro_usd: int = 0
    provider_ms: int = 0
    evaluation_ms: int = 0
    queue_ms: int | None = None
    elapsed_ms: int | None = None
    policy_denials: int = 0
    budget_denials: int = 0
    mean_quality: float | None = None


class DecisionTrace(Answer):
    """The joined story of a job."""

    id: str
    job: Job | None = None
    steps: tuple[TraceStep, ...] = ()
    totals: TraceTotals = TraceTotals()
    trace_ids: tuple[str, ...] = ()
    degradation_level: str = ""
    story: str = ""
    complete: bool = False


class TraceEvent(Answer):
    """One change of a trace; a heartbeat when nothing is set."""

    job: Job | None = None
    step: TraceStep | None = None
    totals: TraceTotals | None = None
    trace: DecisionTrace | None = None
