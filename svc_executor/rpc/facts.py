"""The facts of the executor as messages of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.events.event import Event
from soma.events.v1 import facts_pb2
from svc_executor.domain.timeline import ExecutionFact
from svc_executor.rpc.convert import execution_message, job_message

if TYPE_CHECKING:
    from mesh.clock import Clock
    from mesh.ids import Ids
    from svc_executor.domain.job import Job
    from svc_executor.domain.timeline import Fact

TOPIC = "executor.events"


class FactEncoder:
    """Makes events of facts. Steps travel without their texts, which their assets hold."""

    def __init__(self, ids: Ids, clock: Clock) -> None:
        self._ids = ids
        self._clock = clock

    def __call__(self, fact: Fact, job: Job) -> Event:
        """The event of a fact about a job."""
        message = _message(fact)
        return Event(
            event_id=self._ids.new(),
            type=message.DESCRIPTOR.full_name,
            topic=TOPIC,
            key=job.job_id,
            tenant_id=job.tenant_id,
            occurred_at=self._clock.now(),
            payload=message.SerializeToString(),
            correlation_id=job.job_id,
            traceparent=job.traceparent,
        )


def _message(fact: Fact) -> facts_pb2.ExecutionFinished | facts_pb2.JobChanged:
    if isinstance(fact, ExecutionFact):
        return facts_pb2.ExecutionFinished(
            execution=execution_message(fact.execution),
            subject=fact.subject,
            input_asset_ids=fact.execution.input_asset_ids,
            prompt=fact.execution.prompt,
        )
    return facts_pb2.JobChanged(job=job_message(fact.job, fact.steps, texts=False))
