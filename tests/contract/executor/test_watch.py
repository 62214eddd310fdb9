"""Watching a timeline, on every store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.clock import SystemClock
from svc_executor.app.recorder import Recorder, TimelineEntry
from svc_executor.app.watch import WatchJob
from svc_executor.domain.job import JobState
from svc_executor.domain.timeline import EventType, JobEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_executor.app.ports import JobStore
    from tests.contract.executor.conftest import Submit

RECORDER = Recorder(SystemClock())


async def note(store: JobStore, job_id: str, *messages: str) -> None:
    """Add entries, one transaction each."""
    for message in messages:
        async with store.transaction("tenant-a", job_id) as transaction:
            await RECORDER.add_entry(transaction, TimelineEntry(EventType.STEP, message))


async def move(store: JobStore, job_id: str, state: JobState) -> None:
    """Put a job into a state."""
    async with store.transaction("tenant-a", job_id) as transaction:
        await RECORDER.record_job_changed(transaction, replace(transaction.job, state=state), state.value)


async def watched(store: JobStore, job_id: str, after: int = 0) -> list[JobEvent]:
    """Watch to the end."""
    async with asyncio.timeout(20):
        stream = WatchJob(store, RECORDER, poll_s=0.2)("tenant-a", job_id, after)
        return [event async for event in stream]


def ends(events: Sequence[JobEvent]) -> list[bool]:
    return [event.terminal for event in events]


async def test_a_watcher_sees_what_was_and_what_comes_without_gap_or_duplicate(
    store: JobStore, submission: Submit
) -> None:
    job = await store.submit(submission())
    await note(store, job.job_id, *(f"before {number}" for number in range(5)))
    watching = asyncio.create_task(watched(store, job.job_id))
    await note(store, job.job_id, *(f"live {number}" for number in range(20)))
    await move(store, job.job_id, JobState.COMPLETED)
    events = await watching
    assert [event.sequence for event in events] == list(range(1, 28))
    assert ends(events) == [False] * 26 + [True]


async def test_a_long_timeline_is_read_in_parts(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())
    async with store.transaction("tenant-a", job.job_id) as transaction:
        for number in range(398):
            await RECORDER.add_entry(transaction, TimelineEntry(EventType.STEP, f"{number}"))
    await move(store, job.job_id, JobState.COMPLETED)
    events = await watched(store, job.job_id)
    assert [event.sequence for event in events] == list(range(1, 401))
    assert ends(events)[-1]


async def test_the_end_of_a_run_that_was_resumed_does_not_end_the_watch(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())
    for state in (JobState.FAILED, JobState.PENDING, JobState.COMPLETED):
        await move(store, job.job_id, state)
    events = await watched(store, job.job_id)
    assert [(event.message, event.terminal) for event in events] == [
        ("accepted", False), ("FAILED", False), ("PENDING", False), ("COMPLETED", True),
    ]  # fmt: skip


async def test_who_has_seen_the_end_is_not_kept_waiting(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())
    await move(store, job.job_id, JobState.CANCELLED)
    assert await watched(store, job.job_id, after=2) == []


async def test_a_heartbeat_has_no_sequence(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())
    event = await WatchJob(store, RECORDER).heartbeat("tenant-a", job.job_id)
    assert (event.type, event.sequence, event.terminal) == (EventType.HEARTBEAT, 0, False)
