"""What every record keeps when clocks disagree, and when events come late."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from soma.assets.v1 import asset_pb2
from soma.events.v1 import facts_pb2
from soma.executor.v1 import job_pb2
from svc_provenance.app.lineage import Lineage
from svc_provenance.domain.model import EntryKind, TraceEntry
from svc_provenance.domain.trace import build_trace
from svc_provenance.rpc.convert.summaries import summary_from_proto
from tests.contract.provenance.test_provenance_store import (
    CHART,
    IDS,
    JOB,
    NOW,
    StoreHarness,
    evaluation,
    execution,
    finished,
    harness,
    job,
    memory_harness,
    postgres_harness,
    stored,
)

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["harness", "memory_harness", "postgres_harness"]

RUNNING, COMPLETED = job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_COMPLETED
EARLIER = NOW - timedelta(milliseconds=30)


async def state(harness: StoreHarness) -> str:
    trace = build_trace(await harness.store.trace_entries("acme", JOB))
    assert trace.job is not None
    return trace.job.state


def fact(state: str, sequence: int, at: datetime = NOW, title: str = "") -> TraceEntry:
    document = job_pb2.Job(job_id=JOB, state=COMPLETED if state == "completed" else RUNNING, title=title)
    told = document.SerializeToString()
    return TraceEntry(EntryKind.JOB, JOB, JOB, at, summary_from_proto(EntryKind.JOB, told), told, sequence)


async def keep(harness: StoreHarness, *facts: TraceEntry) -> None:
    for one in facts:
        async with harness.transaction("acme") as transaction:
            await harness.store.add_entries(transaction, "acme", [one])


async def test_the_end_of_a_job_holds_though_its_clock_is_behind(harness: StoreHarness) -> None:
    await harness.tell(job(RUNNING), at=NOW)
    await harness.tell(job(COMPLETED), at=EARLIER)
    assert await state(harness) == "completed"


async def test_a_job_that_runs_again_holds_though_its_clock_is_behind(harness: StoreHarness) -> None:
    await harness.tell(job(COMPLETED), at=NOW)
    await harness.tell(job(RUNNING), at=EARLIER)
    assert await state(harness) == "running"


async def test_the_highest_sequence_of_a_job_holds_in_whatever_order_they_arrive(harness: StoreHarness) -> None:
    await keep(harness, fact("running", 1), fact("completed", 3, EARLIER), fact("running", 2, NOW + timedelta(hours=1)))
    assert await state(harness) == "completed"
    await keep(harness, fact("running", 4, EARLIER))
    assert await state(harness) == "running"


async def test_a_fact_without_a_sequence_replaces_one_that_arrived_before_it(harness: StoreHarness) -> None:
    await keep(harness, fact("running", 7), fact("completed", 0, EARLIER))
    assert await state(harness) == "completed"
    await keep(harness, fact("running", 6))
    assert await state(harness) == "completed", "the sequence that was seen is not forgotten"


async def test_a_state_that_a_dead_letter_brings_back_does_not_replace_a_later_one(harness: StoreHarness) -> None:
    await harness.tell(job(COMPLETED))
    await harness.tell(job(RUNNING), dlq_id="d")
    assert await state(harness) == "completed"


async def test_an_end_that_a_dead_letter_brings_back_is_kept(harness: StoreHarness) -> None:
    await harness.tell(job(RUNNING))
    await harness.tell(job(COMPLETED), dlq_id="d")
    assert await state(harness) == "completed"


async def erased(harness: StoreHarness, at: datetime) -> None:
    await harness.tell(facts_pb2.AssetTombstoned(asset=asset_pb2.Asset(asset_id=CHART)), at=at)


async def test_an_erased_asset_keeps_its_provenance_without_content(harness: StoreHarness) -> None:
    made = execution(asset_ids=[CHART])
    made.params.update({"title": "secret plan"})
    await harness.tell(stored(CHART, made.execution_id))
    await harness.tell(finished(made, "secret plan"))
    await erased(harness, NOW + timedelta(days=1))
    own, _ = await Lineage(harness.store).get("acme", CHART)
    assert (own.params, own.prompt_summary) == ({}, "")
    assert (own.capability_id, own.deleted_at) == ("matplotlib_chart@local", NOW + timedelta(days=1))


async def test_an_asset_that_was_erased_before_anything_else_was_heard_of_it_has_no_content(
    harness: StoreHarness,
) -> None:
    made = execution(asset_ids=[CHART])
    made.params.update({"title": "secret plan"})
    await erased(harness, NOW)
    await harness.tell(finished(made, "secret plan"))
    await harness.tell(stored(CHART, made.execution_id))
    own, _ = await Lineage(harness.store).get("acme", CHART)
    assert (own.params, own.prompt_summary, own.deleted_at) == ({}, "", NOW)
    assert own.capability_id == "matplotlib_chart@local"


async def test_a_fact_keeps_its_sequence(harness: StoreHarness) -> None:
    one = fact("running", 5, title="numbered")
    await keep(harness, one)
    assert list(await harness.store.trace_entries("acme", JOB)) == [one]


async def test_the_number_of_an_event_decides_whichever_clock_it_carries(harness: StoreHarness) -> None:
    ended, running = job(COMPLETED), job(RUNNING)
    ended.sequence, running.sequence = 9, 8
    await harness.tell(ended, at=EARLIER)
    await harness.tell(running, at=NOW, dlq_id="d")
    assert await state(harness) == "completed"


def verdict(score: float) -> facts_pb2.EvaluationDone:
    told = evaluation(1, passes=score > 0.5)
    told.evaluation.evaluation_id, told.evaluation.score = IDS.new(), score
    return told


async def test_an_older_verdict_that_comes_late_does_not_replace_a_newer_one(harness: StoreHarness) -> None:
    """A dead letter brings one back; one of the same bytes in another job comes under another key."""
    first, second, third = (verdict(score) for score in (0.2, 0.9, 0.3))
    await harness.tell(stored(CHART))
    await harness.tell(second)
    for late in ({"dlq_id": "d"}, {"at": NOW + timedelta(days=1)}):
        await harness.tell(first, **late)  # type: ignore[arg-type]
        own, _ = await Lineage(harness.store).get("acme", CHART)
        assert (own.evaluation_id, own.passes, own.quality) == (second.evaluation.evaluation_id, True, 0.9)
    await harness.tell(third, dlq_id="d")
    own, _ = await Lineage(harness.store).get("acme", CHART)
    assert (own.evaluation_id, own.quality) == (third.evaluation.evaluation_id, 0.3)


async def test_an_attempt_is_kept_with_the_number_of_its_event(harness: StoreHarness) -> None:
    told = finished(execution(1))
    told.sequence = 4
    await harness.tell(told)
    assert [one.sequence for one in await harness.store.trace_entries("acme", JOB)] == [4]
