"""A process that spends budgets of many tenants at once until it is killed, through the real ledger on Postgres."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from mesh.clock import SystemClock
from mesh.ids import SystemIds, rng
from mesh.settings import PostgresSettings
from mesh.stores.postgres import Postgres
from mesh.testing.audit import auditor
from svc_selector.adapters.postgres import PostgresLedger
from svc_selector.adapters.postgres import ledger as adapter
from svc_selector.domain.budget import CallCharge
from tests.contract.selector.harness import decision_store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import TextIO

    import asyncpg

ATTEMPTS_PER_TENANT = 64
AMOUNT = 100
LIMIT = 10 * AMOUNT
MODALITIES = ("image", "video")


@dataclass(frozen=True)
class WorkerOptions:
    """What a spender is told, as JSON in its first argument. It makes the attempts `first`, `first + stride`, …

    `unlocked` plants the bug that the test must catch.
    """

    dsn: str
    log: str
    seed: int
    first: int
    stride: int
    attempts: int
    ttl_s: float
    at_once: int
    unlocked: bool = False


class UnlockedLedger(PostgresLedger):
    """The planted bug: looks at the accounts before it locks them. The locks stay, or bookings would deadlock."""

    async def _lock_accounts(
        self, connection: asyncpg.Connection, tenant_id: str, modality: str, period: datetime
    ) -> Mapping[str, int]:
        query = adapter._LOCK_ACCOUNTS.replace("FOR UPDATE OF a", "")
        rows = await connection.fetch(query, tenant_id, ["", modality], period)
        await asyncio.sleep(0.01)
        await super()._lock_accounts(connection, tenant_id, modality, period)
        spent = sum(row["reserved_micro_usd"] + row["settled_micro_usd"] for row in rows if row["scope"] == "")
        return {"": LIMIT - spent}


class Spender:
    """Reserves, waits as long as a call would take, and settles, releases or forgets. Notes every attempt."""

    def __init__(self, ledger: PostgresLedger, options: WorkerOptions, log: TextIO) -> None:
        self._ledger = ledger
        self._options = options
        self._log = log
        self._random_source = rng(options.seed)
        self._slots = asyncio.Semaphore(options.at_once)

    async def run(self) -> None:
        """Make all attempts."""
        options = self._options
        async with asyncio.TaskGroup() as group:
            for number in range(options.first, options.attempts, options.stride):
                await self._slots.acquire()
                group.create_task(self._attempt(number))

    async def _attempt(self, number: int) -> None:
        try:
            tenant = f"tenant-{number // ATTEMPTS_PER_TENANT}"
            self._note(number, "tried", "")
            ttl = timedelta(seconds=self._options.ttl_s)
            held = await self._ledger.reserve(tenant, self._random_source.choice(MODALITIES), AMOUNT, ttl, None)
            if held is None:
                self._note(number, "refused", "")
                return
            self._note(number, "held", held.reservation_id)
            await asyncio.sleep(self._random_source.uniform(0.0, 0.05))
            await self._finish(number, tenant, held.reservation_id)
        finally:
            self._slots.release()

    async def _finish(self, number: int, tenant: str, reservation_id: str) -> None:
        draw = self._random_source.random()
        if draw < 0.4:
            await self._ledger.release(tenant, reservation_id)
            self._note(number, "released", reservation_id)
        elif draw < 0.5:
            self._note(number, "forgotten", reservation_id)
        else:
            cost = self._random_source.randrange(AMOUNT * 2)
            charge = CallCharge(cost_micro_usd=cost)
            booked = (await self._ledger.settle(tenant, reservation_id, charge)).settled_micro_usd
            self._note(number, "settled", reservation_id, booked)

    def _note(self, number: int, what: str, reservation_id: str, booked: int = 0) -> None:
        """One line, written at once, so that it outlives the process."""
        self._log.write(f"{number} {what} {reservation_id or '-'} {booked}\n")


async def spend(options: WorkerOptions) -> None:
    """Spend until done or killed."""
    settings = PostgresSettings(dsn=SecretStr(options.dsn), schema_name="selector", pool_max=options.at_once)
    make = UnlockedLedger if options.unlocked else PostgresLedger
    async with Postgres.open(settings) as postgres:
        audits = auditor("selector")
        decisions = decision_store(postgres, audits)
        ledger = make(postgres, decisions, audits, clock=SystemClock(), ids=SystemIds(), default_limit_micro_usd=LIMIT)
        descriptor = os.open(Path(options.log), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        with os.fdopen(descriptor, "w", buffering=1, encoding="utf-8") as log:
            await Spender(ledger, options, log).run()


if __name__ == "__main__":
    asyncio.run(spend(WorkerOptions(**json.loads(sys.argv[1]))))
