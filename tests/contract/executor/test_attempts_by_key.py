"""What a use case reads of a job's attempts and compensations: those it names, or one number."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.ids import derive
from soma_providers.port import Usage
from svc_executor.adapters.postgres import rows
from svc_executor.domain.job import JobState
from svc_executor.domain.timeline import EventType
from tests.contract.executor.test_job_store import an_event, an_execution, without_content
from tests.contract.executor.test_sweeping import a_compensation

if TYPE_CHECKING:
    from svc_executor.app.ports import JobStore
    from svc_executor.domain.job import Execution, Job
    from tests.contract.executor.conftest import Submit

MONEY = st.integers(0, 10**15)


async def save(store: JobStore, job: Job, *executions: Execution) -> None:
    async with store.transaction(job.tenant_id, job.job_id) as transaction:
        for execution in executions:
            await transaction.save_execution(execution)


async def test_attempts_are_read_by_step_and_number(store: JobStore, submission: Submit) -> None:
    job, other = [await store.submit(submission()) for _ in range(2)]
    a, b, second = an_execution(job, "a", 0), an_execution(job), an_execution(job, attempt=2)
    await save(store, job, a, b, second)
    await save(store, other, an_execution(other))
    async with store.transaction("tenant-a", job.job_id) as transaction:
        assert await transaction.executions([]) == []
        found = await transaction.executions([("a", 1), ("b", 2), ("b", 3), ("c", 1)])
        assert sorted(found, key=lambda each: each.step_id) == [without_content(a), without_content(second)]
        assert await transaction.execution("a", 1) == a
        assert [await transaction.execution(*name) for name in (("a", 2), ("c", 1))] == [None, None]


async def test_an_attempt_is_read_by_its_id_within_its_job(store: JobStore, submission: Submit) -> None:
    job, other = [await store.submit(submission()) for _ in range(2)]
    await save(store, job, an_execution(job))
    await save(store, other, an_execution(other))
    async with store.transaction("tenant-a", job.job_id) as transaction:
        assert await transaction.execution_by_id(an_execution(job).execution_id) == an_execution(job)
        assert await transaction.execution_by_id(an_execution(other).execution_id) is None
        assert await transaction.execution_by_id(derive("none")) is None


async def test_the_last_attempt_of_a_step_is_the_one_with_the_highest_number(
    store: JobStore, submission: Submit
) -> None:
    job = await store.submit(submission())
    made = [an_execution(job, "a", 0), *(an_execution(job, attempt=number) for number in (2, 10, 9))]
    async with store.transaction("tenant-a", job.job_id) as transaction:
        assert await transaction.last_executions() == []
    await save(store, job, *made)
    async with store.transaction("tenant-a", job.job_id) as transaction:
        last = {each.step_id: each for each in await transaction.last_executions()}
    assert last == {"a": without_content(made[0]), "b": without_content(made[2])}


async def test_attempts_to_compensate_are_unsettled_or_have_an_asset_in_the_order_they_began(
    store: JobStore, submission: Submit
) -> None:
    job = await store.submit(submission())
    settled = replace(an_execution(job), settled=True)
    has_asset = replace(settled, execution_id=derive("2"), attempt=2, asset_ids=("w", "z"))
    has_none = replace(settled, execution_id=derive("3"), attempt=3, asset_ids=())
    unsettled = replace(an_execution(job, "a", 0), asset_ids=())
    await save(store, job, settled, has_asset, has_none, unsettled)
    async with store.transaction("tenant-a", job.job_id) as transaction:
        assert await transaction.executions_to_compensate([]) == [without_content(unsettled)]
        assert await transaction.executions_to_compensate(["z", "other"]) == [
            without_content(has_asset),
            without_content(unsettled),
        ]
        assert await transaction.recorded_assets() == {"x", "y", "w", "z"}


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), MONEY, MONEY), max_size=12))
async def test_what_is_spent_is_the_cost_of_settled_attempts_and_the_reservation_of_others(
    store: JobStore, submission: Submit, made: list[tuple[bool, int, int]]
) -> None:
    job, other = [await store.submit(replace(submission(), max_open=1_000)) for _ in range(2)]
    executions = [
        replace(an_execution(job, attempt=number), settled=settled, cost_micro_usd=cost, reserved_micro_usd=reserved)
        for number, (settled, cost, reserved) in enumerate(made, start=1)
    ]
    await save(store, job, *executions)
    await save(store, other, replace(an_execution(other), reserved_micro_usd=1))
    expected = sum(each.cost_micro_usd if each.settled else each.reserved_micro_usd for each in executions)
    async with store.transaction("tenant-a", job.job_id) as transaction:
        spent = await transaction.committed_micro_usd()
    assert (spent, type(spent)) == (expected, int)


async def test_compensations_are_read_by_key_by_run_and_as_far_as_they_are_not_done(
    store: JobStore, submission: Submit
) -> None:
    job = await store.submit(submission())
    first, second = a_compensation(job, 1, done=True), a_compensation(job, 0)
    later = a_compensation(job, 0, run=2)
    async with store.transaction("tenant-a", job.job_id) as transaction:
        for entry in (later, first, second):
            await transaction.save_compensation(entry)
        assert await transaction.compensation(1, 1) == first
        assert await transaction.compensation(2, 1) is None
        assert await transaction.compensations(1) == [second, first]
        assert await transaction.compensations(3) == []
        assert await transaction.unfinished_compensations() == [second, later]


async def test_events_of_a_run_begin_with_the_last_start(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())
    assert [event.message for event in await store.events_of_run("tenant-a", job.job_id)] == ["accepted"]
    starts = replace(an_event(job, "runs"), type=EventType.JOB, job_state=JobState.RUNNING)
    within = replace(an_event(job, "step"), job_state=JobState.RUNNING)
    ends = replace(starts, message="ended", job_state=JobState.FAILED)
    async with store.transaction("tenant-a", job.job_id) as transaction:
        for event in (starts, within, ends, replace(starts, message="runs again"), within, ends):
            await transaction.append(event)
    events = await store.events_of_run("tenant-a", job.job_id)
    assert [(event.sequence, event.message) for event in events] == [(5, "runs again"), (6, "step"), (7, "ended")]


@pytest.mark.parametrize(
    ("usage", "unknown"), [(Usage(images=2, seconds=0.5, estimated=True), False), (None, True), (None, False)]
)
async def test_units_of_an_attempt_are_read_as_they_were_recorded(
    store: JobStore, submission: Submit, usage: Usage | None, unknown: bool
) -> None:
    job = await store.submit(submission())
    made = replace(an_execution(job), usage=usage, usage_unknown=unknown)
    await save(store, job, made)
    async with store.transaction("tenant-a", job.job_id) as transaction:
        assert await transaction.execution("b", 1) == made
        assert await transaction.executions([("b", 1)]) == [without_content(made)]


async def test_an_attempt_whose_capability_was_kept_with_its_prices_is_read(submission: Submit) -> None:
    """As an earlier version kept it."""
    made = an_execution(submission().job)
    row = rows.execution_row(made, "tenant-a")
    row["chosen"] |= {"prices": {"image": 3}, "finer_prices": {}}
    assert rows.execution_of(row) == made


async def test_an_attempt_that_was_read_without_its_content_cannot_be_saved(
    store: JobStore, submission: Submit
) -> None:
    job = await store.submit(submission())
    made = an_execution(job)
    await save(store, job, made)
    with pytest.raises(ValueError, match="content"):
        async with store.transaction(job.tenant_id, job.job_id) as transaction:
            await transaction.save_execution((await transaction.last_executions())[0])
    async with store.transaction(job.tenant_id, job.job_id) as transaction:
        assert await transaction.execution(made.step_id, made.attempt) == made
