"""The ledgers that keep the same promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.ids import SystemIds
from mesh.stores.postgres import Postgres
from mesh.testing import FakeClock
from mesh.testing.audit import auditor
from svc_selector.adapters.postgres import PostgresLedger
from svc_selector.rpc import SelectionConverter
from tests.contract.selector.harness import LIMIT, LedgerHarness, decision_store
from tests.in_memory.selector import MemoryDecisionStore, MemoryLedger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mesh.settings import PostgresSettings


@pytest.fixture
async def postgres_harness(database: Callable[[str], Awaitable[PostgresSettings]]) -> AsyncIterator[LedgerHarness]:
    async with Postgres.open(await database("selector")) as postgres:
        clock = FakeClock()
        audits = auditor("selector")
        decisions = decision_store(postgres, audits)
        ledger = PostgresLedger(
            postgres, decisions, audits, clock=clock, ids=SystemIds(), default_limit_micro_usd=LIMIT
        )
        yield LedgerHarness(ledger, decisions, clock)


@pytest.fixture
def memory_harness() -> LedgerHarness:
    clock = FakeClock()
    decisions = MemoryDecisionStore(SelectionConverter().to_bytes)
    return LedgerHarness(MemoryLedger(decisions, clock, SystemIds(), LIMIT), decisions, clock)


@pytest.fixture(params=["memory", "postgres"])
def harness(request: pytest.FixtureRequest) -> LedgerHarness:
    found: LedgerHarness = request.getfixturevalue(f"{request.param}_harness")
    return found
