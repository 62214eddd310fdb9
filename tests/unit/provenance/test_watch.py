"""What those who watch a trace grow get, and when it ends."""

from __future__ import annotations

import asyncio
import random
from contextlib import AbstractContextManager, aclosing
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh import context
from mesh.clock import SystemClock
from mesh.context import RequestContext
from mesh.errors import Reason, SomaError
from mesh.rpc.heartbeats import Heartbeats
from mesh.testing import acting_as
from soma.provenance.v1 import trace_service_pb2 as pb
from svc_provenance.adapters.postgres.trace_notifications import TraceNotifications
from svc_provenance.app.traces import Traces
from svc_provenance.app.watch import TraceSnapshot, WatchTiming, WatchTraces
from svc_provenance.events.consumed.traces import TraceEventHandlers
from svc_provenance.rpc.convert.traces import snapshot_to_proto
from svc_provenance.rpc.trace_service import TraceServicer
from tests.in_memory.provenance import MemoryProvenanceStore
from tests.unit.provenance.sample_jobs import SAMPLE_JOBS, success
from tests.unit.provenance.test_decision_trace import traced

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from mesh.clock import Clock
    from mesh.events.event import Event
    from svc_provenance.domain.model import TraceEntry
    from svc_provenance.domain.trace import Trace
    from tests.unit.provenance.job_builder import JobBuilder

Draw: TypeAlias = "Callable[[str, Trace, Sequence[TraceEntry]], TraceSnapshot]"
FAST = WatchTiming(
    first_entry_timeout_s=5,
    missing_entries_timeout_s=5,
    late_selection_timeout_s=0.05,
    debounce_s=0,
    poll_interval_s=5,
    pause_factor=0,
)


class WatchHarness:
    """A record in memory, those who watch it, and the number of times that it was read."""

    def __init__(self, pace: WatchTiming = FAST, *, draw: Draw = snapshot_to_proto, clock: Clock | None = None) -> None:
        news = TraceNotifications()
        self.store = MemoryProvenanceStore(news.on_notification)
        self.reads = 0
        self.watch = WatchTraces(Traces(self), draw, news.for_job, clock or SystemClock(), pace)  # type: ignore[arg-type]
        self._handlers = TraceEventHandlers(self.store).handlers()

    async def trace_entries(self, tenant_id: str, job_id: str) -> Sequence[TraceEntry]:
        self.reads += 1
        return await self.store.trace_entries(tenant_id, job_id)

    async def tell(self, *events: Event) -> None:
        for event in events:
            await self._handlers[event.type](None, event)  # type: ignore[arg-type]
            await asyncio.sleep(0)

    async def stream(self, job_id: str, tenant_id: str = "acme") -> AsyncIterator[pb.TraceEvent]:
        async with aclosing(self.watch(tenant_id, job_id)) as parts:
            async for part in parts:
                yield pb.TraceEvent.FromString(part)

    async def all(self, sample: JobBuilder) -> list[pb.TraceEvent]:
        return [event async for event in self.stream(sample.job_id)]


def built(events: Sequence[pb.TraceEvent]) -> pb.DecisionTrace:
    """The trace that a client puts together from the parts alone."""
    trace, job, totals, steps = pb.DecisionTrace(), None, None, dict[str, pb.TraceStep]()
    for event in events:
        match event.WhichOneof("event"):
            case "outline":
                trace = event.outline
            case "job":
                job = event.job
            case "totals":
                totals = event.totals
            case "step":
                steps[event.step.step_id] = event.step
    trace.job.CopyFrom(job)
    trace.totals.CopyFrom(totals)
    trace.steps.extend(steps[step_id] for step_id in trace.step_ids)
    return trace


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(SAMPLE_JOBS)), st.integers(0, 2**32), st.integers(0, 20))
async def test_the_parts_together_are_the_whole(name: str, seed: int, late: int) -> None:
    sample, chance = SAMPLE_JOBS[name](), random.Random(seed)
    events = sample.events()
    chance.shuffle(events)
    harness = WatchHarness()
    await harness.tell(*events[: 1 + late % len(events)])
    watching = asyncio.create_task(harness.all(sample))
    for event in events[1 + late % len(events) :]:
        await harness.tell(event)
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
    got = await asyncio.wait_for(watching, 20)
    assert got[-1].trace == built(got[:-1]) == await traced(sample)


async def test_the_property_would_find_a_lost_part() -> None:
    sample, harness = success(), WatchHarness()
    await harness.tell(*sample.events())
    got = await harness.all(sample)
    without_totals = [event for event in got[:-1] if not event.HasField("totals")]
    with pytest.raises(TypeError):
        built(without_totals)


async def test_only_what_changed_is_sent_again() -> None:
    sample, harness = success(), WatchHarness()
    events = sample.events()
    await harness.tell(events[0])
    stream = harness.stream(sample.job_id)
    first = [(await anext(stream)).WhichOneof("event") for _ in range(4)]
    await harness.tell(events[-1])
    second = [(await anext(stream)).WhichOneof("event") for _ in range(2)]
    await stream.aclose()  # type: ignore[attr-defined]
    assert first == ["job", "outline", "step", "totals"]
    assert second == ["job", "outline"]


async def test_a_job_that_was_just_submitted_is_waited_for() -> None:
    sample, harness = success(), WatchHarness()
    watching = asyncio.create_task(harness.all(sample))
    await asyncio.sleep(0)
    await harness.tell(*sample.events())
    assert (await asyncio.wait_for(watching, 20))[-1].trace.complete


