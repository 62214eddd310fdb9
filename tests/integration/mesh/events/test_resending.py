"""What was sent to a bus that has lost its memory is sent again, behind nothing and in front of nothing new."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.clock import SystemClock
from mesh.events import outbox_rows
from mesh.events.event import Codec, Event
from mesh.events.kafka import KafkaBus
from mesh.events.memory import MemoryBus
from mesh.events.outbox import Outbox
from mesh.events.relay import Relay
from mesh.events.streams import PostgresCursors, ValkeyStreams
from mesh.stores.postgres import FORCE_INDEX_SCAN, SYSTEM, Postgres
from mesh.testing.contract import eventually, take

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from mesh.events.bus import Bus, Record
    from mesh.settings import BusSettings, PostgresSettings
    from soma_local.testing.engines import Databases
    from tests.conftest import Database

MakeEvent = Callable[..., Event]
TOPIC = "probe.events"
_SENT = """
INSERT INTO outbox (event_id, tenant_id, type, topic, key, occurred_at, payload, schema_version, causation_id,
                    correlation_id, traceparent, sent_at)
SELECT gen_random_uuid(), 'a', 'noted', 'probe.events', 'k' || n / 3, now(), 'old', 1, '', '', '', clock_timestamp()
FROM generate_series(1, $1::integer) AS n
"""

_UNSENT = _SENT.replace(", sent_at)", ")").replace(", clock_timestamp()", "")


@pytest.fixture
def memory_bus() -> Bus:
    return MemoryBus()


@pytest.fixture
def valkey_bus(valkey: Redis, postgres: Postgres) -> Bus:
    return ValkeyStreams(valkey, PostgresCursors(postgres))


@pytest.fixture
async def kafka_bus(kafka: BusSettings) -> AsyncIterator[Bus]:
    async with KafkaBus(kafka, topics=[TOPIC]) as opened:
        yield opened


@pytest.fixture(params=["memory", "valkey", "kafka"])
def bus(request: pytest.FixtureRequest) -> Bus:
    found: Bus = request.getfixturevalue(f"{request.param}_bus")
    return found


class ForgetfulBus(MemoryBus):
    """A bus that loses its memory when the test says so; it takes nothing more until it was asked for its epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.mark = 0
        self.told = 0
        self.sent: list[Record] = []

    async def publish(self, records: Sequence[Record]) -> None:
        if self.told != self.mark:
            raise ConnectionError("lost")
        self.sent += records

    async def epoch(self) -> str:
        self.told = self.mark
        return f"memory {self.mark}"

    def lose(self) -> None:
        self.mark += 1
        self.sent.clear()

    def ids(self) -> set[str]:
        return {record.event_id for record in self.sent}

    def holds(self, count: int) -> bool:
        return len(self.ids()) >= count


async def add(postgres: Postgres, *events: Event) -> None:
    async with postgres.transaction("a") as connection:
        await Outbox().add(connection, *events)


async def sent_to_another_bus(postgres: Postgres, count: int) -> None:
    async with postgres.transaction(SYSTEM) as connection:
        await connection.execute("INSERT INTO outbox_bus (epoch) VALUES ('another bus')")
        await connection.execute(_SENT, count)


async def updates(postgres: Postgres) -> int:
    async with postgres.transaction(SYSTEM) as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
    async with postgres.transaction(SYSTEM) as connection:
        return int(await connection.fetchval("SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'outbox'"))


