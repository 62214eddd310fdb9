"""Dead letters at the edges: under way, long overdue, of the dead letters' own topic, over Valkey streams."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.events.event import Event
from mesh.events.outbox import Outbox
from mesh.events.streams import PostgresCursors, ValkeyStreams
from mesh.stores.postgres import Postgres
from soma.events.v1.dead_letter_pb2 import DeadLettered
from svc_provenance.adapters.postgres import dead_letters as dead_letter_rows
from svc_provenance.app import dead_letters as app
from svc_provenance.app.dead_letters import DeadLetterFilters
from svc_provenance.domain.dead_letters import Cause, DeadLetterRecord, State
from tests.integration.provenance.harness import CLOCK, IDS, QUICK, SLOW, TOPIC, DeadLetterHarness, broken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from mesh.settings import TemporalSettings
    from tests.conftest import Database


@pytest.fixture
async def quiet(database: Database, temporal_settings: TemporalSettings) -> AsyncIterator[DeadLetterHarness]:
    """Dead letters whose events nobody carries."""
    async with Postgres.open(await database("provenance", pool_max=8)) as postgres:
        yield DeadLetterHarness(postgres, temporal_settings, SLOW)


def kept(harness: DeadLetterHarness, key: str) -> DeadLetterRecord:
    """A dead letter that waits."""
    now = CLOCK.now()
    event = Event(IDS.new(), "noted", TOPIC, key, "acme", now, key.encode())
    return DeadLetterRecord(
        IDS.new(), "acme", "probe", TOPIC, key, event.event_id, "noted", Cause.FAILED, "", 1, now, now,
        requeue_at=now + timedelta(hours=1), value=harness.codec.encode(event),
    )  # fmt: skip


async def add(harness: DeadLetterHarness, *dead_letters: DeadLetterRecord) -> None:
    async with harness.postgres.transaction("acme") as connection:
        for dead_letter in dead_letters:
            await dead_letter_rows.add_dead_letter(connection, dead_letter)


async def test_many_leaves_and_counts_what_is_under_way(quiet: DeadLetterHarness) -> None:
    dead_letter = kept(quiet, "a")
    await add(quiet, dead_letter)
    first = await quiet.service.requeue_many(
        ["acme"], [dead_letter.dlq_id, dead_letter.dlq_id], DeadLetterFilters(), 100
    )
    again = await quiet.service.requeue_many(["acme"], [dead_letter.dlq_id], DeadLetterFilters(), 100)
    assert (first.requeued, first.left) == (1, 1)
    assert (again.requeued, again.left) == (0, 1)


async def test_what_the_filters_leave_is_counted_up_to_a_number(
    quiet: DeadLetterHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (dead_letter_rows, app):
        monkeypatch.setattr(module, "MAX_REMAINING", 2)
    await add(quiet, *(kept(quiet, f"k{number}") for number in range(6)))
    told = [await quiet.service.requeue_many(["acme"], [], DeadLetterFilters(), 2) for _ in range(3)]
    assert [(each.requeued, each.remaining) for each in told] == [(2, 2), (2, 2), (2, 0)]


async def test_a_dead_letter_of_their_own_topic_is_one_dead_letter_and_has_an_end(
    database: Database, temporal_settings: TemporalSettings
) -> None:
    async with (
        Postgres.open(await database("provenance", pool_max=8)) as postgres,
        DeadLetterHarness(postgres, temporal_settings, QUICK).open() as made,
        made.workflows(),
    ):
        bad = DeadLettered(group="probe", topic=TOPIC, key="k", event_id="e", detail="no \0 in a database")
        event = Event(
            IDS.new(), bad.DESCRIPTOR.full_name, "dlq.events", "k", "acme", CLOCK.now(), bad.SerializeToString()
        )
        async with postgres.transaction("acme") as connection:
            await Outbox().add(connection, event)
        dead_letter = await made.reached(State.EXHAUSTED)
        assert (dead_letter.requeues, len(await made.all())) == (QUICK.requeues, 1)


async def test_a_dead_letter_that_claims_to_come_from_what_is_no_id_is_a_dead_letter_of_its_own(
    database: Database, temporal_settings: TemporalSettings
) -> None:
    async with (
        Postgres.open(await database("provenance", pool_max=8)) as postgres,
        DeadLetterHarness(postgres, temporal_settings, SLOW).open() as made,
    ):
        bad = DeadLettered(group="probe", topic=TOPIC, key="k", event_id="e", dlq_id="no-uuid")
        event = Event(
            IDS.new(), bad.DESCRIPTOR.full_name, "dlq.events", "k", "acme", CLOCK.now(), bad.SerializeToString()
        )
        async with postgres.transaction("acme") as connection:
            await Outbox().add(connection, event)
        dead_letter = await made.reached(State.WAITING)
        assert dead_letter.event_id == "e"


async def test_over_valkey_what_failed_is_applied_once(
    database: Database, temporal_settings: TemporalSettings, valkey: Redis
) -> None:
    async with Postgres.open(await database("provenance", pool_max=8)) as postgres:
        harness = DeadLetterHarness(postgres, temporal_settings, QUICK)
        harness.bus = ValkeyStreams(valkey, PostgresCursors(postgres), lease_s=2.0)  # type: ignore[assignment]
        async with harness.open() as made, made.workflows():
            made.fault = broken(2, RuntimeError())
            await made.send("hello")
            dead_letter = await made.reached(State.RESOLVED)
            assert (dead_letter.requeues, made.applied) == (2, ["hello"])
