"""What tenants ask the selector for takes connections of their own share; its own work waits for no tenant."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from mesh.ids import SystemIds
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing import FakeClock
from mesh.testing.audit import auditor
from mesh.testing.contract import eventually
from svc_selector.adapters.postgres import PostgresDecisionStore, PostgresLedger, ledger
from svc_selector.app import Recorder
from tests.contract.selector.harness import LIMIT, decision_store
from tests.contract.selector.test_ledger import TTL, decision
from tests.integration.mesh.stores.test_pool_shares import held

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mesh.settings import PostgresSettings
    from svc_selector.domain.decision import BudgetReservation

CALLS = 260
SHARE = 6
"""Connections that one tenant may hold of the 8 of a pool."""


@dataclass
class Selector:
    """The stores of one process of the selector."""

    settings: PostgresSettings
    postgres: Postgres
    clock: FakeClock
    decisions: PostgresDecisionStore
    ledger: PostgresLedger

    async def reserve(self, tenant: str) -> BudgetReservation | None:
        return await self.ledger.reserve(tenant, "image", 1, TTL, decision(self.clock, tenant=tenant))


@pytest.fixture
async def selector(database: Callable[..., Awaitable[PostgresSettings]]) -> AsyncIterator[Selector]:
    settings, clock = await database("selector", pool_max=8), FakeClock()
    async with Postgres.open(settings) as postgres:
        audits = auditor("selector")
        decisions = decision_store(postgres, audits)
        ledger = PostgresLedger(
            postgres, decisions, audits, clock=clock, ids=SystemIds(), default_limit_micro_usd=LIMIT
        )
        yield Selector(settings, postgres, clock, decisions, ledger)


async def test_reservations_that_wait_for_their_budget_hold_up_no_other_tenant(selector: Selector) -> None:
    """Regression: all tenants' reservations stood in one line, that of the system."""
    await selector.reserve("hostile")
    calls: list[asyncio.Task[BudgetReservation | None]] = []
    try:
        async with Postgres.open(selector.settings) as elsewhere, elsewhere.transaction("hostile") as connection:
            await connection.execute("SELECT FROM budget_accounts FOR UPDATE")
            calls += [asyncio.create_task(selector.reserve("hostile")) for _ in range(CALLS)]
            await eventually(lambda: selector.postgres._slots.waiting == CALLS - SHARE)
            assert await selector.reserve("innocent") is not None
    finally:
        await asyncio.gather(*calls, return_exceptions=True)


async def test_a_decision_that_its_call_waits_for_takes_a_connection_of_its_tenant(selector: Selector) -> None:
    async with held(selector.postgres, *[SYSTEM] * SHARE):
        await Recorder(selector.decisions, selector.clock).record(decision(selector.clock, request_id="r1"))
    assert await selector.decisions.get_by_request("acme", "r1") is not None


async def test_a_reservation_that_cannot_be_freed_holds_up_no_other_tenants(selector: Selector) -> None:
    for tenant in ("hostile", "innocent"):
        await selector.ledger.reserve(tenant, "image", 5, TTL, None)
        await selector.clock.advance(1)
    async with selector.postgres.transaction("hostile") as connection:
        await connection.execute("UPDATE budget_accounts SET reserved_micro_usd = 0")
    await selector.clock.advance(TTL.total_seconds() + 1)
    assert [await selector.ledger.expire_reservations() for _ in range(2)] == [1, 0]
    assert [budget.reserved_micro_usd for budget in await selector.ledger.list_budgets("innocent")] == [0]


async def test_more_reservations_that_cannot_be_freed_than_are_read_at_once_hold_up_no_other(
    selector: Selector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the sweep ended with a page of which none could be freed, and began with the same one again."""
    monkeypatch.setattr(ledger, "EXPIRE_BATCH_SIZE", 2)
    for tenant in (*["hostile"] * 4, "innocent"):
        await selector.ledger.reserve(tenant, "image", 5, TTL, None)
    await selector.clock.advance(1)
    await selector.ledger.reserve("innocent", "image", 5, TTL, None)
    async with selector.postgres.transaction("hostile") as connection:
        await connection.execute("UPDATE budget_accounts SET reserved_micro_usd = 0")
    await selector.clock.advance(TTL.total_seconds() + 1)
    assert [await selector.ledger.expire_reservations() for _ in range(2)] == [2, 0]
    assert [budget.reserved_micro_usd for budget in await selector.ledger.list_budgets("innocent")] == [0]


async def test_batches_of_decisions_and_the_sweep_of_reservations_wait_for_no_tenant(selector: Selector) -> None:
    await selector.ledger.reserve("acme", "image", 1, TTL, None)
    recorder = Recorder(selector.decisions, selector.clock)
    await recorder.record(decision(selector.clock))
    await selector.clock.advance(TTL.total_seconds() + 1)
    async with held(selector.postgres, *["acme"] * SHARE):
        await recorder.flush()
        assert await selector.ledger.expire_reservations() == 1
    assert len(await selector.decisions.list("acme", "", 10, "")) == 1
    assert (await selector.ledger.list_budgets("acme"))[0].reserved_micro_usd == 0
