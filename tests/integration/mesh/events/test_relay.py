"""From the outbox to the bus."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.context import RequestContext, use
from mesh.events.event import Codec, Event
from mesh.events.memory import MemoryBus
from mesh.events.outbox import Outbox
from mesh.events.relay import Relay
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.contract import eventually, take

if TYPE_CHECKING:
    from mesh.events.bus import Record

MakeEvent = Callable[..., Event]


class Bus(MemoryBus):
    """A bus whose failures and memory the test controls."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Record] = []
        self.failing = False
        self.mark = "first"

    async def publish(self, records: Sequence[Record]) -> None:
        if self.failing:
            raise ConnectionError("down")
        self.sent += records
        await super().publish(records)

    async def epoch(self) -> str:
        return self.mark

    def has_sent(self, count: int) -> bool:
        return len(self.sent) == count


@pytest.fixture
def bus() -> Bus:
    return Bus()


async def add(postgres: Postgres, *events: Event) -> None:
    for event in events:
        async with postgres.transaction(event.tenant_id or SYSTEM) as connection:
            await Outbox().add(connection, event)


def relay(postgres: Postgres, bus: Bus, codec: Codec, **more: object) -> Relay:
    return Relay(postgres, bus, codec, SystemClock(), **more)  # type: ignore[arg-type]


async def test_an_event_arrives_whole(postgres: Postgres, bus: Bus, codec: Codec, event: MakeEvent) -> None:
    sent = event(
        "k", b"\x00\xff", causation_id="c", correlation_id="o", traceparent="t", schema_version=3, group="g", dlq_id="d"
    )
    async with relay(postgres, bus, codec), bus.subscribe("g", ["probe.events"]) as subscription:
        await add(postgres, sent)
        [delivery] = await take(subscription, 1)
    assert codec.decode(delivery.value) == sent


async def test_a_rolled_back_event_is_never_sent(postgres: Postgres, bus: Bus, codec: Codec, event: MakeEvent) -> None:
    async def fail() -> None:
        async with postgres.transaction("a") as connection:
            await Outbox().add(connection, event())
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await fail()
    async with relay(postgres, bus, codec) as running:
        assert await running.flush() == 0
    assert bus.sent == []


async def test_what_is_left_is_sent_at_start(postgres: Postgres, bus: Bus, codec: Codec, event: MakeEvent) -> None:
    await add(postgres, event(), event())
    async with relay(postgres, bus, codec):
        await eventually(lambda: len(bus.sent) == 2)


async def test_what_is_left_is_sent_at_the_end(postgres: Postgres, bus: Bus, codec: Codec, event: MakeEvent) -> None:
    async with relay(postgres, bus, codec, poll_s=3600.0):
        bus.failing = True
        await add(postgres, event())
        bus.failing = False
    assert len(bus.sent) == 1


async def test_a_commit_wakes_the_relay(postgres: Postgres, bus: Bus, codec: Codec, event: MakeEvent) -> None:
    async with relay(postgres, bus, codec, poll_s=3600.0):
        for count in range(1, 4):
            await add(postgres, event())
            await eventually(partial(bus.has_sent, count))


async def test_it_goes_on_after_the_bus_was_down(postgres: Postgres, bus: Bus, codec: Codec, event: MakeEvent) -> None:
    lags: list[float] = []
    bus.failing = True
    async with relay(postgres, bus, codec, on_lag=lags.append, poll_s=0.05) as running:
        await add(postgres, event())
        await eventually(lambda: running.lag_seconds > 0)
        bus.failing = False
        await eventually(lambda: len(bus.sent) == 1 and running.lag_seconds == 0)
    assert max(lags) > lags[-1] == 0


async def test_events_of_a_key_are_sent_in_order(postgres: Postgres, bus: Bus, codec: Codec, event: MakeEvent) -> None:
    events = [event("same", str(number).encode()) for number in range(300)]
    async with relay(postgres, bus, codec), relay(postgres, bus, codec):
        await add(postgres, *events)
        await eventually(lambda: len(bus.sent) >= 300)
    order = [codec.decode(record.value).payload for record in bus.sent]
    assert order == [each.payload for each in events]


async def test_a_bus_that_lost_its_memory_is_told_again(
    postgres: Postgres, bus: Bus, codec: Codec, event: MakeEvent
) -> None:
    async with relay(postgres, bus, codec) as running:
        await add(postgres, event(), event())
        await eventually(lambda: len(bus.sent) == 2)
        await running.flush()
        assert len(bus.sent) == 2
        bus.mark = "second"
        await eventually(lambda: len(bus.sent) == 4)


async def test_a_tenant_cannot_read_the_events_of_another(postgres: Postgres, event: MakeEvent) -> None:
    await add(postgres, event(), event(tenant_id="b"), event(tenant_id=""))
    async with postgres.transaction("b") as connection:
        assert await connection.fetchval("SELECT count(*) FROM outbox") == 1


async def test_an_event_without_a_trace_gets_the_one_of_the_request(
    postgres: Postgres, bus: Bus, codec: Codec, event: MakeEvent
) -> None:
    with use(RequestContext(None, "r", "t", traceparent="00-trace-span-01")):
        await add(postgres, event())
    async with relay(postgres, bus, codec):
        await eventually(lambda: len(bus.sent) == 1)
    assert codec.decode(bus.sent[0].value).traceparent == "00-trace-span-01"


async def test_a_relay_ends_while_the_bus_hangs(postgres: Postgres, codec: Codec, event: MakeEvent) -> None:
    class Hanging(Bus):
        reached = asyncio.Event()

        async def publish(self, records: Sequence[Record]) -> None:
            self.reached.set()
            await asyncio.Event().wait()

    bus = Hanging()
    await add(postgres, event())
    async with asyncio.timeout(20):
        async with relay(postgres, bus, codec, publish_timeout_s=0.2):
            await bus.reached.wait()
