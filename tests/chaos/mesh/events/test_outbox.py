"""Invariant 9: the outbox loses nothing, and the inbox applies nothing twice.

Eight writers whose transactions commit out of order; a relay and a consumer that are killed again and again; a bus that
is wiped in between.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.events.event import Event
from mesh.events.outbox import Outbox
from mesh.ids import SystemIds
from mesh.ids import rng as seeded_rng
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.contract import eventually
from soma_local.testing.processes import killed_with_parent
from tests.chaos.mesh.events.member import TOPIC, WorkerOptions

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from soma_local.testing.engines import Databases
    from tests.chaos.mesh.events.buses import BusUnderTest
    from tests.conftest import Database

ROOT = Path(__file__).parents[4]
SEED = int(os.environ.get("SOMA_SEED", "20260101"))
WRITERS = 8
LATE = 0.1

Act = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Report:
    """What was done, and what became of the rows."""

    seed: int
    rows: int
    late_commits: int
    kills: int
    wipes: int
    missed: int
    twice: int
    out_of_order: int
    dead_lettered: int

    @property
    def flaws(self) -> dict[str, int]:
        """What must not be."""
        found = {name: getattr(self, name) for name in ("missed", "twice", "out_of_order", "dead_lettered")}
        return {name: count for name, count in found.items() if count}


@dataclass
class EventRun:
    """Writers here, a relay and a consumer in processes of their own."""

    postgres: Postgres
    dsn: str
    line: BusUnderTest
    rows: int
    late: int = 0
    kills: int = 0
    wipes: int = 0
    ids: SystemIds = field(default_factory=SystemIds)
    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    async def start(self, role: str) -> None:
        """Start a process."""
        options = WorkerOptions(role, self.dsn, self.line.kind, self.line.where)
        self.running[role] = await asyncio.create_subprocess_exec(
            *killed_with_parent(sys.executable, "-m", "tests.chaos.mesh.events.member", json.dumps(asdict(options))),
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    async def kill(self, role: str) -> None:
        """End a process as if the power went out."""
        process = self.running.pop(role)
        assert process.returncode is None, f"the {role} ended by itself"
        process.send_signal(signal.SIGKILL)
        await process.wait()
        self.kills += 1

    async def replace(self, role: str) -> None:
        """Kill a process and start another."""
        await self.kill(role)
        await self.start(role)

    async def write(self, writer: int) -> None:
        """One writer's rows, one a transaction; some keep their transaction open while others commit."""
        random_source = seeded_rng(SEED + writer)
        for number in range(self.rows // WRITERS):
            late = random_source.random() < LATE
            self.late += late
            await self.write_one(f"{writer}/{number}", random_source.uniform(0.0, 0.03) if late else 0.0)

    async def write_one(self, payload: str, open_s: float = 0.0) -> None:
        """One event, whose row has its number while the transaction stays open."""
        event = Event(
            self.ids.new(), "noted", TOPIC, payload.partition("/")[0], "a", datetime(2026, 1, 1, tzinfo=UTC),
            payload.encode(),
        )  # fmt: skip
        async with self.postgres.transaction("a") as connection:
            await Outbox().add(connection, event)
            await asyncio.sleep(open_s)

    async def value(self, query: str) -> int:
        """A number from the database."""
        async with self.postgres.transaction(SYSTEM) as connection:
            return int(await connection.fetchval(query))

    async def applied(self, rows: int) -> bool:
        """Whether so many events were applied."""
        return await self.value("SELECT count(*) FROM inbox") >= rows

    async def settled(self) -> bool:
        """Whether the relay sees nothing more to send, and all that it sent was applied."""
        if "naive" in self.running:
            unseen = await self.value("SELECT count(*) FROM outbox WHERE id > (SELECT last FROM naive_cursor)")
        else:
            unseen = await self.value("SELECT count(*) FROM outbox WHERE sent_at IS NULL")
        sent = await self.value("SELECT count(*) FROM outbox WHERE sent_at IS NOT NULL")
        return unseen == 0 and await self.applied(sent)

    async def run(self, relay: str, *acts: Act) -> Report:
        """Write all rows, do the acts spread evenly over the time, and look at the outcome."""
        timeout_s = 60 + self.rows / 50
        await self.start("consumer")
        await self.start(relay)
        await self.write_one("first")
        await eventually(partial(self.applied, 1), within_s=timeout_s)  # both look on while rows commit
        async with asyncio.TaskGroup() as group:
            for writer in range(WRITERS):
                group.create_task(self.write(writer))
            for number, act in enumerate(acts, 1):
                due = self.rows * number // (len(acts) + 2)
                await eventually(partial(self.applied, due), within_s=timeout_s)
                await act()
        await eventually(self.settled, within_s=timeout_s)
        report = await self.report()
        print(report)  # noqa: T201 - to be repeated
        return report

    async def report(self) -> Report:
        """What became of the rows."""
        async with self.postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch("SELECT payload FROM applied WHERE payload <> 'first' ORDER BY number")
        applied = [row["payload"] for row in rows]
        disorder = 0
        for writer in range(WRITERS):
            numbers = [int(each.partition("/")[2]) for each in applied if each.startswith(f"{writer}/")]
            disorder += sum(later < earlier for earlier, later in itertools.pairwise(numbers))
        return Report(
            seed=SEED, rows=self.rows, late_commits=self.late, kills=self.kills, wipes=self.wipes,
            missed=self.rows - len(set(applied)), twice=len(applied) - len(set(applied)), out_of_order=disorder,
            dead_lettered=await self.value("SELECT count(*) FROM outbox WHERE topic = 'dlq.events'"),
        )  # fmt: skip


MakeEventRun = Callable[["BusUnderTest", int], Awaitable[EventRun]]


@pytest.fixture
async def make(database: Database, databases: Databases) -> AsyncIterator[MakeEventRun]:
    settings = await database("probe", pool_max=WRITERS + 2)
    owner = await asyncpg.connect(databases.owner_dsn(settings))
    await owner.execute("""
        CREATE TABLE probe.applied (number bigserial, payload text);
        CREATE TABLE probe.naive_cursor AS SELECT 0::bigint AS last;
        GRANT ALL ON ALL TABLES IN SCHEMA probe TO probe;
        GRANT ALL ON ALL SEQUENCES IN SCHEMA probe TO probe;
    """)
    await owner.close()
    made: list[EventRun] = []
    async with Postgres.open(settings) as postgres:

        async def event_run(line: BusUnderTest, rows: int) -> EventRun:
            made.append(EventRun(postgres, settings.dsn.get_secret_value(), line, rows))
            return made[-1]

        yield event_run
        for process in (process for event_run in made for process in event_run.running.values()):
            process.kill()
            await process.wait()


async def test_killed_relays_lose_nothing_and_nothing_is_applied_twice(make: MakeEventRun, line: BusUnderTest) -> None:
    event_run = await make(line, 1_600)
    report = await event_run.run("relay", *[partial(event_run.replace, "relay")] * 2)
    assert report.late_commits > 100
    assert report.kills == 2
    assert report.flaws == {}


async def test_a_killed_consumer_applies_nothing_twice(make: MakeEventRun, valkey_line: BusUnderTest) -> None:
    event_run = await make(valkey_line, 1_200)
    report = await event_run.run("relay", *[partial(event_run.replace, "consumer")] * 2)
    assert report.flaws == {}


async def test_a_wiped_valkey_loses_nothing(make: MakeEventRun, valkey_line: BusUnderTest, valkey: Redis) -> None:
    event_run = await make(valkey_line, 1_200)

    async def wipe() -> None:
        await valkey.flushall()
        event_run.wipes += 1

    report = await event_run.run("relay", wipe, wipe)
    assert report.wipes == 2
    assert report.flaws == {}


async def test_a_relay_that_remembers_the_last_id_is_caught(make: MakeEventRun, line: BusUnderTest) -> None:
    event_run = await make(line, 800)
    report = await event_run.run("naive")
    assert "missed" in report.flaws


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_nothing_is_lost_and_nothing_applied_twice_in_the_long_run(
    make: MakeEventRun, line: BusUnderTest
) -> None:
    event_run = await make(line, 50_000)
    acts = [partial(event_run.replace, role) for role in ("relay", "relay", "consumer")]
    report = await event_run.run("relay", *acts * 10)
    assert report.kills == 30
    assert report.flaws == {}


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_a_valkey_that_is_wiped_again_and_again_loses_nothing(
    make: MakeEventRun, valkey_line: BusUnderTest, valkey: Redis
) -> None:
    event_run = await make(valkey_line, 20_000)

    async def wipe() -> None:
        await valkey.flushall()
        event_run.wipes += 1

    acts: list[Act] = [wipe, partial(event_run.replace, "relay"), partial(event_run.replace, "consumer")]
    report = await event_run.run("relay", *acts * 5)
    assert (report.wipes, report.kills) == (5, 10)
    assert report.flaws == {}
