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
        self.notes = {step: job_pb2.Step(step_id=step, step_type=f"generate_{step}") for step in steps}
        self.facts: list[Message] = []
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
        return self._tell(facts_pb2.SelectionMade(selection=made))

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
        self._tell(ended, numbered=True)
        for asset_id in made.asset_ids:
            self.asset(step, attempt, asset_id)
        return self

    def asset(self, step: str, attempt: int, asset_id: str) -> JobBuilder:
        """An asset that an attempt stored."""
        origin = asset_pb2.Origin(job_id=self.job_id, step_id=step, execution_id=self.id("execution", step, attempt))
        asset = asset_pb2.Asset(
            asset_id=asset_id, asset_type="diagram", media_type="image/png", checksum_sha256="ab" * 32, origin=origin
        )
        return self._tell(facts_pb2.AssetStored(asset=asset))

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
        return self._tell(facts_pb2.EvaluationDone(evaluation=made))

    def step(self, step: str, state: job_pb2.StepState.ValueType, attempts: int, message: str = "") -> JobBuilder:
        """What the job will say of a step."""
        note = self.notes[step]
        note.state, note.attempts, note.message = state, attempts, message
        return self

    def job(self, state: job_pb2.JobState.ValueType, message: str = "") -> JobBuilder:
        """The job's own word."""
        job = job_pb2.Job(
            job_id=self.job_id, state=state, title=self.title, steps=self.notes.values(), message=message,
            trace_id=TRACE_ID, created_by="alice", request_id=self.request_id,
        )  # fmt: skip
        job.create_time.FromDatetime(START)
        job.start_time.FromDatetime(START + timedelta(milliseconds=40))
        if state not in {job_pb2.JOB_STATE_PENDING, job_pb2.JOB_STATE_RUNNING}:
            job.end_time.FromDatetime(self.now())
        return self._tell(facts_pb2.JobChanged(job=job), numbered=True)

    def _tell(self, fact: Message, *, numbered: bool = False) -> JobBuilder:
        if numbered:
            fact.sequence = len(self.facts) + 1  # type: ignore[attr-defined]
        self.facts.append(fact)
        self._tick += 1
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
                occurred_at=START + timedelta(milliseconds=100 * place),
                payload=fact.SerializeToString(),
            )
            for place, fact in enumerate(self.facts, 1)
        ]


def ranked(
    capability: str, rank: int, *, cost: int = 0, reason: str = "", health: str = "HEALTHY"
) -> selection_pb2.Ranked:
    """A capability that could be chosen."""
    return selection_pb2.Ranked(
        capability_id=capability,
        rank=rank,
        ladder_position=rank,
        health=capability_pb2.HealthState.Value(f"HEALTH_STATE_{health}"),
        health_reason="probes answer slowly" if health == "DEGRADED" else "",
        estimated_cost_micro_usd=cost,
        reason=reason or f"rung {rank} of the ladder",
    )


def rejected(capability: str, judgement: str, code: str, reason: str) -> selection_pb2.Rejection:
    """A capability that could not."""
    return selection_pb2.Rejection(
        capability_id=capability,
        judgement=selection_pb2.Judgement.Value(f"JUDGEMENT_{judgement}"),
        code=code,
        reason=reason,
    )
