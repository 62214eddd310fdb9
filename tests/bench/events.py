"""Events from the outbox over the bus into the state: how many a second, and how long each takes."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import zlib
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg

from mesh.clock import SystemClock
from mesh.events.event import Event
from mesh.events.outbox import Outbox
from mesh.ids import SystemIds
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.contract import eventually
from soma_local import locate
from soma_local.locate import MissingError
from soma_local.testing import engines
from tests.bench.figures import Figure, latencies
from tests.bench.outbox_worker import TOPIC, TYPE, WorkerOptions
from tests.bench.probes import cpu_seconds
from tests.chaos.mesh.events.buses import BusUnderTest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime

    from tests.bench.echo import EchoBaseline
    from tests.bench.rig import Rig

PART = "events"
ROWS, KEYS, AT_ONCE = 30_000, 500, 1_000
RATE, WARM_S, SECONDS, TICK_S = 1_000, 2, 10, 0.01
PAYLOAD = b"x" * 300
TIMEOUT_S = 120
_TABLES = """
CREATE TABLE probe.applied (
    event_id text, occurred_at timestamptz, applied_at timestamptz NOT NULL DEFAULT clock_timestamp());
GRANT ALL ON ALL TABLES IN SCHEMA probe TO probe;
"""


@dataclass(frozen=True)
class DrainResult:
    """What became of a full outbox: events a second, and processor time of relay and consumer per event, in µs."""

    rate: float
    relay_us: float
    consumer_us: float


@dataclass(frozen=True)
class EventPath:
    """A database of its own, and a bus."""

    postgres: Postgres
    dsn: str
    line: BusUnderTest

    @asynccontextmanager
    async def worker_running(self, role: str) -> AsyncIterator[Callable[[], float]]:
        """A relay or consumer; gives what tells its processor time since it began."""
        options = WorkerOptions(role, self.dsn, self.line.kind, self.line.where)
        argv = [sys.executable, "-m", "tests.bench.outbox_worker", json.dumps(asdict(options))]
        child = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
        try:
            if not child.stdout or not await child.stdout.readline():
                raise RuntimeError(f"the {role} did not begin")
            pid, before = child.pid, cpu_seconds(child.pid)
            yield lambda: cpu_seconds(pid) - before
        finally:
            child.terminate()
            await child.wait()

    async def write(self, created_times: Sequence[datetime]) -> None:
        """Events in one transaction."""
        ids = SystemIds()
        named = [(ids.new(), birth) for birth in created_times]
        events = [
            Event(id_, TYPE, TOPIC, f"k{zlib.crc32(id_.encode()) % KEYS}", "a", birth, PAYLOAD) for id_, birth in named
        ]
        async with self.postgres.transaction("a") as connection:
            await Outbox().add(connection, *events)

    async def write_steadily(self, seconds: float) -> datetime:
        """Events at a steady rate, in a transaction every ten milliseconds; gives the birth of the first.

        An event is born when it is due, so one that is written late counts as late.
        """
        start, first, written = time.perf_counter(), SystemClock().now(), 0
        while written < RATE * seconds:
            due = int(min(seconds, time.perf_counter() - start) * RATE)
            if due > written:
                await self.write([first + timedelta(seconds=number / RATE) for number in range(written, due)])
                written = due
            await asyncio.sleep(TICK_S)
        return first

    async def value(self, query: str) -> float:
        """A number from the database."""
        async with self.postgres.transaction(SYSTEM) as connection:
            return float(await connection.fetchval(query) or 0)

    async def arrived(self, count: int) -> None:
        """Wait until so many events were applied."""

        async def enough() -> bool:
            await asyncio.sleep(0.1)  # to ask is work as well
            return await self.value("SELECT count(*) FROM applied") >= count

        await eventually(enough, within_s=TIMEOUT_S)

    async def drain(self, role: str) -> DrainResult:
        """Let rows that are written already pass."""
        for _ in range(ROWS // AT_ONCE):
            await self.write([SystemClock().now()] * AT_ONCE)
        async with self.worker_running(role) as consumer, self.worker_running("relay") as relay:
            await self.arrived(ROWS)
            took = await self.value(
                "SELECT extract(epoch FROM (SELECT max(applied_at) FROM applied) - (SELECT min(sent_at) FROM outbox))"
            )
            return DrainResult(ROWS / took, relay() / ROWS * 1e6, consumer() / ROWS * 1e6)

    async def paced(self) -> list[float]:
        """Seconds from an event's birth, before its transaction, to its effect, at a steady rate."""
        async with self.worker_running("singly"), self.worker_running("relay"):
            await self.write_steadily(WARM_S)
            begun = await self.write_steadily(SECONDS)
            await self.arrived(RATE * (WARM_S + SECONDS))
        query = "SELECT extract(epoch FROM applied_at - occurred_at)::float8 FROM applied WHERE occurred_at >= $1"
        async with self.postgres.transaction(SYSTEM) as connection:
            return [row[0] for row in await connection.fetch(query, begun)]


@asynccontextmanager
async def event_path(databases: engines.Databases, line: BusUnderTest) -> AsyncIterator[EventPath]:
    """A fresh database for a bus."""
    settings = await databases.fresh("probe", pool_max=16)
    owner = await asyncpg.connect(databases.owner_dsn(settings))
    await owner.execute(_TABLES)
    await owner.close()
    async with Postgres.open(settings) as postgres:
        yield EventPath(postgres, settings.dsn.get_secret_value(), line)


async def buses(stack: AsyncExitStack) -> list[BusUnderTest]:
    """The buses there are, started; says which one is not."""
    valkey = await stack.enter_async_context(engines.valkey_engine())
    found = [BusUnderTest("valkey", valkey.url)]
    try:
        jars = locate.kafka_jars().path
    except MissingError as missing:
        print(f"events: Kafka is left out, it cannot be had here: {missing}", file=sys.stderr)
    else:
        kafka = await stack.enter_async_context(engines.kafka_engine(jars))
        found.append(BusUnderTest.kafka(kafka.settings))
    return found


async def figures_of(databases: engines.Databases, line: BusUnderTest, baseline: EchoBaseline) -> list[Figure]:
    """The figures of one bus."""
    figures: list[Figure] = []
    for part, (role, form) in enumerate((("together", "handler of many"), ("singly", "handler of one")), 1):
        async with event_path(databases, line.apart(part)) as made:
            drain = await made.drain(role)
        name, goal = f"{line.kind}, {form}", "≥ 10,000" if role == "together" else ""
        figures += [
            Figure(PART, f"{name}, full outbox", drain.rate, "1/s", drain.rate / baseline.full.rate, goal=goal),
            Figure(PART, f"{name}, processor time of the relay per event", drain.relay_us, "µs"),
            Figure(PART, f"{name}, processor time of the consumer per event", drain.consumer_us, "µs"),
        ]
    async with event_path(databases, line.apart(3)) as made:
        seconds = await made.paced()
    name = f"{line.kind}, birth to effect at {RATE}/s"
    return figures + latencies(PART, name, seconds, baseline.paced.latencies, {0.99: "< 100"})


async def measure(rig: Rig, baseline: EchoBaseline) -> list[Figure]:
    """The figures of each bus, on engines of their own."""
    figures: list[Figure] = []
    async with AsyncExitStack() as stack:
        databases = engines.Databases(await stack.enter_async_context(engines.postgres_engine()))
        for line in await buses(stack):
            figures += await figures_of(databases, line, baseline)
    return figures
