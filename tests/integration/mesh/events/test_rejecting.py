"""Events that are larger than the bus allows are set aside; the others are sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.events.event import Codec, Event
from mesh.events.kafka import KafkaBus
from mesh.events.memory import MemoryBus
from mesh.events.outbox import Outbox
from mesh.events.relay import Relay
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.contract import eventually, take

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.events.bus import Bus, Record
    from mesh.settings import BusSettings

MakeEvent = Callable[..., Event]
TOPIC = "probe.events"
LIMIT = 64 << 10
LARGE = bytes(2 * LIMIT)
PUT_BACK = """
WITH again AS (DELETE FROM outbox_rejected RETURNING *)
INSERT INTO outbox (event_id, tenant_id, type, topic, key, occurred_at, payload, schema_version, causation_id,
                    correlation_id, traceparent, consumer_group, dlq_id)
SELECT event_id, tenant_id, type, topic, key, occurred_at, payload, schema_version, causation_id, correlation_id,
       traceparent, consumer_group, dlq_id FROM again ORDER BY id
"""


class LimitedBus(MemoryBus):
    """A bus that takes at most so many bytes at once."""

    def __init__(self, limit: int = LIMIT, epoch: str = "limited") -> None:
        super().__init__()
        self.limit = limit
        self.sent: list[Record] = []
        self._epoch = epoch

    async def publish(self, records: Sequence[Record]) -> None:
        if sum(len(record.value) for record in records) > self.limit:
            raise SomaError(Reason.PAYLOAD_TOO_LARGE, "too large")
        self.sent += records
        await super().publish(records)

    async def epoch(self) -> str:
        return self._epoch


@pytest.fixture
def memory_bus() -> Bus:
    return LimitedBus()


@pytest.fixture
async def kafka_bus(kafka: BusSettings) -> AsyncIterator[Bus]:
    settings = kafka.model_copy(update={"max_message_bytes": LIMIT})
    async with KafkaBus(settings, topics=[TOPIC]) as opened:
        yield opened


@pytest.fixture(params=["memory", "kafka"])
def bus(request: pytest.FixtureRequest) -> Bus:
    found: Bus = request.getfixturevalue(f"{request.param}_bus")
    return found


async def add(postgres: Postgres, *events: Event) -> None:
    async with postgres.transaction("a") as connection:
        await Outbox().add(connection, *events)


async def ids(postgres: Postgres, query: str) -> list[str]:
    async with postgres.transaction(SYSTEM) as connection:
        return [str(row["event_id"]) for row in await connection.fetch(query)]


async def rejected(postgres: Postgres) -> list[str]:
    return await ids(postgres, "SELECT event_id FROM outbox_rejected ORDER BY id")


async def test_events_behind_one_that_is_too_large_are_sent(
    postgres: Postgres, bus: Bus, codec: Codec, event: MakeEvent, caplog: pytest.LogCaptureFixture
) -> None:
    every = [event("a"), event("b", LARGE), event("b"), event("c", LARGE), event("d")]
    await add(postgres, *every)
    async with bus.subscribe("g", [TOPIC]) as subscription, Relay(postgres, bus, codec, SystemClock()):
        deliveries = await take(subscription, 3)
    assert {each.event_id for each in deliveries} == {every[place].event_id for place in (0, 2, 4)}
    assert await rejected(postgres) == [every[1].event_id, every[3].event_id]
    assert await ids(postgres, "SELECT event_id FROM outbox WHERE sent_at IS NULL") == []
    assert [record.levelname for record in caplog.records if "set it aside" in record.message] == ["ERROR"] * 2


async def test_events_that_are_too_large_together_alone_are_all_sent(
    postgres: Postgres, codec: Codec, event: MakeEvent
) -> None:
    bus = LimitedBus()
    every = [event(str(number), bytes(LIMIT // 2)) for number in range(5)]
    await add(postgres, *every)
    async with Relay(postgres, bus, codec, SystemClock()):
        await eventually(lambda: len(bus.sent) == 5)
    assert await rejected(postgres) == []


@pytest.mark.parametrize("fresh", [(), ("b",)], ids=["in their turn", "ahead of a new one of their key"])
async def test_events_behind_one_that_is_too_large_are_sent_again(
    postgres: Postgres, codec: Codec, event: MakeEvent, fresh: Sequence[str]
) -> None:
    every = [event("a"), event("b", LARGE), event("c")]
    await add(postgres, *every)
    async with Relay(postgres, LimitedBus(10 * LIMIT, "large"), codec, SystemClock()) as relay:
        await relay.flush()
    bus = LimitedBus()
    new = [event(key) for key in fresh]
    await add(postgres, *new)
    async with Relay(postgres, bus, codec, SystemClock()):
        await eventually(lambda: len({record.event_id for record in bus.sent}) == 2 + len(new))
    assert await rejected(postgres) == [every[1].event_id]


async def test_an_event_that_was_set_aside_is_put_back_and_sent(
    postgres: Postgres, codec: Codec, event: MakeEvent
) -> None:
    bus = LimitedBus()
    large = event("a", LARGE)
    await add(postgres, large)
    async with Relay(postgres, bus, codec, SystemClock()) as relay:
        await relay.flush()
        assert await rejected(postgres) == [large.event_id]
        bus.limit = 10 * LIMIT
        async with postgres.transaction(SYSTEM) as connection:
            await connection.execute(PUT_BACK)
        await eventually(lambda: len(bus.sent) == 1)
    assert codec.decode(bus.sent[0].value) == large
    assert await rejected(postgres) == []
