"""Large parameters of attempts in facts and in the description of a job."""

from __future__ import annotations

import threading
from collections import UserDict
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from mesh.clock import SystemClock
from mesh.context import Caller, RequestContext, use
from mesh.ids import SystemIds
from mesh.rpc.params_truncation import ANSWER_BYTES, OMITTED
from mesh.rpc.wellknown import json_object
from soma.events.v1 import facts_pb2
from soma.executor.v1 import job_service_pb2
from svc_executor.domain.job import CallerIdentity, Execution, ExecutionContent, Job, JobOptions, SelectedCapability
from svc_executor.domain.timeline import ExecutionFact, JobDescription
from svc_executor.events.published import EventEncoder
from svc_executor.rpc.convert import description_to_proto
from svc_executor.rpc.job_service import JobServicer

JOB = Job(
    job_id="01900000-0000-7000-8000-000000000001",
    owner=CallerIdentity("acme", "ann", (), (), "k"),
    options=JobOptions(),
    created_at=SystemClock().now(),
    steps_total=1,
)
ATTEMPT = Execution(
    execution_id="e",
    job_id=JOB.job_id,
    step_id="chart",
    step_index=0,
    attempt=1,
    step_type="generate_diagram",
    modality="diagram",
    capability=SelectedCapability("t@p", "t", "p", "t"),
    selection_id="s",
    idempotency_key="key",
)


class Threads(UserDict[str, Any]):
    """An object that notes in which threads it is read."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        super().__init__(version="1.0")

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401
        self.seen.add(threading.get_ident())
        return super().__getitem__(key)


def test_a_fact_tells_the_size_of_what_is_too_large() -> None:
    large = replace(ATTEMPT, content=ExecutionContent({"kind": "bar", "by": "ann@example.com", "data": [1] * 50_000}))
    event = EventEncoder(SystemIds(), SystemClock())(ExecutionFact(large, "ann"), JOB)
    fact = facts_pb2.ExecutionFinished.FromString(event.payload)
    told = json_object(fact.execution.params)
    assert (told["kind"], told["by"], dict(fact.redactions)) == ("bar", "[email]", {"email": 1})
    assert isinstance(told["data"], dict)
    assert list(told["data"]) == [OMITTED]
    assert len(event.payload) < 1_000


def test_a_description_has_every_attempt_and_bounded_parameters() -> None:
    attempts = [
        replace(ATTEMPT, attempt=number, content=ExecutionContent({"a": "x" * 16_000})) for number in range(100)
    ]
    described = description_to_proto(JobDescription(JOB, {"version": "1.0"}, [], attempts, [], []))
    assert [attempt.attempt for attempt in described.executions] == list(range(100))
    whole = [attempt for attempt in described.executions if OMITTED not in str(attempt.params)]
    assert len(whole) == ANSWER_BYTES // 16_008
    assert whole == list(described.executions[: len(whole)])


async def test_a_job_is_described_in_a_thread() -> None:
    plan = Threads()

    async def describe(tenant_id: str, job_id: str) -> JobDescription:
        return JobDescription(JOB, cast("Any", plan), [], [], [], [])

    servicer = JobServicer(cast("Any", SimpleNamespace(store=SimpleNamespace(describe=describe))))
    with use(RequestContext(Caller("acme", "ann", (), (), "k1", "t"), "r1", "t1")):
        described = await servicer.DescribeJob(job_service_pb2.DescribeJobRequest(job_id=JOB.job_id), cast("Any", None))
    assert json_object(described.plan) == {"version": "1.0"}
    assert plan.seen
    assert threading.get_ident() not in plan.seen
