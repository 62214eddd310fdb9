"""Jobs told as the facts that the other contexts send, for tests of what is made of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mesh.events.event import Event
from mesh.ids import derive
from soma.assets.v1 import asset_pb2
from soma.critic.v1 import critic_service_pb2
from soma.events.v1 import facts_pb2
from soma.executor.v1 import job_pb2
from soma.gateway.v1 import health_service_pb2
from soma.registry.v1 import capability_pb2
from soma.selector.v1 import selection_pb2

if TYPE_CHECKING:
    from google.protobuf.message import Message

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
POLICY_ID = "9c2e" * 16


class JobBuilder:
    """A job of a tenant, step by step; each fact happens 100 ms after the one before."""

    def __init__(self, name: str, *steps: str, title: str = "Sign-in specification") -> None:
        self.job_id, self.request_id = derive("tale", name), derive("request", name)
        self.title = title
        self.steps = {
            step: job_pb2.Step(step_id=step, step_type=f"generate_{step}", step_index=place)
            for place, step in enumerate(steps)
        }
        self.facts: list[Message] = []
        self._moments: list[datetime] = []
        self._tick = 0

    def now(self, more_ms: int = 0) -> datetime:
        """The moment of the next fact."""
        return START + timedelta(milliseconds=100 * self._tick + more_ms)

    def id(self, kind: str, step: str, attempt: int) -> str:
        """The id of a fact."""
        return derive(kind, self.job_id, step, str(attempt))

    def selection(self, step: str, attempt: int, chosen: str, reason: str, **more: object) -> JobBuilder:
        """A choice; without `chosen` nothing was left."""
        made = selection_pb2.Selection(
            selection_id=self.id("selection", step, attempt),
            reason=reason,
            policy_id=POLICY_ID,
            degradation_level="NONE",
            degradation=health_service_pb2.DEGRADATION_LEVEL_NONE,
            elapsed_us=840,
            subject_context=selection_pb2.SubjectContext(
                job_id=self.job_id, step_id=step, attempt=attempt, data_classification="internal"
            ),
            **more,  # type: ignore[arg-type]
        )
        made.create_time.FromDatetime(self.now())
        if chosen:
            tool, _, provider = chosen.partition("@")
            made.chosen.CopyFrom(
                capability_pb2.Capability(capability_id=chosen, tool_id=tool, provider=provider, display_name=tool)
            )
        made.basis.CopyFrom(basis(made))
        return self.tell(facts_pb2.SelectionMade(selection=made))

    def execution(self, step: str, attempt: int, capability: str, **more: object) -> JobBuilder:
        """An attempt that ended; a success unless `more` says otherwise."""
        tool, _, provider = capability.partition("@")
        plain: dict[str, object] = {
            "status": job_pb2.EXECUTION_STATUS_SUCCEEDED,
            "selection_id": self.id("selection", step, attempt),
            "latency_ms": 60,
            "model": tool,
        }
        made = job_pb2.Execution(
            execution_id=self.id("execution", step, attempt),
            job_id=self.job_id,
            request_id=self.request_id,
            step_id=step,
            step_type=f"generate_{step}",
            attempt=attempt,
            tool_id=tool,
            provider=provider,
            trace_id=TRACE_ID,
            span_id=f"{attempt:016x}",
            **(plain | more),  # type: ignore[arg-type]
        )
        made.start_time.FromDatetime(self.now())
        made.end_time.FromDatetime(self.now(80))
        ended = facts_pb2.ExecutionFinished(execution=made, subject="alice", prompt=f"Draw the {step}")
        self.tell(ended, numbered=True)
        for asset_id in made.asset_ids:
            self.asset(step, attempt, asset_id)
        return self

    def asset(self, step: str, attempt: int, asset_id: str) -> JobBuilder:
        """An asset that an attempt stored."""
        origin = asset_pb2.Origin(job_id=self.job_id, step_id=step, execution_id=self.id("execution", step, attempt))
        asset = asset_pb2.Asset(
            asset_id=asset_id, asset_type="diagram", media_type="image/png", checksum_sha256="ab" * 32, origin=origin
        )
        return self.tell(facts_pb2.AssetStored(asset=asset))

    def evaluation(self, step: str, attempt: int, score: float, fault: str = "") -> JobBuilder:
        """A verdict on an attempt's result, a refusal when there is a fault."""
        faults = [critic_service_pb2.Feedback(dimension="resolution", code="TOO_SMALL", message=fault)] if fault else []
        made = critic_service_pb2.Evaluation(
            evaluation_id=self.id("evaluation", step, attempt),
            asset_id=self.id("asset", step, attempt),
            passes=not fault,
            score=score,
            min_overall_score=0.7,
            evaluator="heuristics/image",
            criteria=[
                critic_service_pb2.CriterionScore(
                    dimension="resolution", score=score, threshold=0.7, weight=1.0, passes=not fault,
                    evidence="the picture is 640 pixels wide",
                )
            ],
            feedback=faults,
            elapsed_ms=12,
            job_id=self.job_id,
            step_id=step,
            execution_id=self.id("execution", step, attempt),
        )  # fmt: skip
        made.create_time.FromDatetime(self.now())
        return self.tell(facts_pb2.EvaluationDone(evaluation=made))

    def step(self, step: str, state: job_pb2.StepState.ValueType, attempts: int, message: str = "") -> JobBuilder:
        """The state that a step changes to."""
        told = self.steps[step]
        told.state, told.attempts, told.message = state, attempts, message
        return self.tell(facts_pb2.StepChanged(job_id=self.job_id, step=told), numbered=True, ticks=0)

    def job(self, state: job_pb2.JobState.ValueType, message: str = "") -> JobBuilder:
        """The job's own word, at first with its steps."""
        job = job_pb2.Job(
            job_id=self.job_id, state=state, title=self.title, message=message, trace_id=TRACE_ID, created_by="alice",
            request_id=self.request_id, step_count=len(self.steps), steps=() if self.facts else self.steps.values(),
        )  # fmt: skip
        job.create_time.FromDatetime(START)
        job.start_time.FromDatetime(START + timedelta(milliseconds=40))
        if state not in {job_pb2.JOB_STATE_PENDING, job_pb2.JOB_STATE_RUNNING}:
            job.end_time.FromDatetime(self.now())
        return self.tell(facts_pb2.JobChanged(job=job), numbered=True)

    def tell(self, fact: Message, *, numbered: bool = False, ticks: int = 1) -> JobBuilder:
        """Adds a fact."""
        if numbered:
            fact.sequence = len(self.facts) + 1  # type: ignore[attr-defined]
        self.facts.append(fact)
        self._tick += ticks
        self._moments.append(START + timedelta(milliseconds=100 * self._tick))
        return self

    def events(self, tenant_id: str = "acme") -> list[Event]:
        """The events of the facts, in their order."""
        return [
            Event(
                event_id=derive("event", self.job_id, str(place)),
                type=fact.DESCRIPTOR.full_name,
                topic="t",
                key=self.job_id,
                tenant_id=tenant_id,
                occurred_at=moment,
                payload=fact.SerializeToString(),
            )
            for place, (fact, moment) in enumerate(zip(self.facts, self._moments, strict=True), 1)
        ]

    def by_earlier_executor(self, until: int = 1_000) -> JobBuilder:
        """The same job whose first facts an executor of the version before sent: of each change the whole job."""
        job = job_pb2.Job()
        steps: dict[str, job_pb2.Step] = {}
        for place, fact in enumerate(self.facts[:until]):
            if isinstance(fact, facts_pb2.JobChanged):
                job = fact.job
                steps |= {step.step_id: step for step in job.steps}
            elif isinstance(fact, facts_pb2.StepChanged):
                steps[fact.step.step_id] = fact.step
            else:
                continue
            whole = facts_pb2.JobChanged(job=job, sequence=fact.sequence)
            whole.job.ClearField("steps")
            whole.job.ClearField("step_count")
            whole.job.steps.extend(steps.values())
            self.facts[place] = whole
        return self

    def by_earlier_selector(self) -> JobBuilder:
        """The same job with selections as the version before made them: reasons and levels in words alone."""
        for fact in self.facts:
            if isinstance(fact, facts_pb2.SelectionMade):
                fact.selection.ClearField("basis")
                fact.selection.ClearField("degradation")
                for item in fact.selection.rejected:
                    item.ClearField("estimated_cost_micro_usd")
        return self


