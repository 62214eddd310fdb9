"""From the bus into the state: each event once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.clock import SystemClock
from mesh.events.bus import Record
from mesh.events.event import Codec, Event
from mesh.events.inbox import Consumer, DeadLetter, Handler
from mesh.events.memory import MemoryBus
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.contract import eventually

if TYPE_CHECKING:
    from mesh.testing.engines import Databases

MakeEvent = Callable[..., Event]
TOPIC = "probe.events"


class Instant(SystemClock):
    """Every pause ends at once."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(0.005)


class Scene:
    """A consumer with what it applied, what it buried and how often it tried."""

    def __init__(self, postgres: Postgres, codec: Codec) -> None:
        self.postgres = postgres
        self.codec = codec
        self.bus = MemoryBus()
        self.applied: list[bytes] = []
        self.tries: Counter[bytes] = Counter()
        self.letters: list[DeadLetter] = []
        self.lags: list[int] = []
        self.fault: Callable[[Event], None] = lambda _: None

    async def handle(self, connection: asyncpg.Connection, event: Event) -> None:
        self.tries[event.payload] += 1
        await connection.execute("INSERT INTO applied VALUES ($1, $2)", event.tenant_id, event.payload)
        self.fault(event)

    async def bury(self, connection: asyncpg.Connection, letter: DeadLetter) -> None:
        await connection.execute("INSERT INTO buried VALUES ($1)", letter.event_id)
        self.letters.append(letter)

    @asynccontextmanager
    async def consuming(self, handlers: dict[str, Handler] | None = None) -> AsyncIterator[Consumer]:
        async with Consumer(
            self.bus, self.postgres, self.codec, "g", [TOPIC],
            {"noted": self.handle} if handlers is None else handlers,
            bury=self.bury, clock=Instant(), attempts=3, on_lag=self.lags.append,
        ) as consumer:  # fmt: skip
            yield consumer

    async def publish(self, *events: Event) -> None:
        await self.bus.publish(
            [Record(event.topic, event.key, event.event_id, self.codec.encode(event)) for event in events]
        )

    async def rows(self) -> list[bytes]:
        async with self.postgres.transaction(SYSTEM) as connection:
            return [row["payload"] for row in await connection.fetch("SELECT payload FROM applied ORDER BY number")]

    async def done(self, count: int) -> None:
        async def reached() -> bool:
            async with self.postgres.transaction(SYSTEM) as connection:
                return int(await connection.fetchval("SELECT count(*) FROM inbox")) >= count

        await eventually(reached)


@pytest.fixture
async def scene(postgres: Postgres, databases: Databases, codec: Codec) -> Scene:
    owner = await asyncpg.connect(databases.owner_dsn(postgres._settings))
    await owner.execute("""
        CREATE TABLE probe.applied (tenant_id text, payload bytea, number bigserial);
        CREATE TABLE probe.buried (event_id text);
        GRANT ALL ON ALL TABLES IN SCHEMA probe TO probe;
        GRANT ALL ON ALL SEQUENCES IN SCHEMA probe TO probe;
        ALTER TABLE probe.applied ENABLE ROW LEVEL SECURITY;
        CREATE POLICY p ON probe.applied USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
    """)
    await owner.close()
    return Scene(postgres, codec)


async def test_an_event_is_applied_as_its_tenant(scene: Scene, event: MakeEvent) -> None:
    async with scene.consuming():
        await scene.publish(event(payload=b"1"), event(payload=b"2", tenant_id="b"))
        await scene.done(2)
    assert sorted(await scene.rows()) == [b"1", b"2"]


async def test_an_event_that_comes_twice_is_applied_once(scene: Scene, event: MakeEvent) -> None:
    sent = event(payload=b"1")
    value = scene.codec.encode(sent)
    async with scene.consuming():
        await scene.bus.publish([Record(TOPIC, "k", f"delivery-{n}", value) for n in range(5)])
        await scene.publish(event(payload=b"2"))
        await scene.done(2)
    assert await scene.rows() == [b"1", b"2"]
    assert scene.tries[b"1"] == 1


async def test_a_failing_event_leaves_no_effect_and_is_tried_again(scene: Scene, event: MakeEvent) -> None:
    def fail_once(tried: Event) -> None:
        if scene.tries[tried.payload] == 1:
            raise RuntimeError("once")

    scene.fault = fail_once
    async with scene.consuming():
        await scene.publish(event(payload=b"1"))
        await scene.done(1)
    assert await scene.rows() == [b"1"]
    assert scene.letters == []


