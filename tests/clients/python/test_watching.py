"""The events of a job come without gap and duplicate, however often the stream breaks."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from soma.executor.v1 import job_pb2
from soma_client import JobFailedError, NotFoundError, UnauthenticatedError, UnavailableError
from soma_client.calls import Caller
from soma_client.channel import Target
from soma_client.jobs import Jobs
from soma_client.resuming import RECONNECTS
from tests.clients.python.edge import JOBS, Edge, Failure, Machine, Silence, client_of

if TYPE_CHECKING:
    from soma_client import SomaClient

WATCH, GET = f"{JOBS}/WatchJob", f"{JOBS}/GetJob"
HEARTBEAT = job_pb2.JobEvent(type=job_pb2.JOB_EVENT_TYPE_HEARTBEAT)

ENDED = job_pb2.Job(job_id="j1", state=job_pb2.JOB_STATE_COMPLETED)


def event(sequence: int, *, terminal: bool = False) -> job_pb2.JobEvent:
    return job_pb2.JobEvent(sequence=sequence, type=job_pb2.JOB_EVENT_TYPE_STEP, terminal=terminal)


async def sequences(client: SomaClient, after: int = 0) -> list[int]:
    return [item.sequence async for item in client.jobs.watch("j1", after=after)]


async def test_heartbeats_are_left_out_and_the_terminal_event_is_the_last(client: SomaClient, edge: Edge) -> None:
    edge.answer(WATCH, [event(1), HEARTBEAT, event(2), HEARTBEAT, event(3, terminal=True)])
    assert await sequences(client) == [1, 2, 3]
    assert [request.after for request in edge.asked(WATCH)] == [0]


@pytest.mark.parametrize("broken", [Failure(), Failure("INTERNAL"), Failure("CANCELLED"), Failure("UNKNOWN"), None])
async def test_a_broken_stream_goes_on_where_it_ended(client: SomaClient, edge: Edge, broken: Failure | None) -> None:
    cut = [] if broken is None else [broken]
    edge.answer(GET, job_pb2.Job(job_id="j1", state=job_pb2.JOB_STATE_RUNNING))
    edge.answer(WATCH, [event(1), event(2), HEARTBEAT, *cut], [*cut], [event(3), *cut], [event(4, terminal=True)])
    assert await sequences(client) == [1, 2, 3, 4]
    assert [request.after for request in edge.asked(WATCH)] == [0, 2, 2, 3]


async def test_what_came_before_is_not_given_again(client: SomaClient, edge: Edge) -> None:
    edge.answer(WATCH, [event(1), event(2), Failure()], [event(1), event(2), event(3, terminal=True)])
    assert await sequences(client) == [1, 2, 3]


async def test_a_caller_may_begin_behind_an_event(client: SomaClient, edge: Edge) -> None:
    edge.answer(WATCH, [event(6), event(7, terminal=True)])
    assert await sequences(client, after=5) == [6, 7]
    assert edge.asked(WATCH)[0].after == 5


async def test_nothing_comes_behind_the_last_event(client: SomaClient, edge: Edge) -> None:
    edge.answer(WATCH, [], [])
    edge.answer(GET, ENDED)
    assert await sequences(client, after=7) == []


async def test_an_empty_stream_of_a_job_that_runs_is_opened_again(client: SomaClient, edge: Edge) -> None:
    edge.answer(WATCH, [], [], [HEARTBEAT], [], [event(1), event(2, terminal=True)])
    edge.answer(GET, *[job_pb2.Job(job_id="j1", state=job_pb2.JOB_STATE_RUNNING)] * 3, ENDED)
    assert await sequences(client) == [1, 2]


async def test_events_that_came_before_the_job_was_seen_to_end_are_not_missed(client: SomaClient, edge: Edge) -> None:
    edge.answer(WATCH, [event(1), event(2)], [], [event(3, terminal=True)])
    edge.answer(GET, ENDED)
    assert await sequences(client) == [1, 2, 3]


async def test_a_stream_that_stays_broken_is_given_up(client: SomaClient, edge: Edge, machine: Machine) -> None:
    edge.answer(WATCH, [event(1), Failure()], *[[HEARTBEAT, Failure(message="still")] for _ in range(100)])
    with pytest.raises(UnavailableError, match="still"):
        await sequences(client)
    assert len(edge.calls) == RECONNECTS.max_attempts
    assert max(machine.pauses) == RECONNECTS.max_backoff_s


async def test_a_new_event_makes_the_count_begin_anew(client: SomaClient, edge: Edge) -> None:
    count = 3 * RECONNECTS.max_attempts
    edge.answer(WATCH, *[[event(number), Failure()] for number in range(1, count)], [event(count, terminal=True)])
    assert await sequences(client) == list(range(1, count + 1))


@pytest.mark.parametrize(
    "refused", [Failure("NOT_FOUND", reason="NOT_FOUND"), Failure("INTERNAL", "a defect", reason="INTERNAL")]
)
async def test_a_refused_stream_is_not_opened_again(client: SomaClient, edge: Edge, refused: Failure) -> None:
    edge.answer(WATCH, [event(1), refused], [event(2, terminal=True)])
    with pytest.raises((NotFoundError, Exception), match=refused.message):
        await sequences(client)
    assert len(edge.calls) == 1


async def test_a_new_token_goes_on_where_the_expired_one_ended(edge: Edge, machine: Machine) -> None:
    tokens = iter(["first", "second"])
    edge.answer(WATCH, [event(1), Failure("UNAUTHENTICATED")], [event(2, terminal=True)])
    async with client_of(edge, machine, token=lambda: next(tokens)) as client:
        assert await sequences(client) == [1, 2]
    assert [call.metadata["authorization"] for call in edge.calls] == ["Bearer first", "Bearer second"]


async def test_a_refused_credential_is_not_tried_again(client: SomaClient, edge: Edge, machine: Machine) -> None:
    edge.answer(WATCH, [event(1), Failure("UNAUTHENTICATED")], [Failure("UNAUTHENTICATED")])
    with pytest.raises(UnauthenticatedError):
        await sequences(client)
    async with client_of(edge, machine, token=lambda: "refused") as renewable:
        with pytest.raises(UnauthenticatedError):
            await sequences(renewable)
    assert len(edge.calls) == 2


async def test_a_stream_without_heartbeats_is_taken_for_broken(edge: Edge, machine: Machine) -> None:
    edge.answer(WATCH, [event(1), Silence()], [event(2, terminal=True)])
    caller = Caller(Target(f"127.0.0.1:{edge.port}", plaintext=True), None, system=machine.system(), silence_s=0.2)
    assert [item.sequence async for item in Jobs(caller).watch("j1")] == [1, 2]
    await caller.close()
    await asyncio.wait_for(edge.cancelled.wait(), 30)


async def test_a_stream_that_nobody_reads_any_longer_is_cancelled(client: SomaClient, edge: Edge) -> None:
    edge.answer(WATCH, [event(1), Silence()])
    async with aclosing(client.jobs.watch("j1")) as events:
        async for _ in events:
            break
    await asyncio.wait_for(edge.cancelled.wait(), 30)


async def test_waiting_gives_the_job_as_it_ended(client: SomaClient, edge: Edge) -> None:
    edge.answer(WATCH, [event(1, terminal=True)])
    edge.answer(GET, job_pb2.Job(job_id="j1", state=job_pb2.JOB_STATE_PARTIAL))
    assert (await client.jobs.wait("j1")).state.name == "PARTIAL"


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
async def test_waiting_for_a_job_without_result_raises_with_the_job(client: SomaClient, edge: Edge, state: str) -> None:
    job = job_pb2.Job(job_id="j1", message="no capability", state=job_pb2.JobState.Value(f"JOB_STATE_{state}"))
    edge.answer(WATCH, [event(1, terminal=True)], [event(1, terminal=True)])
    edge.answer(GET, job, job)
    with pytest.raises(JobFailedError, match=f"job j1 ended as {state}: no capability") as raised:
        await client.jobs.wait("j1")
    assert raised.value.job.job_id == "j1"
    assert (await client.jobs.wait("j1", check=False)).state.name == state


async def test_waiting_ends_after_the_given_time(client: SomaClient, edge: Edge) -> None:
    edge.answer(WATCH, [event(1), Silence()])
    with pytest.raises(TimeoutError):
        await client.jobs.wait("j1", timeout=0.2)
    await asyncio.wait_for(edge.cancelled.wait(), 30)