def basis(selection: selection_pb2.Selection) -> selection_pb2.SelectionBasis:
    """Why the first of the ranked was chosen, as the selector says it."""
    first = selection.ranked[0] if selection.ranked else selection_pb2.Ranked()
    return selection_pb2.SelectionBasis(
        ladder_position=first.ladder_position,
        estimated_cost_micro_usd=first.estimated_cost_micro_usd,
        degraded=first.health == capability_pb2.HEALTH_STATE_DEGRADED,
        alternatives=max(0, len(selection.ranked) - 1),
        rejections=len(selection.rejected),
    )


def ranked(
    capability: str, rank: int, *, cost: int = 0, ladder: int = 0, health: str = "HEALTHY"
) -> selection_pb2.Ranked:
    """A capability that could be chosen."""
    return selection_pb2.Ranked(
        capability_id=capability,
        rank=rank,
        ladder_position=ladder or rank,
        health=capability_pb2.HealthState.Value(f"HEALTH_STATE_{health}"),
        health_reason="probes answer slowly" if health == "DEGRADED" else "",
        estimated_cost_micro_usd=cost,
        reason=f"rung {ladder or rank} of the ladder",
    )


def rejected(
    capability: str, judgement: str, code: str, reason: str, cost: int | None = None
) -> selection_pb2.Rejection:
    """A capability that could not."""
    return selection_pb2.Rejection(
        capability_id=capability,
        judgement=selection_pb2.Judgement.Value(f"JUDGEMENT_{judgement}"),
        code=code,
        reason=reason,
        estimated_cost_micro_usd=cost,
    )