async def test_poison_is_buried_after_bounded_tries_with_its_cause(scene: Scene, event: MakeEvent) -> None:
    def always(tried: Event) -> None:
        raise RuntimeError("bad")

    scene.fault = always
    poison = event(payload=b"1")
    async with scene.consuming():
        await scene.publish(poison)
        await scene.done(1)
    [letter] = scene.letters
    assert (letter.event, letter.attempts, letter.cause) == (poison, 3, "RuntimeError: bad")
    assert await scene.rows() == []
    assert scene.tries[b"1"] == 3


async def test_what_is_no_event_is_buried_at_once(scene: Scene, event: MakeEvent) -> None:
    async with scene.consuming():
        await scene.bus.publish([Record(TOPIC, "k", "not-even-a-uuid", b"\xff\xff")])
        await scene.publish(event(payload=b"1"))
        await scene.done(2)
    [letter] = scene.letters
    assert (letter.event, letter.event_id, letter.value) == (None, "not-even-a-uuid", b"\xff\xff")
    assert await scene.rows() == [b"1"]


async def test_poison_does_not_hold_up_other_keys(scene: Scene, event: MakeEvent) -> None:
    stuck = asyncio.Event()

    async def handle(connection: asyncpg.Connection, given: Event) -> None:
        if given.key == "poison" and scene.tries[b"other"] < 20:
            stuck.set()
            raise RuntimeError("not yet")
        await scene.handle(connection, given)

    async with scene.consuming({"noted": handle}) as consumer:
        consumer._attempts = 10**9
        await scene.publish(event("poison", b"poison"))
        await stuck.wait()
        await scene.publish(*(event(f"k{n}", b"other") for n in range(20)))
        await scene.done(21)
    assert (await scene.rows()).count(b"other") == 20


async def test_order_of_a_key_holds_across_failures(scene: Scene, event: MakeEvent) -> None:
    def fail_some(tried: Event) -> None:
        if int(tried.payload) % 7 == 0 and scene.tries[tried.payload] < 3:
            raise RuntimeError("again")

    scene.fault = fail_some
    async with scene.consuming():
        await scene.publish(*(event("k", str(n).encode()) for n in range(60)))
        await scene.done(60)
    assert await scene.rows() == [str(n).encode() for n in range(60)]


async def test_an_event_nobody_handles_is_passed_over(scene: Scene, event: MakeEvent) -> None:
    async with scene.consuming():
        await scene.publish(event(type="unknown"), event(payload=b"1"))
        await scene.done(1)
    assert await scene.rows() == [b"1"]


async def test_an_outage_of_the_database_is_not_a_try(scene: Scene, event: MakeEvent) -> None:
    async def handle(connection: asyncpg.Connection, given: Event) -> None:
        scene.tries[given.payload] += 1
        if scene.tries[given.payload] < 10:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        await scene.handle(connection, given)

    async with scene.consuming({"noted": handle}):
        await scene.publish(event(payload=b"1"))
        await scene.done(1)
    assert scene.letters == []
    assert await scene.rows() == [b"1"]


async def test_the_end_leaves_a_failing_event_to_the_next_consumer(scene: Scene, event: MakeEvent) -> None:
    def down(_: Event) -> None:
        raise RuntimeError("no")

    scene.fault = down
    async with asyncio.timeout(5):
        async with scene.consuming() as consumer:
            consumer._attempts = 10**9
            await scene.publish(event(payload=b"1"))
            await eventually(lambda: scene.tries[b"1"] > 0)
    scene.fault = lambda _: None
    async with scene.consuming():
        await scene.done(1)
    assert await scene.rows() == [b"1"]


async def test_the_end_waits_for_an_event_in_hand(scene: Scene, event: MakeEvent) -> None:
    begun, finish = asyncio.Event(), asyncio.Event()

    async def slow(connection: asyncpg.Connection, given: Event) -> None:
        begun.set()
        await finish.wait()
        await scene.handle(connection, given)

    async with scene.consuming({"noted": slow}):
        await scene.publish(event(payload=b"1"))
        await begun.wait()
        asyncio.get_running_loop().call_later(0.05, finish.set)
    assert await scene.rows() == [b"1"]


async def test_the_lag_is_reported(scene: Scene, event: MakeEvent) -> None:
    stuck = asyncio.Event()

    async def wait(connection: asyncpg.Connection, given: Event) -> None:
        await stuck.wait()

    async with scene.consuming({"noted": wait}):
        await scene.publish(event(), event())
        await eventually(lambda: scene.lags[-1:] == [2])
        stuck.set()
        await eventually(lambda: scene.lags[-1:] == [0])


async def test_an_event_needs_what_delivery_needs(event: MakeEvent) -> None:
    for name in ("event_id", "type", "topic", "key"):
        with pytest.raises(ValueError, match=name):
            event(**{name: ""})
