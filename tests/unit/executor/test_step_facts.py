"""What is published of steps: each change of one by itself, all of them only where a run begins."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.clock import SystemClock
from mesh.ids import SystemIds
from soma.events.v1 import facts_pb2
from svc_executor.app.recorder import Recorder
from svc_executor.domain.job import JobState, StepState
from svc_executor.domain.timeline import JobFact, StepFact
from svc_executor.events.published import EventEncoder
from tests.unit.executor.rig import Rig, plan, task

if TYPE_CHECKING:
    from svc_executor.domain.job import Job
    from svc_executor.domain.timeline import Fact

STEPS = 200
CLOCK = SystemClock()
RECORDER = Recorder(CLOCK)


async def submitted(rig: Rig, steps: int) -> Job:
    """A job of so many steps that has not begun."""
    return await rig.submit(plan(*(task(f"s{number}") for number in range(steps))))


async def run_through(rig: Rig, job: Job) -> None:
    """Begins the job and each step once, and ends them all."""
    async with rig.store.transaction(job.tenant_id, job.job_id) as transaction:
        await RECORDER.record_job_changed(
            transaction,
            replace(transaction.job, state=JobState.RUNNING, started_at=transaction.job.started_at or CLOCK.now()),
            "runs",
        )
    for step in await rig.store.steps(job.tenant_id, job.job_id):
        async with rig.store.transaction(job.tenant_id, job.job_id) as transaction:
            await RECORDER.record_step_started(
                transaction, replace(await transaction.step(step.step_id), state=StepState.RUNNING, attempts=1)
            )
        async with rig.store.transaction(job.tenant_id, job.job_id) as transaction:
            ended = replace(await transaction.step(step.step_id), state=StepState.SUCCEEDED)
            await RECORDER.record_step_changed(transaction, ended, "done")
    async with rig.store.transaction(job.tenant_id, job.job_id) as transaction:
        await RECORDER.record_job_changed(transaction, replace(transaction.job, state=JobState.COMPLETED), "ended")


def steps_told(facts: list[Fact]) -> int:
    """How many messages of steps these facts hold together."""
    return sum(len(fact.steps) if isinstance(fact, JobFact) else isinstance(fact, StepFact) for fact in facts)


async def test_the_steps_that_are_told_of_a_job_grow_as_its_steps_do() -> None:
    told = {}
    for steps in (STEPS // 2, STEPS):
        rig = Rig()
        await run_through(rig, await submitted(rig, steps))
        told[steps] = steps_told(rig.facts)
    assert told == {steps: 3 * steps for steps in told}


async def test_the_bytes_of_the_events_of_a_job_grow_as_its_steps_do() -> None:
    size = {}
    for steps in (STEPS // 2, STEPS):
        rig, encode = Rig(), EventEncoder(SystemIds(), CLOCK)
        job = await submitted(rig, steps)
        await run_through(rig, job)
        size[steps] = sum(len(encode(fact, job).payload) for fact in rig.facts)
    assert size[STEPS] < 2.5 * size[STEPS // 2]


async def test_a_job_lists_its_steps_where_its_first_run_begins_and_not_at_its_end() -> None:
    rig = Rig()
    await run_through(rig, await submitted(rig, 3))
    listed = [len(fact.steps) for fact in rig.facts if isinstance(fact, JobFact)]
    assert listed == [3, 0]


async def test_a_resume_lists_the_steps_that_it_resets() -> None:
    rig = Rig()
    job = await submitted(rig, 3)
    await run_through(rig, job)
    async with rig.store.transaction(job.tenant_id, job.job_id) as transaction:
        again = replace(transaction.job, state=JobState.PENDING, run=transaction.job.run + 1)
        await RECORDER.record_job_changed(transaction, again, "runs again")
    await run_through(rig, job)
    listed = [len(fact.steps) for fact in rig.facts if isinstance(fact, JobFact)]
    assert listed == [3, 0, 3, 0, 0]


async def test_facts_of_steps_are_numbered_with_those_of_their_job() -> None:
    rig = Rig()
    await run_through(rig, await submitted(rig, 2))
    assert [fact.sequence for fact in rig.facts] == list(range(1, 7))


async def test_every_fact_of_a_job_says_how_many_steps_it_has() -> None:
    rig, encode = Rig(), EventEncoder(SystemIds(), CLOCK)
    job = await submitted(rig, 3)
    await run_through(rig, job)
    events = [encode(fact, job) for fact in rig.facts if isinstance(fact, JobFact)]
    assert {facts_pb2.JobChanged.FromString(event.payload).job.step_count for event in events} == {3}


async def test_a_step_travels_without_its_text_and_with_its_message_redacted() -> None:
    rig, encode = Rig(), EventEncoder(SystemIds(), CLOCK)
    job = await submitted(rig, 1)
    async with rig.store.transaction(job.tenant_id, job.job_id) as transaction:
        step = replace(await transaction.step("s0"), text="a text", message="write to ann@example.com")
    event = encode(StepFact(step, 7), job)
    told = facts_pb2.StepChanged.FromString(event.payload)
    assert (event.key, told.job_id, told.sequence) == (job.job_id, job.job_id, 7)
    assert (told.step.step_id, told.step.text, told.step.message) == ("s0", "", "write to [email]")
