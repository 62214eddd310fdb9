"""The events that the executor publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh import tracing
from mesh.events.event import Event
from mesh.events.topics import facts_of
from mesh.redaction import Redactor
from mesh.rpc.params_truncation import ParamsSizeLimit
from soma.events.v1 import facts_pb2
from svc_executor.app import spans
from svc_executor.domain.timeline import ExecutionFact, JobFact
from svc_executor.rpc.convert import execution_to_proto, job_to_proto, step_to_proto

if TYPE_CHECKING:
    from mesh.clock import Clock
    from mesh.ids import Ids
    from soma.executor.v1 import job_pb2
    from svc_executor.domain.job import Job, Step, StepSummary
    from svc_executor.domain.timeline import Fact, StepFact

TOPIC = facts_of("executor")


class EventEncoder:
    """Makes events of facts. Steps travel without their texts, which their assets hold; all else is redacted."""

    def __init__(self, ids: Ids, clock: Clock) -> None:
        self._ids = ids
        self._clock = clock

    def __call__(self, fact: Fact, job: Job) -> Event:
        """The event of a fact about a job."""
        return Event.from_message(
            _message(fact, job),
            event_id=self._ids.new(),
            topic=TOPIC,
            key=job.job_id,
            tenant_id=job.tenant_id,
            occurred_at=self._clock.now(),
            correlation_id=job.job_id,
            traceparent=tracing.current() or job.traceparent,
        )


def _message(fact: Fact, job: Job) -> facts_pb2.ExecutionFinished | facts_pb2.JobChanged | facts_pb2.StepChanged:
    match fact:
        case ExecutionFact():
            return _execution_finished(fact, job)
        case JobFact():
            return _job_changed(fact)
        case _:
            return _step_changed(fact, job)


def _execution_finished(fact: ExecutionFact, job: Job) -> facts_pb2.ExecutionFinished:
    redactor = Redactor()
    params = redactor.object(ParamsSizeLimit().apply(fact.execution.params))
    execution = execution_to_proto(fact.execution, params, job.request_id)
    execution.span_id = spans.attempt_span_id(job, execution.step_id, execution.attempt)
    for name in ("error_message", "fallback_reason", "rework_reason"):
        setattr(execution, name, redactor.text(getattr(execution, name)))
    return facts_pb2.ExecutionFinished(
        execution=execution,
        subject=fact.subject,
        input_asset_ids=fact.execution.input_asset_ids,
        prompt=redactor.text(fact.execution.prompt),
        redactions=redactor.counts,
        sequence=fact.sequence,
    )


def _job_changed(fact: JobFact) -> facts_pb2.JobChanged:
    redactor = Redactor()
    job = job_to_proto(fact.job)
    job.title, job.message = redactor.text(job.title), redactor.text(job.message)
    job.steps.extend(_step(step, redactor) for step in fact.steps)
    return facts_pb2.JobChanged(job=job, sequence=fact.sequence)


def _step_changed(fact: StepFact, job: Job) -> facts_pb2.StepChanged:
    return facts_pb2.StepChanged(job_id=job.job_id, step=_step(fact.step, Redactor()), sequence=fact.sequence)


def _step(step: Step | StepSummary, redactor: Redactor) -> job_pb2.Step:
    message = step_to_proto(step, with_text=False)
    message.message = redactor.text(message.message)
    return message
