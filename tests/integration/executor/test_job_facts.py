"""What other contexts are told of a job."""

from __future__ import annotations

from mesh.stores.postgres import SYSTEM
from soma.events.v1 import facts_pb2
from soma.executor.v1 import job_service_pb2
from tests.integration.multimodal.test_multimodal_job import Executor, document, executor
from tests.unit.executor.rig import task

__all__ = ["executor"]


KINDS = (facts_pb2.JobChanged, facts_pb2.StepChanged, facts_pb2.ExecutionFinished)


async def facts(executor: Executor) -> list[facts_pb2.JobChanged | facts_pb2.StepChanged | facts_pb2.ExecutionFinished]:
    """What was published of jobs, in order."""
    async with executor.postgres.transaction(SYSTEM) as connection:
        rows = await connection.fetch("SELECT type, payload FROM outbox WHERE topic = 'executor.events' ORDER BY id")
    kinds = {kind.DESCRIPTOR.full_name: kind for kind in KINDS}
    return [kinds[row["type"]].FromString(bytes(row["payload"])) for row in rows]


async def test_facts_name_the_request_and_are_numbered(executor: Executor) -> None:
    request = job_service_pb2.SubmitJobRequest(plan=document(task("a")), request_id="request-7")
    job = await executor.jobs.SubmitJob(request)
    await executor.events(job.job_id)
    told = await facts(executor)
    named = {fact.job.request_id for fact in told if isinstance(fact, facts_pb2.JobChanged)}
    named |= {fact.execution.request_id for fact in told if isinstance(fact, facts_pb2.ExecutionFinished)}
    assert (job.request_id, named) == ("request-7", {"request-7"})
    assert [fact.sequence for fact in told] == list(range(1, len(told) + 1))


async def test_a_job_without_a_request_id_has_that_of_its_call(executor: Executor) -> None:
    request = job_service_pb2.SubmitJobRequest(plan=document(task("a")))
    call = executor.jobs.SubmitJob(request, metadata=(("x-request-id", "call-9"),))
    job = await call
    again = await executor.jobs.SubmitJob(request, metadata=(("x-request-id", "call-9"),))
    assert (job.request_id, again.request_id) == ("call-9", "call-9")
    assert again.job_id != job.job_id
