"""What every record promises to those who read and watch traces, and who ask what may be kept."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.stores.postgres import Postgres
from soma.assets.v1 import asset_pb2
from soma.events.v1 import facts_pb2
from soma.executor.v1 import job_pb2
from soma.provenance.v1 import trace_service_pb2 as pb
from svc_provenance.adapters.postgres.provenance import PostgresProvenanceStore
from svc_provenance.adapters.postgres.trace_notifications import CHANNEL, TraceNotifications
from svc_provenance.app.traces import Traces
from svc_provenance.app.watch import WatchTiming, WatchTraces
from svc_provenance.events.consumed.traces import TraceEventHandlers
from svc_provenance.rpc.convert.summaries import summary_from_proto
from svc_provenance.rpc.convert.traces import snapshot_to_proto, trace_to_proto
from tests.in_memory.provenance import MemoryProvenanceStore
from tests.unit.provenance.sample_jobs import SAMPLE_JOBS, rework
from tests.unit.provenance.test_decision_trace import traced
from tests.unit.provenance.test_watch import built

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mesh.events.event import Event
    from mesh.settings import PostgresSettings
    from svc_provenance.app.ports import ProvenanceStore
    from tests.unit.provenance.job_builder import JobBuilder

NEVER_BY_ITSELF = WatchTiming(
    first_entry_timeout_s=20,
    missing_entries_timeout_s=30,
    late_selection_timeout_s=0.5,
    debounce_s=0.02,
    poll_interval_s=30,
)


async def allowed(_tenant_id: str) -> bool:
    return True


@dataclass
class TraceHarness:
    """A record, and the news of it."""

    store: ProvenanceStore
    news: TraceNotifications
    postgres: Postgres | None = None

    async def tell(self, event: Event) -> None:
        handler = TraceEventHandlers(self.store, allows_full_prompts=allowed).handlers()[event.type]
        if self.postgres is None:
            await handler(None, event)  # type: ignore[arg-type]
        else:
            async with self.postgres.transaction(event.tenant_id) as connection:
                await handler(connection, event)

    async def trace(self, sample: JobBuilder) -> pb.DecisionTrace:
        return await Traces(self.store).get("acme", sample.job_id, trace_to_proto)


@pytest.fixture
async def postgres_harness(database: Callable[[str], Awaitable[PostgresSettings]]) -> AsyncIterator[TraceHarness]:
    news = TraceNotifications()
    async with (
        Postgres.open(await database("provenance")) as postgres,
        postgres.listen(f"{postgres.schema}.{CHANNEL}", news.on_notification),
    ):
        yield TraceHarness(PostgresProvenanceStore(postgres, summary_from_proto), news, postgres)


@pytest.fixture
def memory_harness() -> TraceHarness:
    news = TraceNotifications()
    return TraceHarness(MemoryProvenanceStore(news.on_notification), news)


@pytest.fixture(params=["memory", "postgres"])
def harness(request: pytest.FixtureRequest) -> TraceHarness:
    found: TraceHarness = request.getfixturevalue(f"{request.param}_harness")
    return found


async def test_what_is_read_back_is_what_was_told(harness: TraceHarness) -> None:
    for sample in (tell() for tell in SAMPLE_JOBS.values()):
        for event in sample.events():
            await harness.tell(event)
        assert await harness.trace(sample) == await traced(sample)


async def test_watchers_are_woken_by_each_fact_and_their_parts_make_the_whole(harness: TraceHarness) -> None:
    sample = rework()
    watch = WatchTraces(Traces(harness.store), snapshot_to_proto, harness.news.for_job, SystemClock(), NEVER_BY_ITSELF)

    async def all_parts() -> list[pb.TraceEvent]:
        return [pb.TraceEvent.FromString(part or b"") async for part in watch("acme", sample.job_id)]

    watching = [asyncio.create_task(all_parts()) for _ in range(3)]
    for event in sample.events():
        await harness.tell(event)
    for parts in await asyncio.wait_for(asyncio.gather(*watching), 20):
        assert parts[-1].trace == built(parts[:-1]) == await harness.trace(sample)


async def test_a_watch_ends_though_the_clock_that_told_the_end_is_behind(harness: TraceHarness) -> None:
    sample = rework()
    *before, end = sample.events()
    for event in before:
        await harness.tell(event)
    await harness.tell(replace(before[-1], event_id="running", **told_as_running(sample)))
    watch = WatchTraces(Traces(harness.store), snapshot_to_proto, harness.news.for_job, SystemClock(), NEVER_BY_ITSELF)
    async with asyncio.timeout(20), aclosing(watch("acme", sample.job_id)) as parts:
        assert await anext(parts)
        await harness.tell(replace(end, occurred_at=before[0].occurred_at))
        *_, last = [part async for part in parts]
    assert pb.TraceEvent.FromString(last or b"").trace.complete


def told_as_running(sample: JobBuilder) -> dict[str, object]:
    """What makes an event say that the job runs, by an executor that gives no numbers."""
    running = facts_pb2.JobChanged(job=job_pb2.Job(job_id=sample.job_id, state=job_pb2.JOB_STATE_RUNNING))
    return {"type": running.DESCRIPTOR.full_name, "payload": running.SerializeToString()}


async def test_a_fact_told_twice_changes_nothing(harness: TraceHarness) -> None:
    sample = rework()
    for event in (*sample.events(), *sample.events()):
        await harness.tell(event)
    assert await harness.trace(sample) == await traced(sample)


async def test_a_whole_prompt_is_kept_where_policy_allows_and_forgotten_with_its_asset(harness: TraceHarness) -> None:
    sample = rework()
    for event in sample.events():
        await harness.tell(event)
    asset_id = sample.id("asset", "chart", 2)
    kept = await harness.store.provenance("acme", asset_id)
    assert kept is not None
    assert kept.prompt == "Draw the chart"
    sample.tell(facts_pb2.AssetTombstoned(asset=asset_pb2.Asset(asset_id=asset_id)))
    await harness.tell(sample.events()[-1])
    erased = await harness.store.provenance("acme", asset_id)
    assert erased is not None
    assert (erased.prompt, erased.prompt_summary, erased.params) == ("", "", {})


async def test_another_tenants_news_wake_but_tell_nothing(harness: TraceHarness) -> None:
    sample = rework()
    watch = WatchTraces(Traces(harness.store), snapshot_to_proto, harness.news.for_job, SystemClock(), NEVER_BY_ITSELF)
    watching = asyncio.create_task(anext(watch("umbrella", sample.job_id)))
    for event in sample.events():
        await harness.tell(event)
    done, _ = await asyncio.wait({watching}, timeout=0.3)
    watching.cancel()
    await asyncio.wait({watching})
    assert not done


async def test_a_job_that_is_told_as_running_again_is_not_complete(harness: TraceHarness) -> None:
    sample = rework()
    sample.job(job_pb2.JOB_STATE_RUNNING)
    for event in sample.events():
        await harness.tell(event)
    trace = await harness.trace(sample)
    assert (trace.complete, trace.job.state) == (False, job_pb2.JOB_STATE_RUNNING)
