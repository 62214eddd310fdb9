"""What every record keeps when clocks disagree, and when events come late."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from soma.assets.v1 import asset_pb2
from soma.events.v1 import facts_pb2
from soma.executor.v1 import job_pb2
from svc_provenance.app.lineage import Lineage
from svc_provenance.domain.model import Fact, Kind, Run
from svc_provenance.domain.trace import join
from tests.contract.provenance.test_record import (
    CHART,
    IDS,
    JOB,
    NOW,
    Books,
    books,
    evaluation,
    execution,
    finished,
    job,
    memory_books,
    postgres_books,
    stored,
)

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["books", "memory_books", "postgres_books"]

RUNNING, COMPLETED = job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_COMPLETED
EARLIER = NOW - timedelta(milliseconds=30)


async def state(books: Books) -> str:
    trace = join(await books.record.facts("acme", JOB))
    assert trace.run is not None
    return trace.run.state


def fact(state: str, sequence: int, at: datetime = NOW) -> Fact:
    return Fact(Kind.JOB, JOB, JOB, at, Run(JOB, state, state == "completed"), b"\x01", sequence)


async def keep(books: Books, *facts: Fact) -> None:
    for one in facts:
        async with books.unit("acme") as unit:
            await books.record.add_fact(unit, "acme", one)


async def test_the_end_of_a_job_holds_though_its_clock_is_behind(books: Books) -> None:
    await books.tell(job(RUNNING), at=NOW)
    await books.tell(job(COMPLETED), at=EARLIER)
    assert await state(books) == "completed"


async def test_a_job_that_runs_again_holds_though_its_clock_is_behind(books: Books) -> None:
    await books.tell(job(COMPLETED), at=NOW)
    await books.tell(job(RUNNING), at=EARLIER)
    assert await state(books) == "running"


async def test_the_highest_sequence_of_a_job_holds_in_whatever_order_they_arrive(books: Books) -> None:
    await keep(books, fact("running", 1), fact("completed", 3, EARLIER), fact("running", 2, NOW + timedelta(hours=1)))
    assert await state(books) == "completed"
    await keep(books, fact("running", 4, EARLIER))
    assert await state(books) == "running"


async def test_a_fact_without_a_sequence_replaces_one_that_arrived_before_it(books: Books) -> None:
    await keep(books, fact("running", 7), fact("completed", 0, EARLIER))
    assert await state(books) == "completed"
    await keep(books, fact("running", 6))
    assert await state(books) == "completed", "the sequence that was seen is not forgotten"


async def test_a_state_that_a_dead_letter_brings_back_does_not_replace_a_later_one(books: Books) -> None:
    await books.tell(job(COMPLETED))
    await books.tell(job(RUNNING), dlq_id="d")
    assert await state(books) == "completed"


async def test_an_end_that_a_dead_letter_brings_back_is_kept(books: Books) -> None:
    await books.tell(job(RUNNING))
    await books.tell(job(COMPLETED), dlq_id="d")
    assert await state(books) == "completed"


async def erased(books: Books, at: datetime) -> None:
    await books.tell(facts_pb2.AssetTombstoned(asset=asset_pb2.Asset(asset_id=CHART)), at=at)


async def test_an_erased_asset_keeps_its_provenance_without_content(books: Books) -> None:
    made = execution(asset_ids=[CHART])
    made.params.update({"title": "secret plan"})
    await books.tell(stored(CHART, made.execution_id))
    await books.tell(finished(made, "secret plan"))
    await erased(books, NOW + timedelta(days=1))
    own, _ = await Lineage(books.record).of("acme", CHART)
    assert (own.params, own.prompt_summary) == ({}, "")
    assert (own.capability_id, own.deleted_at) == ("matplotlib_chart@local", NOW + timedelta(days=1))


async def test_an_asset_that_was_erased_before_anything_else_was_heard_of_it_has_no_content(books: Books) -> None:
    made = execution(asset_ids=[CHART])
    made.params.update({"title": "secret plan"})
    await erased(books, NOW)
    await books.tell(finished(made, "secret plan"))
    await books.tell(stored(CHART, made.execution_id))
    own, _ = await Lineage(books.record).of("acme", CHART)
    assert (own.params, own.prompt_summary, own.deleted_at) == ({}, "", NOW)
    assert own.capability_id == "matplotlib_chart@local"


async def test_a_fact_keeps_its_sequence(books: Books) -> None:
    one = replace(fact("running", 5), document=b"\x02")
    await keep(books, one)
    assert list(await books.record.facts("acme", JOB)) == [one]


async def test_the_number_of_an_event_decides_whichever_clock_it_carries(books: Books) -> None:
    ended, running = job(COMPLETED), job(RUNNING)
    ended.sequence, running.sequence = 9, 8
    await books.tell(ended, at=EARLIER)
    await books.tell(running, at=NOW, dlq_id="d")
    assert await state(books) == "completed"


def verdict(score: float) -> facts_pb2.EvaluationDone:
    told = evaluation(1, passes=score > 0.5)
    told.evaluation.evaluation_id, told.evaluation.score = IDS.new(), score
    return told


async def test_an_older_verdict_that_comes_late_does_not_replace_a_newer_one(books: Books) -> None:
    """A dead letter brings one back; one of the same bytes in another job comes under another key."""
    first, second, third = (verdict(score) for score in (0.2, 0.9, 0.3))
    await books.tell(stored(CHART))
    await books.tell(second)
    for late in ({"dlq_id": "d"}, {"at": NOW + timedelta(days=1)}):
        await books.tell(first, **late)  # type: ignore[arg-type]
        own, _ = await Lineage(books.record).of("acme", CHART)
        assert (own.evaluation_id, own.passes, own.quality) == (second.evaluation.evaluation_id, True, 0.9)
    await books.tell(third, dlq_id="d")
    own, _ = await Lineage(books.record).of("acme", CHART)
    assert (own.evaluation_id, own.quality) == (third.evaluation.evaluation_id, 0.3)


async def test_an_attempt_is_kept_with_the_number_of_its_event(books: Books) -> None:
    told = finished(execution(1))
    told.sequence = 4
    await books.tell(told)
    assert [one.sequence for one in await books.record.facts("acme", JOB)] == [4]
