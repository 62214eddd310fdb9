"""An erasure is remembered for as long as an event from before it may come, as one of a dead letter does."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.testing import FakeClock
from soma.assets.v1 import asset_pb2
from soma.events.v1 import facts_pb2
from svc_provenance.adapters.postgres.provenance import PostgresProvenanceStore
from svc_provenance.adapters.postgres.retention import ERASURES, UNSETTLED_DAYS
from svc_provenance.app.lineage import Lineage
from svc_provenance.rpc.convert.summaries import summary_from_proto
from tests.contract.provenance.test_provenance_store import StoreHarness, execution, finished, stored
from tests.integration.provenance.test_partitions import made_in
from tests.integration.provenance.test_retention import NOW, PLATFORM, RetentionHarness, archive

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from svc_provenance.domain.asset_records import Provenance

__all__ = ["archive"]

CHART = made_in(2026, 1)
"""Older than traces are kept when it is erased."""
MARK = {"asset_id", "tenant_id", "deleted_at"}
BUS_DAYS = 7
LETTERS_DAYS = UNSETTLED_DAYS + PLATFORM.dead_letters_days


def record(archive: RetentionHarness) -> StoreHarness:
    return StoreHarness(PostgresProvenanceStore(archive.postgres, summary_from_proto), archive.postgres)


async def tell(archive: RetentionHarness, *facts: Message, dlq_id: str = "") -> None:
    for fact in facts:
        await record(archive).tell(fact, at=NOW - timedelta(days=1), dlq_id=dlq_id)


async def erase(archive: RetentionHarness) -> None:
    await record(archive).tell(facts_pb2.AssetTombstoned(asset=asset_pb2.Asset(asset_id=CHART)), at=NOW)


def history() -> tuple[Message, Message]:
    """What is told of an asset that an attempt made."""
    made = execution(asset_ids=[CHART])
    made.params.update({"title": "secret plan"})
    return stored(CHART, made.execution_id), finished(made, "secret plan")


async def run(archive: RetentionHarness, days: float) -> None:
    """A run of retention so many days after the erasure."""
    archive.clock = FakeClock(NOW + timedelta(days=days))
    await archive.retention().run()


async def row(archive: RetentionHarness) -> set[str]:
    """The columns that are not NULL in the row of the asset."""
    statement = "SELECT jsonb_object_keys(jsonb_strip_nulls(to_jsonb(p))) FROM asset_provenance p WHERE asset_id = $1"
    async with archive.postgres.transaction("acme") as connection:
        return {key for (key,) in await connection.fetch(statement, CHART)}


async def provenance(archive: RetentionHarness) -> Provenance | None:
    return await PostgresProvenanceStore(archive.postgres, summary_from_proto).provenance("acme", CHART)


@pytest.mark.parametrize("traces_days", [1, 60])
async def test_a_dead_letter_that_is_sent_again_late_does_not_bring_provenance_back(
    archive: RetentionHarness, traces_days: int
) -> None:
    """Regression: all was given up, the asset was erased, and the dead letters came when the erasure was forgotten."""
    await archive.set_days("acme", traces_days=traces_days)
    await erase(archive)
    for day in (traces_days - 0.5, traces_days + 1, 99):
        await run(archive, day)
    await tell(archive, *history(), dlq_id="d")
    assert await provenance(archive) is None
    assert await row(archive) == MARK


async def test_a_dead_letter_that_comes_within_the_term_of_traces_tells_of_an_erased_asset(
    archive: RetentionHarness,
) -> None:
    await erase(archive)
    await run(archive, PLATFORM.traces_days - 1)
    await tell(archive, *history(), dlq_id="d")
    own, _ = await Lineage(PostgresProvenanceStore(archive.postgres, summary_from_proto)).get("acme", CHART)
    assert (own.params, own.prompt_summary, own.deleted_at) == ({}, "", NOW)


async def test_after_the_term_of_traces_the_mark_alone_is_left(archive: RetentionHarness) -> None:
    verdict = facts_pb2.EvaluationDone()
    verdict.evaluation.asset_id, verdict.evaluation.evaluation_id = CHART, "v"
    await tell(archive, *history(), verdict)
    await erase(archive)
    await run(archive, PLATFORM.traces_days - 1)
    assert await provenance(archive) is not None
    await run(archive, PLATFORM.traces_days + 1)
    assert await row(archive) == MARK
    await tell(archive, *history(), verdict, dlq_id="d")
    assert await row(archive) == MARK


async def test_the_mark_goes_when_no_dead_letter_can_come_any_more(archive: RetentionHarness) -> None:
    await erase(archive)
    await run(archive, LETTERS_DAYS + BUS_DAYS - 1)
    assert await row(archive) == MARK
    await run(archive, LETTERS_DAYS + BUS_DAYS + 1)
    assert await row(archive) == set()


async def test_marks_stay_as_long_as_the_dead_letters_or_the_traces_of_their_tenant(archive: RetentionHarness) -> None:
    await archive.set_days("brief", traces_days=1, dead_letters_days=1)
    await archive.set_days("letters", dead_letters_days=400)
    await archive.set_days("traces", traces_days=1_000)
    terms = (await archive.terms.periods())[ERASURES]
    assert (terms.days, terms.days_by_tenant) == (
        LETTERS_DAYS + BUS_DAYS,
        {"brief": UNSETTLED_DAYS + 1 + BUS_DAYS, "letters": UNSETTLED_DAYS + 400 + BUS_DAYS, "traces": 1_000},
    )
