"""What becomes of events that a consumer gave up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.events.applying import Applier, ApplyError
from mesh.events.bus import Delivery
from mesh.events.dead_letters import Cause, DeadLetter, DeadLetterPublisher
from mesh.events.outbox import Outbox
from mesh.ids import SystemIds
from mesh.settings.bus import LARGEST_PAYLOAD, LARGEST_RECORD
from mesh.stores.postgres import SYSTEM, Postgres
from soma.events.v1.dead_letter_pb2 import DeadLetterCause, DeadLettered, DeadLetterResolved

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg

    from mesh.events.event import Codec, Event

    MakeEvent = Callable[..., Event]


@pytest.fixture
def kept() -> list[DeadLetter]:
    return []


@pytest.fixture
def dead_letter_sink(kept: list[DeadLetter]) -> DeadLetterPublisher:
    async def keep(connection: asyncpg.Connection, dead_letter: DeadLetter) -> None:
        kept.append(dead_letter)

    return DeadLetterPublisher(Outbox(), ids=SystemIds(), clock=SystemClock(), store_dead_letter=keep)


def dead_letter_of(dead: Event, codec: Codec) -> DeadLetter:
    return DeadLetter("g", dead.topic, dead.key, dead.event_id, codec.encode(dead), dead, Cause.TIMEOUT, "slow", 3)


async def told(postgres: Postgres) -> list[asyncpg.Record]:
    async with postgres.transaction(SYSTEM) as connection:
        return list(await connection.fetch("SELECT * FROM outbox ORDER BY id"))


async def publish(postgres: Postgres, dead_letter_sink: DeadLetterPublisher, dead_letter: DeadLetter) -> None:
    async with postgres.transaction(dead_letter.event.tenant_id if dead_letter.event else SYSTEM) as connection:
        await dead_letter_sink.dead_letter(connection, dead_letter)


async def test_a_dead_letter_is_told_through_the_outbox(
    postgres: Postgres, codec: Codec, event: MakeEvent, dead_letter_sink: DeadLetterPublisher
) -> None:
    dead = event(dlq_id="before", correlation_id="job", traceparent="trace")
    await publish(postgres, dead_letter_sink, dead_letter_of(dead, codec))
    [row] = await told(postgres)
    assert (row["topic"], row["key"], row["tenant_id"], row["type"]) == (
        "dlq.events", dead.key, "a", "soma.events.v1.DeadLettered",
    )  # fmt: skip
    assert (row["causation_id"], row["correlation_id"], row["traceparent"]) == (dead.event_id, "job", "trace")
    assert DeadLettered.FromString(row["payload"]) == DeadLettered(
        group="g", topic=dead.topic, key=dead.key, event_id=dead.event_id, event_type="noted",
        cause=DeadLetterCause.DEAD_LETTER_CAUSE_TIMEOUT, detail="slow", attempts=3, value=codec.encode(dead),
        dlq_id="before",
    )  # fmt: skip


async def test_bytes_that_are_no_event_are_told_too(postgres: Postgres, dead_letter_sink: DeadLetterPublisher) -> None:
    junk = DeadLetter("g", "t", "", "delivery", b"\xff", None, Cause.MALFORMED, "not an event envelope", 1)
    await publish(postgres, dead_letter_sink, junk)
    [row] = await told(postgres)
    assert (row["key"], row["tenant_id"]) == ("delivery", "")
    assert DeadLettered.FromString(row["payload"]).value == b"\xff"


async def test_a_dead_letter_about_a_dead_letter_is_kept_and_told_nobody(
    postgres: Postgres, codec: Codec, event: MakeEvent, dead_letter_sink: DeadLetterPublisher, kept: list[DeadLetter]
) -> None:
    nested = dead_letter_of(event(topic="dlq.events"), codec)
    await publish(postgres, dead_letter_sink, nested)
    assert await told(postgres) == []
    assert kept == [nested]


async def test_the_end_of_a_dead_letter_is_told(
    postgres: Postgres, event: MakeEvent, dead_letter_sink: DeadLetterPublisher
) -> None:
    applied = event(dlq_id="letter", group="g")
    async with postgres.transaction("a") as connection:
        await dead_letter_sink.resolve(connection, "g", applied)
    [row] = await told(postgres)
    assert (row["topic"], row["type"]) == ("dlq.events", "soma.events.v1.DeadLetterResolved")
    resolved = DeadLetterResolved.FromString(row["payload"])
    assert (resolved.dlq_id, resolved.group, resolved.event_id) == ("letter", "g", applied.event_id)


async def test_an_event_is_buried_once(
    postgres: Postgres, codec: Codec, event: MakeEvent, dead_letter_sink: DeadLetterPublisher
) -> None:
    applier = Applier(postgres, codec, "g", {}, dead_letter_sink=dead_letter_sink, timeout_s=20.0)
    dead = event()
    delivery = Delivery(dead.topic, 0, "1", dead.key, dead.event_id, codec.encode(dead))
    for _ in range(2):
        await applier.dead_letter(delivery, dead, ApplyError(Cause.FAILED, "no"), 3)
    assert len(await told(postgres)) == 1


async def test_an_event_that_no_bus_would_carry_is_refused_where_it_arises(
    postgres: Postgres, codec: Codec, event: MakeEvent, dead_letter_sink: DeadLetterPublisher
) -> None:
    largest = event(payload=bytes(LARGEST_PAYLOAD))
    async with postgres.transaction("a") as connection:
        with pytest.raises(ValueError, match="claim"):
            await Outbox().add(connection, replace(largest, payload=bytes(LARGEST_PAYLOAD + 1)))
        await Outbox().add(connection, largest)
        await dead_letter_sink.dead_letter(connection, dead_letter_of(largest, codec))
    _, dead_letter = await told(postgres)
    assert (
        len(codec.encode(replace(largest, topic=dead_letter["topic"], payload=dead_letter["payload"])))
        <= LARGEST_RECORD
    )


def test_causes_have_the_names_of_the_contract() -> None:
    names = {name.removeprefix("DEAD_LETTER_CAUSE_") for name in DeadLetterCause.keys()}  # noqa: SIM118 - no mapping
    assert {cause.value for cause in Cause} == names - {"UNSPECIFIED"}
