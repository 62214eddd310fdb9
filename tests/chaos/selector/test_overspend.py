"""Invariant 3: settled + reserved never passes a budget, and what crashes leave behind is free after its time.

Processes race for budgets that bear ten of 64 attempts, and are killed between reserving and settling. The accounts
are watched all the while, and compared with the reservations and with what the processes noted.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.ids import SystemIds
from mesh.ids import rng as seeded_rng
from mesh.lifecycle import background
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.audit import auditor
from mesh.testing.contract import eventually
from soma_local.testing.processes import killed_with_parent
from svc_selector.adapters.postgres import PostgresLedger
from svc_selector.app.expire import ReservationExpirer
from tests.chaos.selector.spender import ATTEMPTS_PER_TENANT, LIMIT, WorkerOptions
from tests.contract.selector.harness import decision_store

if TYPE_CHECKING:
    from tests.conftest import Database

ROOT = Path(__file__).parents[3]
SEED = int(os.environ.get("SOMA_SEED", "20261127"))
SPENDERS = 2
AT_ONCE = 32
TTL_S = 3.0
SWEEP_S = 0.2
SWEPT_WITHIN_S = 20.0

# One statement, so that it sees all tables at one moment.
_LOOK = """
SELECT count(*) FILTER (WHERE a.reserved_micro_usd + a.settled_micro_usd > $1) AS overspent,
       count(*) FILTER (WHERE (a.reserved_micro_usd, a.settled_micro_usd) <> (r.held, r.settled)) AS apart,
       coalesce(sum(r.overdue), 0) AS overdue
FROM budget_accounts a
JOIN (SELECT tenant_id,
             coalesce(sum(reserved_micro_usd) FILTER (WHERE state = 'held'), 0) AS held,
             sum(settled_micro_usd) AS settled,
             count(*) FILTER (WHERE state = 'held' AND expires_at < now() - make_interval(secs => $2)) AS overdue
      FROM reservations GROUP BY tenant_id) r USING (tenant_id)
