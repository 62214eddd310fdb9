"""What every record promises of steps: of each the newest word holds, in whatever order and from whom it arrives."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from soma.events.v1 import facts_pb2
from soma.executor.v1 import job_pb2
from svc_provenance.domain.model import EntryKind
from svc_provenance.domain.trace import build_trace
from tests.contract.provenance.test_provenance_store import (
    JOB,
    StoreHarness,
    finished,
    harness,
    memory_harness,
    postgres_harness,
)
from tests.contract.provenance.test_provenance_store import execution as attempt

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from svc_provenance.domain.trace import Trace

__all__ = ["harness", "memory_harness", "postgres_harness"]

PENDING, RUNNING, SUCCEEDED = job_pb2.STEP_STATE_PENDING, job_pb2.STEP_STATE_RUNNING, job_pb2.STEP_STATE_SUCCEEDED


def step(name: str, state: job_pb2.StepState.ValueType, index: int = 0) -> job_pb2.Step:
    return job_pb2.Step(step_id=name, step_type="generate_diagram", state=state, step_index=index)


def job(sequence: int, *steps: job_pb2.Step, ended: bool = False, count: int = 2) -> facts_pb2.JobChanged:
    state = job_pb2.JOB_STATE_COMPLETED if ended else job_pb2.JOB_STATE_RUNNING
    return facts_pb2.JobChanged(
        job=job_pb2.Job(job_id=JOB, state=state, steps=steps, step_count=count), sequence=sequence
    )


def changed(sequence: int, told: job_pb2.Step) -> facts_pb2.StepChanged:
    return facts_pb2.StepChanged(job_id=JOB, step=told, sequence=sequence)


async def trace_of(harness: StoreHarness, *facts: Message) -> Trace:
    for fact in facts:
        await harness.tell(fact)
    return build_trace(await harness.store.trace_entries("acme", JOB))


def states(trace: Trace) -> dict[str, str]:
    return {each.step.step_id: each.step.state.value for each in trace.steps}


OF_ONE_JOB = (
    job(1, step("b", PENDING, 0), step("a", PENDING, 1)),
    changed(2, step("b", RUNNING, 0)),
    changed(3, step("b", SUCCEEDED, 0)),
    changed(4, step("a", SUCCEEDED, 1)),
    job(5, ended=True),
)
BY_AN_EARLIER_EXECUTOR = (
    job(1, step("b", PENDING, 0), step("a", PENDING, 1), count=0),
    job(3, step("b", SUCCEEDED, 0), step("a", PENDING, 1), count=0),
    job(5, step("b", SUCCEEDED, 0), step("a", SUCCEEDED, 1), ended=True, count=0),
)
UPDATED_BETWEEN = (*BY_AN_EARLIER_EXECUTOR[:2], *OF_ONE_JOB[3:])
ROLLED_BACK_BETWEEN = (*OF_ONE_JOB[:3], BY_AN_EARLIER_EXECUTOR[2])
SENDERS = {
    "this version": OF_ONE_JOB,
    "the version before": BY_AN_EARLIER_EXECUTOR,
    "updated between": UPDATED_BETWEEN,
    "rolled back between": ROLLED_BACK_BETWEEN,
}


@pytest.mark.parametrize("sender", SENDERS)
async def test_steps_are_the_same_in_whatever_order_their_facts_arrive(harness: StoreHarness, sender: str) -> None:
    facts = SENDERS[sender]
    orders = list(itertools.permutations(facts))
    for order in orders[:: 1 + len(orders) // 8]:
        trace = await trace_of(harness, *order)
        assert list(states(trace).items()) == [("b", "succeeded"), ("a", "succeeded")]
        assert trace.complete
        if harness.store is None:
            raise AssertionError
        await forget(harness)


async def forget(harness: StoreHarness) -> None:
    """Removes what is kept of the job."""
    if harness.postgres is None:
        harness.store._entries.clear()  # type: ignore[attr-defined]
    else:
        async with harness.postgres.transaction("acme") as connection:
            await connection.execute("DELETE FROM trace_facts")


async def test_a_resume_takes_the_ends_of_its_steps_back(harness: StoreHarness) -> None:
    again = job(6, step("b", SUCCEEDED, 0), step("a", PENDING, 1))
    trace = await trace_of(harness, *OF_ONE_JOB, again)
    assert (states(trace), trace.complete) == ({"b": "succeeded", "a": "pending"}, False)


async def test_steps_that_an_earlier_version_kept_with_their_job_outlive_its_next_fact(harness: StoreHarness) -> None:
    trace = await trace_of(harness, BY_AN_EARLIER_EXECUTOR[1], job(7))
    assert states(trace) == {"b": "succeeded", "a": "pending"}


async def test_of_an_earlier_executor_no_facts_of_steps_are_kept(harness: StoreHarness) -> None:
    """Replicas of the version before, which do not know them, read its jobs during an update."""
    await trace_of(harness, *BY_AN_EARLIER_EXECUTOR)
    assert {fact.kind for fact in await harness.store.trace_entries("acme", JOB)} == {EntryKind.JOB}


async def test_there_is_one_fact_of_each_step(harness: StoreHarness) -> None:
    await trace_of(harness, *OF_ONE_JOB, *OF_ONE_JOB)
    facts = await harness.store.trace_entries("acme", JOB)
    assert sorted((fact.kind, fact.entry_id, fact.sequence) for fact in facts) == [
        (EntryKind.JOB, JOB, 5),
        (EntryKind.STEP, "a", 4),
        (EntryKind.STEP, "b", 3),
    ]


async def test_an_attempt_is_seen_before_its_step_is_told(harness: StoreHarness) -> None:
    trace = await trace_of(harness, changed(2, step("a", RUNNING)), finished(attempt()))
    assert [each.step.step_id for each in trace.steps] == ["a", "chart"]


async def test_a_job_whose_last_steps_did_not_arrive_is_not_complete(harness: StoreHarness) -> None:
    trace = await trace_of(harness, *OF_ONE_JOB[1:])
    assert trace.complete
    await forget(harness)
    assert not (await trace_of(harness, *OF_ONE_JOB[:3], OF_ONE_JOB[4])).complete


async def test_what_an_unnumbered_event_listed_replaces_no_newer_step(harness: StoreHarness) -> None:
    """A job begun by an executor that numbered nothing, and ended by one of now."""
    begun = job(0, step("b", PENDING), step("a", PENDING, 1), count=0)
    trace = await trace_of(
        harness, begun, changed(1, step("b", SUCCEEDED)), changed(2, step("a", SUCCEEDED, 1)), job(3, ended=True)
    )
    assert (states(trace), trace.complete) == ({"b": "succeeded", "a": "succeeded"}, True)


async def test_steps_of_a_resumed_job_wait_whatever_an_unnumbered_event_listed(harness: StoreHarness) -> None:
    failed = job(0, step("b", job_pb2.STEP_STATE_FAILED), step("a", PENDING, 1), ended=True, count=0)
    trace = await trace_of(harness, failed, job(1, step("b", PENDING), step("a", PENDING, 1)))
    assert states(trace) == {"b": "pending", "a": "pending"}
