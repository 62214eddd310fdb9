"""From the bus into the state: each event once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.events.bus import Record
from mesh.events.dead_letters import Cause
from mesh.events.event import Codec, Event
from mesh.events.inbox import Consumer, DeadLetter, Handlers, Together
from mesh.events.memory import MemoryBus
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.contract import eventually
from soma.events.v1 import envelope_pb2

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

    async def resolve(self, connection: asyncpg.Connection, group: str, event: Event) -> None:
        await connection.execute("INSERT INTO buried VALUES ($1)", f"{group} resolved {event.dlq_id}")

    @asynccontextmanager
    async def consuming(self, handlers: Handlers | None = None, *, timeout_s: float = 10.0) -> AsyncIterator[Consumer]:
        async with Consumer(
            self.bus, self.postgres, self.codec, "g", [TOPIC],
            {"noted": self.handle} if handlers is None else handlers,
            undertaker=self, clock=Instant(), attempts=3, timeout_s=timeout_s, on_lag=self.lags.append,
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
    assert (letter.event, letter.attempts, letter.cause) == (poison, 3, Cause.FAILED)
    assert letter.detail.startswith("RuntimeError in ")
    assert "bad" not in letter.detail, "what an error says may be what the event said"
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


async def test_a_handler_that_hangs_is_cut_and_the_event_buried(scene: Scene, event: MakeEvent) -> None:
    async def hang(connection: asyncpg.Connection, given: Event) -> None:
        scene.tries[given.payload] += 1
        await connection.execute("SELECT pg_sleep(60)")

    async with scene.consuming({"noted": hang}, timeout_s=0.05):
        await scene.publish(event(payload=b"1"))
        await scene.done(1)
    [letter] = scene.letters
    assert (letter.cause, letter.attempts, scene.tries[b"1"]) == (Cause.TIMEOUT, 3, 3)


async def test_what_policy_refuses_is_buried_at_once(scene: Scene, event: MakeEvent) -> None:
    def refuse(_: Event) -> None:
        raise SomaError(Reason.POLICY_DENIED, "No")

    scene.fault = refuse
    async with scene.consuming():
        await scene.publish(event(payload=b"1"))
        await scene.done(1)
    [letter] = scene.letters
    assert (letter.cause, letter.attempts) == (Cause.POLICY, 1)


async def test_a_payload_that_is_not_what_its_type_says_is_malformed(scene: Scene, event: MakeEvent) -> None:
    async def parse(connection: asyncpg.Connection, given: Event) -> None:
        envelope_pb2.Envelope.FromString(given.payload)

    async with scene.consuming({"noted": parse}):
        await scene.publish(event(payload=b"\xff"))
        await scene.done(1)
    assert [(letter.cause, letter.attempts) for letter in scene.letters] == [(Cause.MALFORMED, 1)]


async def test_an_event_that_no_table_can_hold_is_malformed(scene: Scene, event: MakeEvent) -> None:
    await scene.bus.publish([Record(TOPIC, "k\0", "id\0", scene.codec.encode(event(tenant_id="a\0")))])
    async with scene.consuming():
        await scene.publish(event(payload=b"1"))
        await scene.done(2)
    [letter] = scene.letters
    assert (letter.cause, letter.event_id) == (Cause.MALFORMED, "id\ufffd")


async def test_events_of_many_tenants_share_a_transaction_and_keep_apart(scene: Scene, event: MakeEvent) -> None:
    transactions = set()

    async def handle(connection: asyncpg.Connection, given: Event) -> None:
        transactions.add(await connection.fetchval("SELECT txid_current()"))
        assert await connection.fetchval("SELECT current_setting('soma.tenant_id')") == (given.tenant_id or SYSTEM)
        await scene.handle(connection, given)

    await scene.publish(*(event(f"k{n % 7}", str(n).encode(), tenant_id=("a", "b", "")[n % 3]) for n in range(90)))
    async with scene.consuming({"noted": handle}):
        await scene.done(90)
    rows = [int(row) for row in await scene.rows()]
    assert sorted(rows) == list(range(90))
    assert all(line == sorted(line) for line in ([n for n in rows if n % 7 == key] for key in range(7)))
    assert len(transactions) < 20


async def test_a_failure_takes_nothing_of_its_batch_with_it(scene: Scene, event: MakeEvent) -> None:
    def fail(tried: Event) -> None:
        if tried.payload == b"50":
            raise RuntimeError("bad")

    scene.fault = fail
    await scene.publish(*(event(f"k{n % 10}", str(n).encode()) for n in range(100)))
    async with scene.consuming():
        await scene.done(100)
    assert sorted(map(int, await scene.rows())) == [n for n in range(100) if n != 50]
    assert [letter.attempts for letter in scene.letters] == [3]
    assert scene.tries[b"50"] == 3


async def test_a_handler_of_many_gets_them_in_order_and_each_once(scene: Scene, event: MakeEvent) -> None:
    sizes: list[int] = []

    async def handle(connection: asyncpg.Connection, given: Sequence[Event]) -> None:
        sizes.append(len(given))
        for each in given:
            await scene.handle(connection, each)

    events = [event("k", str(n).encode()) for n in range(50)]
    await scene.publish(*events)
    await scene.bus.publish([Record(TOPIC, "k", f"again-{n}", scene.codec.encode(e)) for n, e in enumerate(events)])
    async with scene.consuming({"noted": Together(handle)}):
        await scene.done(50)
        await eventually(lambda: scene.lags[-1:] == [0])
    assert await scene.rows() == [str(n).encode() for n in range(50)]
    assert max(sizes) > 1


async def test_a_handler_of_many_that_fails_is_given_one_at_a_time(scene: Scene, event: MakeEvent) -> None:
    async def handle(connection: asyncpg.Connection, given: Sequence[Event]) -> None:
        for each in given:
            await scene.handle(connection, each)
        if any(each.payload == b"7" for each in given):
            raise RuntimeError("bad")

    await scene.publish(*(event(f"k{n}", str(n).encode()) for n in range(20)))
    async with scene.consuming({"noted": Together(handle)}):
        await scene.done(20)
    assert sorted(map(int, await scene.rows())) == [n for n in range(20) if n != 7]
    assert [letter.event and letter.event.payload for letter in scene.letters] == [b"7"]


async def test_an_event_for_another_group_is_passed_over(scene: Scene, event: MakeEvent) -> None:
    async with scene.consuming():
        await scene.publish(event(payload=b"1", group="other"), event(payload=b"2", group="g"))
        await scene.done(1)
        await eventually(lambda: scene.lags[-1:] == [0])
    assert await scene.rows() == [b"2"]


async def test_an_event_from_a_letter_is_told_once_it_was_applied(scene: Scene, event: MakeEvent) -> None:
    async with scene.consuming():
        await scene.publish(event(payload=b"1", group="g", dlq_id="letter"))
        await scene.done(1)
    async with scene.postgres.transaction(SYSTEM) as connection:
        assert await connection.fetchval("SELECT event_id FROM buried") == "g resolved letter"


async def test_events_that_stand_in_each_others_way_are_applied_all_the_same(scene: Scene, event: MakeEvent) -> None:
    async def handle(connection: asyncpg.Connection, given: Event) -> None:
        for name in given.payload.decode():
            await connection.execute("SELECT pg_advisory_xact_lock(ascii($1))", name)
            await asyncio.sleep(0.002)
        await connection.execute("INSERT INTO applied VALUES ($1, $2)", given.tenant_id, given.payload)

    async with scene.consuming({"noted": handle}):
        for n in range(20):
            await scene.publish(event(f"k{n}", (b"ab", b"ba")[n % 2]))
            await asyncio.sleep(0)
        await scene.done(20)
    assert len(await scene.rows()) == 20
    assert scene.letters == [], "nobody was at fault"


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
