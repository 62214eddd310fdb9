"""What every record promises to those who read and watch traces, and who ask what may be kept."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.ids import SystemIds
from mesh.stores.postgres import Postgres
from soma.assets.v1 import asset_pb2
from soma.events.v1 import facts_pb2
from soma.executor.v1 import job_pb2
from soma.provenance.v1 import trace_service_pb2 as pb
from svc_provenance.adapters.memory import MemoryRecord
from svc_provenance.adapters.postgres import PostgresRecord
from svc_provenance.adapters.trace_news import CHANNEL, TraceNews
from svc_provenance.app.traces import Traces
from svc_provenance.app.watch import Pace, WatchTraces
from svc_provenance.events.facts import Intake
from svc_provenance.rpc.trace_writer import picture, trace_message
from tests.unit.provenance.tales import TALES, rework
from tests.unit.provenance.test_decision_trace import traced
from tests.unit.provenance.test_watch import built

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mesh.events.event import Event
    from mesh.settings import PostgresSettings
    from svc_provenance.domain.ports import Record
    from tests.unit.provenance.tale import Tale

NEVER_BY_ITSELF = Pace(heartbeat_s=30, first_s=20, patience_s=30, settle_s=0.5, gather_s=0.02, poll_s=30)


async def allowed(_tenant_id: str) -> bool:
    return True


@dataclass
class Archive:
    """A record, and the news of it."""

    record: Record
    news: TraceNews
    postgres: Postgres | None = None

    async def tell(self, event: Event) -> None:
        handler = Intake(self.record, SystemIds(), full_prompt=allowed).handlers()[event.type]
        if self.postgres is None:
            await handler(None, event)  # type: ignore[arg-type]
        else:
            async with self.postgres.transaction(event.tenant_id) as connection:
                await handler(connection, event)

    async def trace(self, tale: Tale) -> pb.DecisionTrace:
        return await Traces(self.record).of("acme", tale.job_id, trace_message)


@pytest.fixture
async def postgres_archive(database: Callable[[str], Awaitable[PostgresSettings]]) -> AsyncIterator[Archive]:
    news = TraceNews()
    async with (
        Postgres.open(await database("provenance")) as postgres,
        postgres.listen(f"{postgres.schema}.{CHANNEL}", news.heard),
    ):
        yield Archive(PostgresRecord(postgres), news, postgres)


@pytest.fixture
def memory_archive() -> Archive:
    news = TraceNews()
    return Archive(MemoryRecord(news.heard), news)


@pytest.fixture(params=["memory", "postgres"])
def archive(request: pytest.FixtureRequest) -> Archive:
    found: Archive = request.getfixturevalue(f"{request.param}_archive")
    return found


async def test_what_is_read_back_is_what_was_told(archive: Archive) -> None:
    for tale in (tell() for tell in TALES.values()):
        for event in tale.events():
            await archive.tell(event)
        assert await archive.trace(tale) == await traced(tale)


async def test_watchers_are_woken_by_each_fact_and_their_parts_make_the_whole(archive: Archive) -> None:
    tale = rework()
    watch = WatchTraces(Traces(archive.record), picture, archive.news.of, SystemClock(), NEVER_BY_ITSELF)

    async def all_parts() -> list[pb.TraceEvent]:
        return [pb.TraceEvent.FromString(part or b"") async for part in watch("acme", tale.job_id)]

    watching = [asyncio.create_task(all_parts()) for _ in range(3)]
    for event in tale.events():
        await archive.tell(event)
    for parts in await asyncio.wait_for(asyncio.gather(*watching), 20):
        assert parts[-1].trace == built(parts[:-1]) == await archive.trace(tale)


async def test_a_watch_ends_though_the_clock_that_told_the_end_is_behind(archive: Archive) -> None:
    tale = rework()
    *before, end = tale.events()
    for event in before:
        await archive.tell(event)
    await archive.tell(replace(before[-1], event_id="running", **told_as_running(tale)))
    watch = WatchTraces(Traces(archive.record), picture, archive.news.of, SystemClock(), NEVER_BY_ITSELF)
    async with asyncio.timeout(20), aclosing(watch("acme", tale.job_id)) as parts:
        assert await anext(parts)
        await archive.tell(replace(end, occurred_at=before[0].occurred_at))
        *_, last = [part async for part in parts]
    assert pb.TraceEvent.FromString(last or b"").trace.complete


def told_as_running(tale: Tale) -> dict[str, object]:
    """What makes an event say that the job runs, by an executor that gives no numbers."""
    running = facts_pb2.JobChanged(job=job_pb2.Job(job_id=tale.job_id, state=job_pb2.JOB_STATE_RUNNING))
    return {"type": running.DESCRIPTOR.full_name, "payload": running.SerializeToString()}


async def test_a_fact_told_twice_changes_nothing(archive: Archive) -> None:
    tale = rework()
    for event in (*tale.events(), *tale.events()):
        await archive.tell(event)
    assert await archive.trace(tale) == await traced(tale)


async def test_a_whole_prompt_is_kept_where_policy_allows_and_forgotten_with_its_asset(archive: Archive) -> None:
    tale = rework()
    for event in tale.events():
        await archive.tell(event)
    asset_id = tale.id("asset", "chart", 2)
    kept = await archive.record.provenance("acme", asset_id)
    assert kept is not None
    assert kept.prompt == "Draw the chart"
    tale.facts = [facts_pb2.AssetTombstoned(asset=asset_pb2.Asset(asset_id=asset_id))]
    await archive.tell(tale.events()[0])
    erased = await archive.record.provenance("acme", asset_id)
    assert erased is not None
    assert (erased.prompt, erased.prompt_summary, erased.params) == ("", "", {})


async def test_another_tenants_news_wake_but_tell_nothing(archive: Archive) -> None:
    tale = rework()
    watch = WatchTraces(Traces(archive.record), picture, archive.news.of, SystemClock(), NEVER_BY_ITSELF)
    watching = asyncio.create_task(anext(watch("umbrella", tale.job_id)))
    for event in tale.events():
        await archive.tell(event)
    done, _ = await asyncio.wait({watching}, timeout=0.3)
    watching.cancel()
    await asyncio.wait({watching})
    assert not done


async def test_a_job_that_is_told_as_running_again_is_not_complete(archive: Archive) -> None:
    tale = rework()
    tale.job(job_pb2.JOB_STATE_RUNNING)
    for event in tale.events():
        await archive.tell(event)
    trace = await archive.trace(tale)
    assert (trace.complete, trace.job.state) == (False, job_pb2.JOB_STATE_RUNNING)