@pytest.mark.parametrize("count", [5_000, pytest.param(200_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
async def test_a_new_event_is_sent_before_all_old_ones_were_sent_again(
    postgres: Postgres, bus: Bus, codec: Codec, event: MakeEvent, count: int
) -> None:
    await sent_to_another_bus(postgres, count)
    await add(postgres, event("fresh", b"new"))
    async with bus.subscribe("g", [TOPIC]) as subscription, Relay(postgres, bus, codec, SystemClock()):
        deliveries = await take(subscription, count + 1, within_s=600.0)
    payloads = [codec.decode(delivery.value).payload for delivery in deliveries]
    assert payloads.index(b"new") < count / 2
    assert payloads.count(b"old") == len({delivery.event_id for delivery in deliveries}) - 1 == count


async def test_sending_again_updates_no_row(postgres: Postgres, codec: Codec) -> None:
    bus = ForgetfulBus()
    await sent_to_another_bus(postgres, 2_000)
    before = await updates(postgres)
    async with Relay(postgres, bus, codec, SystemClock()):
        await eventually(lambda: len(bus.sent) == 2_000)
    assert await updates(postgres) == before


@pytest.mark.parametrize("seed", range(5))
async def test_events_of_a_key_keep_their_order_through_losses(
    postgres: Postgres, codec: Codec, event: MakeEvent, seed: int
) -> None:
    draw = random.Random(seed)
    bus = ForgetfulBus()
    every: list[Event] = []
    async with Relay(postgres, bus, codec, SystemClock(), batch=3, poll_s=0.01):
        for _ in range(6):
            fresh = [event(draw.choice("abcdef"), str(len(every) + n).encode()) for n in range(draw.randint(1, 20))]
            every += fresh
            if draw.random() < 0.5:
                bus.lose()
            await add(postgres, *fresh)
            await eventually(partial(bus.holds, draw.randint(0, len(every))))
        bus.lose()
        await eventually(lambda: bus.ids() == {each.event_id for each in every})
    first: defaultdict[str, list[str]] = defaultdict(list)
    for record in bus.sent:
        if record.event_id not in first[record.key]:
            first[record.key].append(record.event_id)
    assert set(first) == {each.key for each in every}
    for key, ids in first.items():
        assert ids == [each.event_id for each in every if each.key == key]


async def test_a_new_event_waits_for_those_of_its_key(postgres: Postgres, codec: Codec, event: MakeEvent) -> None:
    bus = ForgetfulBus()
    await sent_to_another_bus(postgres, 900)
    await add(postgres, event("k299", b"new"), event("k150", b"new"))
    async with Relay(postgres, bus, codec, SystemClock(), batch=10):
        await eventually(lambda: sum(codec.decode(each.value).payload == b"new" for each in bus.sent) == 2)
        seen = {
            key: [codec.decode(each.value).payload for each in bus.sent if each.key == key] for key in ("k299", "k150")
        }
    assert seen == {"k299": [b"old"] * 3 + [b"new"], "k150": [b"old"] * 3 + [b"new"]}


async def test_the_next_relay_goes_on_where_one_was_ended(postgres: Postgres, codec: Codec) -> None:
    bus = ForgetfulBus()
    await sent_to_another_bus(postgres, 900)
    async with Relay(postgres, bus, codec, SystemClock(), batch=10):
        await eventually(lambda: bool(bus.sent))
    async with Relay(postgres, bus, codec, SystemClock(), batch=10):
        await eventually(lambda: len(bus.sent) == 900)
    assert len(bus.ids()) == 900


async def test_a_loss_while_sending_again_begins_anew(postgres: Postgres, codec: Codec) -> None:
    bus = ForgetfulBus()
    await sent_to_another_bus(postgres, 900)
    async with Relay(postgres, bus, codec, SystemClock(), batch=10, poll_s=0.0):
        await eventually(lambda: bool(bus.sent))
        bus.lose()
        await eventually(lambda: len(bus.ids()) == 900)


@pytest.mark.parametrize("analyzed", [False, True])
async def test_no_statement_reads_the_table_as_it_grows(
    database: Database, databases: Databases, analyzed: bool
) -> None:
    settings: PostgresSettings = await database("probe")
    async with Postgres.open(settings) as postgres:
        await sent_to_another_bus(postgres, 100_000)
    connection = await asyncpg.connect(databases.owner_dsn(settings))
    try:
        if analyzed:
            await connection.execute("VACUUM ANALYZE probe.outbox")
        await connection.execute("SET search_path = probe; SET soma.tenant_id = '*'; SET ROLE probe; BEGIN")
        await connection.execute(FORCE_INDEX_SCAN)
        for name, values in {
            "UNSENT": (500,),
            "UNSENT_UNBLOCKED": (500, 1, 50_000, 100_000),
            "BLOCKING": (500, 1, 50_000, 100_000),
            "TO_RESEND": (500, 1, 50_000, 100_000),
            "OLDEST": (),
            "DELETE_SENT": ("'24 h'", 500),
        }.items():
            read = await rows_read(connection, getattr(outbox_rows, name), *values)
            assert read <= 1_500, name
    finally:
        await connection.close()


async def rows_read(connection: asyncpg.Connection, query: str, *values: object) -> int:
    """The rows that a statement takes from tables and indexes, those that it passes over included."""
    for number, value in enumerate(values, 1):
        query = query.replace(f"${number}", str(value))
    plan = json.loads(await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}"))
    return scanned(plan[0]["Plan"])


def scanned(node: dict[str, object]) -> int:
    below = node.get("Plans", [])
    assert isinstance(below, list)
    read = sum(scanned(child) for child in below)
    if "Relation Name" not in node or "Scan" not in str(node["Node Type"]):
        return read
    loops, rows = int(str(node["Actual Loops"])), float(str(node["Actual Rows"]))
    removed = float(str(node.get("Rows Removed by Filter", 0)))
    return read + round(loops * (rows + removed))
