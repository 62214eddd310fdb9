"""Invariant 9: the outbox loses nothing, and the inbox applies nothing twice.

Four writers whose transactions commit out of order, a relay that is killed again and again, a consumer on the bus.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.clock import SystemClock
from mesh.events.event import Codec, Event
from mesh.events.inbox import Consumer, DeadLetter
from mesh.events.outbox import Outbox
from mesh.events.streams import PostgresCursors, ValkeyStreams
from mesh.ids import SystemIds
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.contract import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from mesh.settings import ValkeySettings
    from mesh.testing.engines import Databases

TOPIC = "probe.events"
ROOT = Path(__file__).parents[3]
WRITERS = 4


@dataclass(frozen=True)
class Report:
    """What became of the rows."""

    seed: int
    written: int
    kills: int
    late_commits: int
    missed: int
    twice: int
    buried: int
    out_of_order: int


class Trial:
    """One run: writers, a relay in a child process, a consumer."""

    def __init__(self, postgres: Postgres, client: Redis, codec: Codec, environ: dict[str, str], seed: int) -> None:
        self._postgres = postgres
        self._client = client
        self._codec = codec
        self._environ = environ
        self._seed = seed
        self._rng = Random(seed)
        self._ids = SystemIds()
        self._late = 0
        self._buried = 0

    async def run(self, kind: str, rows: int, kills: int) -> Report:
        bus = ValkeyStreams(self._client, PostgresCursors(self._postgres))
        consumer = Consumer(
            bus, self._postgres, self._codec, "g", [TOPIC], {"noted": self._apply},
            bury=self._bury, clock=SystemClock(),
        )  # fmt: skip
        patience_s = 30 + rows / 50
        async with consumer, asyncio.TaskGroup() as group:
            await self._write_one("first")
            for kill in range(kills):
                async with self._relay(kind):
                    await eventually(partial(self._sent_at_least, 1))
                    if kill == 0:  # the relay looks on while rows commit
                        for writer in range(WRITERS):
                            group.create_task(self._write(writer, rows // WRITERS))
                    due = rows * (kill + 1) // (kills + 2)
                    await eventually(partial(self._sent_at_least, due), within_s=patience_s)
        async with consumer, self._relay(kind):
            await eventually(partial(self._all_sent, kind), within_s=patience_s)
            await eventually(self._all_consumed, within_s=patience_s)
        report = await self._report(rows, kills)
        sys.stdout.write(f"{report}\n")
        return report

    async def _write(self, writer: int, rows: int) -> None:
        for number in range(rows):
            late = self._rng.random() < 0.1
            self._late += late
            await self._write_one(f"{writer}/{number}", self._rng.uniform(0.0, 0.03) if late else 0.0)

    async def _write_one(self, payload: str, open_s: float = 0.0) -> None:
        """One event; its row has its number while the transaction stays open, and others commit before it."""
        event = Event(
            self._ids.new(), "noted", TOPIC, payload.partition("/")[0], "a", datetime(2026, 1, 1, tzinfo=UTC),
            payload.encode(),
        )  # fmt: skip
        async with self._postgres.transaction("a") as connection:
            await Outbox().add(connection, event)
            await asyncio.sleep(open_s)

    async def _apply(self, connection: asyncpg.Connection, event: Event) -> None:
        await connection.execute("INSERT INTO applied (payload) VALUES ($1)", event.payload.decode())

    async def _bury(self, connection: asyncpg.Connection, letter: DeadLetter) -> None:
        self._buried += 1

    @asynccontextmanager
    async def _relay(self, kind: str) -> AsyncIterator[None]:
        """A relay process that ends as if the power went out."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.mesh.relay_process", kind, cwd=ROOT, env=self._environ
        )
        try:
            yield
            assert process.returncode is None, "the relay ended by itself"
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()

    async def _value(self, query: str) -> int:
        async with self._postgres.transaction(SYSTEM) as connection:
            return int(await connection.fetchval(query))

    async def _sent_at_least(self, rows: int) -> bool:
        return await self._value("SELECT count(*) FROM outbox WHERE sent_at IS NOT NULL") >= rows

    async def _all_sent(self, kind: str) -> bool:
        if kind == "naive":
            return await self._value("SELECT max(id) - (SELECT last FROM naive_cursor) FROM outbox") == 0
        return await self._value("SELECT count(*) FROM outbox WHERE sent_at IS NULL") == 0

    async def _all_consumed(self) -> bool:
        published = 0
        async for stream in self._client.scan_iter(match="soma:bus:*", _type="STREAM"):
            published += await self._client.xlen(stream)
        return await self._value("SELECT count(*) FROM inbox") == published

    async def _report(self, rows: int, kills: int) -> Report:
        async with self._postgres.transaction(SYSTEM) as connection:
            rows_ = await connection.fetch("SELECT payload FROM applied WHERE payload <> 'first' ORDER BY number")
        applied = [row["payload"] for row in rows_]
        disorder = 0
        for writer in range(WRITERS):
            numbers = [int(each.partition("/")[2]) for each in applied if each.startswith(f"{writer}/")]
            disorder += sum(later < earlier for earlier, later in itertools.pairwise(numbers))
        return Report(
            seed=self._seed,
            written=rows, kills=kills, late_commits=self._late, missed=rows - len(set(applied)),
            twice=len(applied) - len(set(applied)), buried=self._buried, out_of_order=disorder,
        )  # fmt: skip


@pytest.fixture
async def trial(
    postgres: Postgres, databases: Databases, valkey: Redis, valkey_settings: ValkeySettings, codec: Codec
) -> Trial:
    owner = await asyncpg.connect(databases.owner_dsn(postgres._settings))
    await owner.execute("""
        CREATE TABLE probe.applied (number bigserial, payload text);
        CREATE TABLE probe.naive_cursor AS SELECT 0::bigint AS last;
        GRANT ALL ON ALL TABLES IN SCHEMA probe TO probe;
        GRANT ALL ON ALL SEQUENCES IN SCHEMA probe TO probe;
    """)
    await owner.close()
    environ = {
        **os.environ,
        "RELAY_DSN": postgres._settings.dsn.get_secret_value(),
        "RELAY_VALKEY": valkey_settings.url.get_secret_value(),
    }
    seed = int(os.environ.get("SOMA_SEED", "20260101"))
    return Trial(postgres, valkey, codec, environ, seed)


async def test_the_outbox_loses_nothing_and_the_inbox_repeats_nothing(trial: Trial) -> None:
    report = await trial.run("real", rows=2_000, kills=4)
    assert report.late_commits > 100
    assert (report.missed, report.twice, report.buried, report.out_of_order) == (0, 0, 0, 0)


async def test_a_relay_that_remembers_the_last_id_is_caught(trial: Trial) -> None:
    report = await trial.run("naive", rows=1_000, kills=1)
    assert report.missed > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_the_outbox_loses_nothing_in_the_long_run(trial: Trial) -> None:
    report = await trial.run("real", rows=50_000, kills=20)
    assert (report.missed, report.twice, report.buried, report.out_of_order) == (0, 0, 0, 0)