@pytest.mark.parametrize("tenant", ["acme", "umbrella"])
async def test_an_unknown_job_and_another_tenants_are_not_found_alike(tenant: str) -> None:
    sample, harness = success(), WatchHarness(WatchTiming(first_entry_timeout_s=0.02))
    if tenant == "umbrella":
        await harness.tell(*sample.events())
    with pytest.raises(SomaError) as refused:
        await anext(harness.stream(sample.job_id, tenant))
    assert refused.value.reason is Reason.NOT_FOUND


async def test_silence_is_broken_by_heartbeats() -> None:
    sample, harness = success(), WatchHarness()
    await harness.tell(sample.events()[0])
    servicer = TraceServicer(Traces(harness), harness.watch, Heartbeats(0.01))  # type: ignore[arg-type]
    request = pb.WatchTraceRequest(id=sample.job_id)
    seen = 0
    with acting_as():
        async with aclosing(servicer.WatchTrace(request, cast("Any", None))) as stream:  # type: ignore[type-var]
            async for event in stream:
                seen += event.WhichOneof("event") is None
                if seen == 3:
                    break
    assert seen == 3


async def test_facts_that_never_come_are_not_waited_for_any_longer() -> None:
    sample, harness = success(), WatchHarness(WatchTiming(missing_entries_timeout_s=0.05))
    events = sample.events()
    await harness.tell(*events[:2], events[-1])
    got = await asyncio.wait_for(harness.all(sample), 20)
    assert not got[-1].trace.complete
    assert got[-1].trace == built([event for event in got[:-1] if event.WhichOneof("event")])


async def test_many_watchers_of_a_job_cost_one_reader() -> None:
    sample, harness = success(), WatchHarness()
    events = sample.events()
    await harness.tell(events[0])
    watching = [asyncio.create_task(harness.all(sample)) for _ in range(50)]
    for event in events[1:]:
        await harness.tell(event)
    got = await asyncio.wait_for(asyncio.gather(*watching), 20)
    assert {len(parts) > 0 and parts[-1].trace.complete for parts in got} == {True}
    assert harness.reads <= len(events) + 1


async def test_a_slow_reader_gets_the_newest_and_holds_nobody_up() -> None:
    sample, harness = success(), WatchHarness()
    events = sample.events()
    await harness.tell(events[0])
    slow = harness.stream(sample.job_id)
    first = await anext(slow)
    quick = asyncio.create_task(harness.all(sample))
    for event in events[1:]:
        await harness.tell(event)
    await asyncio.wait_for(quick, 20)
    rest = [event async for event in slow]
    assert rest[-1].trace == built([first, *rest[:-1]])
    assert len(rest) < len(quick.result()) * 2


async def test_nothing_is_left_behind_when_nobody_watches() -> None:
    sample, harness = success(), WatchHarness()
    await harness.tell(sample.events()[0])
    stream = harness.stream(sample.job_id)
    await anext(stream)
    reader = f"trace {sample.job_id}"
    assert reader in {task.get_name() for task in asyncio.all_tasks()}
    await stream.aclose()  # type: ignore[attr-defined]
    assert not harness.watch._feeds
    assert reader not in {task.get_name() for task in asyncio.all_tasks()}


async def test_an_outage_of_the_record_is_survived() -> None:
    sample, harness = success(), WatchHarness(WatchTiming(retry_interval_s=0.01, debounce_s=0, first_entry_timeout_s=5))
    events, failures = sample.events(), 3
    read = harness.store.trace_entries

    async def flaky(tenant_id: str, job_id: str) -> Sequence[TraceEntry]:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise SomaError(Reason.UNAVAILABLE, "down")
        return await read(tenant_id, job_id)

    harness.trace_entries = flaky  # type: ignore[method-assign]
    await harness.tell(*events)
    assert (await asyncio.wait_for(harness.all(sample), 20))[-1].trace.complete


async def test_an_outage_is_not_told_as_an_unknown_job() -> None:
    harness = WatchHarness(WatchTiming(first_entry_timeout_s=0.02))

    async def down(tenant_id: str, job_id: str) -> Sequence[TraceEntry]:
        raise SomaError(Reason.UNAVAILABLE, "the database does not answer")

    harness.trace_entries = down  # type: ignore[method-assign]
    with pytest.raises(SomaError) as refused:
        await anext(harness.stream(success().job_id))
    assert refused.value.reason is Reason.UNAVAILABLE


async def test_the_deadline_of_the_first_watcher_does_not_bind_the_others() -> None:
    sample, harness = success(), WatchHarness()
    seen: list[object] = []
    read = harness.store.trace_entries

    async def noting(tenant_id: str, job_id: str) -> Sequence[TraceEntry]:
        seen.append(context.current())
        return await read(tenant_id, job_id)

    harness.trace_entries = noting  # type: ignore[method-assign]
    await harness.tell(*sample.events())
    with context.use(RequestContext(None, "r", "", deadline=0.0)):
        await harness.all(sample)
    assert seen == [None]


async def test_a_reader_that_crashes_is_started_again() -> None:
    sample, harness = success(), WatchHarness()
    notifications, crashes = harness.watch._notifications, [RuntimeError("no notifications")]

    def failing_once(job_id: str) -> AbstractContextManager[asyncio.Event]:
        if crashes:
            raise crashes.pop()
        return notifications(job_id)

    harness.watch._notifications = failing_once
    await harness.tell(*sample.events())
    assert (await asyncio.wait_for(harness.all(sample), 20))[-1].trace.complete
    assert not crashes