WHERE a.scope = ''
"""


@dataclass
class Race:
    """Spenders on one database, and what was seen of the accounts."""

    postgres: Postgres
    ledger: PostgresLedger
    options: WorkerOptions
    overspent: int = 0
    apart: int = 0
    overdue: int = 0
    looks: int = 0
    kills: int = 0
    running: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)

    def noted(self) -> list[tuple[int, str, str, int]]:
        """What the spenders noted: attempt, what became of it, reservation, amount booked."""
        file = Path(self.options.log)
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(n), what, id_, int(booked)) for n, what, id_, booked in map(str.split, lines)]

    def tried(self) -> int:
        """Attempts begun."""
        return sum(what == "tried" for _, what, _, _ in self.noted())

    async def start(self, lane: int) -> None:
        """Start the spender of a lane where the one before it ended."""
        done = [number for number, what, _, _ in self.noted() if what == "tried" and number % SPENDERS == lane]
        first = max(done, default=lane - SPENDERS) + SPENDERS
        options = replace(self.options, first=first, stride=SPENDERS, seed=self.options.seed + first)
        self.running[lane] = await asyncio.create_subprocess_exec(
            *killed_with_parent(sys.executable, "-m", "tests.chaos.selector.spender", json.dumps(asdict(options))),
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    async def kill(self, lane: int) -> None:
        """As the power going out."""
        process = self.running[lane]
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            self.kills += 1
        await process.wait()

    async def done(self) -> None:
        """Wait until the spenders are through."""
        codes = [await process.wait() for process in self.running.values()]
        assert codes == [0] * SPENDERS

    async def watch(self) -> None:
        """Look at the accounts again and again."""
        while True:
            await self.look()
            await asyncio.sleep(0.02)

    async def look(self) -> None:
        """Look once."""
        async with self.postgres.transaction(SYSTEM) as connection:
            seen = await connection.fetchrow(_LOOK, LIMIT, SWEPT_WITHIN_S)
        self.overspent += seen["overspent"]
        self.apart += seen["apart"]
        self.overdue += seen["overdue"]
        self.looks += 1

    async def states(self) -> Counter[str]:
        """Reservations by state."""
        async with self.postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch("SELECT state, count(*) FROM reservations GROUP BY state")
        return Counter({row["state"]: row["count"] for row in rows})

    async def all_free(self) -> bool:
        """Whether nothing is held any more."""
        async with self.postgres.transaction(SYSTEM) as connection:
            held = await connection.fetchval("SELECT coalesce(sum(reserved_micro_usd), 0) FROM budget_accounts")
        return bool(held == 0)


MakeRace = Callable[..., Awaitable[Race]]


@pytest.fixture
async def race(database: Database, tmp_path: Path) -> AsyncIterator[MakeRace]:
    made: list[Race] = []
    settings = await database("selector", pool_max=4)
    async with Postgres.open(settings) as postgres:

        async def make(attempts: int, *, unlocked: bool = False) -> Race:
            audits = auditor("selector")
            decisions = decision_store(postgres, audits)
            ledger = PostgresLedger(
                postgres, decisions, audits, clock=SystemClock(), ids=SystemIds(), default_limit_micro_usd=LIMIT
            )
            dsn = settings.dsn.get_secret_value()
            options = WorkerOptions(dsn, str(tmp_path / "log"), SEED, 0, SPENDERS, attempts, TTL_S, AT_ONCE, unlocked)
            made.append(Race(postgres, ledger, options))
            return made[-1]

        yield make
        for each in made:
            for process in each.running.values():
                if process.returncode is None:
                    process.kill()
                    await process.wait()


@asynccontextmanager
async def swept_and_watched(race: Race) -> AsyncIterator[None]:
    """The selector frees expired reservations, and the accounts are checked."""
    sweeper = ReservationExpirer(race.ledger, SystemClock(), SWEEP_S, grace_s=0)
    async with background(sweeper.run, "sweeper"):
        watching = asyncio.create_task(race.watch())
        try:
            yield
        finally:
            assert not watching.done(), "somebody looked all the while"
            watching.cancel()


async def run_with_kills(race: Race, kills: int) -> Counter[str]:
    """Run all attempts with kills spread over them, wait until leaks are free, and give the noted outcomes."""
    random_source, attempts = seeded_rng(SEED), race.options.attempts
    async with swept_and_watched(race):
        for lane in range(SPENDERS):
            await race.start(lane)
        for share in sorted(random_source.uniform(0.05, 0.9) for _ in range(kills)):
            wanted = int(share * attempts)
            await eventually(lambda wanted=wanted: race.tried() >= wanted, within_s=600)  # type: ignore[misc]
            lane = random_source.randrange(SPENDERS)
            await race.kill(lane)
            await race.start(lane)
        await race.done()
        await eventually(race.all_free, within_s=TTL_S + SWEPT_WITHIN_S)
    await race.look()
    return Counter(what for _, what, _, _ in race.noted())


async def every_cap_can_be_used_to_its_end(race: Race) -> None:
    """No leak is left: what is not settled can be reserved, and not a cent more."""
    async with race.postgres.transaction(SYSTEM) as connection:
        rows = await connection.fetch("SELECT tenant_id, settled_micro_usd FROM budget_accounts WHERE scope = ''")
    assert len(rows) == -(-race.options.attempts // ATTEMPTS_PER_TENANT)
    for row in rows[:: max(1, len(rows) // 20)]:
        free = LIMIT - row["settled_micro_usd"]
        hour = timedelta(hours=1)
        assert await race.ledger.reserve(row["tenant_id"], "image", free, hour, None) is not None
        assert await race.ledger.reserve(row["tenant_id"], "image", 1, hour, None) is None


async def check(race: Race, kills: int) -> None:
    """Run the workers and kill them, tell what was injected, and hold the ledger to its promise."""
    noted = await run_with_kills(race, kills)
    states = await race.states()
    lost = noted["held"] - noted["released"] - noted["settled"]
    print(f"seed {SEED}: {dict(noted)}, {race.kills} kills, {lost} left open, {dict(states)}, {race.looks} looks")  # noqa: T201 - to be repeated
    assert noted["tried"] >= race.options.attempts
    assert (race.overspent, race.apart, race.overdue) == (0, 0, 0)
    assert race.kills == kills
    assert race.looks > 10
    assert states["held"] == 0
    assert states["expired"] >= noted["forgotten"] > 0, "forgotten reservations expired"
    assert noted["refused"] > noted["held"] / 10, "budgets were fought for"
    await every_cap_can_be_used_to_its_end(race)


async def test_killed_spenders_never_overspend(race: MakeRace) -> None:
    await check(await race(640), kills=2)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_killed_spenders_never_overspend_in_the_long_run(race: MakeRace) -> None:
    await check(await race(10_000), kills=25)


async def test_the_planted_bug_is_caught(race: MakeRace) -> None:
    made = await race(640, unlocked=True)
    for lane in range(SPENDERS):
        await made.start(lane)
    await made.done()
    await made.look()
    assert made.overspent > 0
