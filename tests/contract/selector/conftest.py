"""The ledgers that keep the same promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.events.outbox import Outbox
from mesh.ids import SystemIds
from mesh.stores.postgres import Postgres
from mesh.testing import FakeClock
from mesh.testing.audit import auditor
from soma.events.v1.audit_pb2 import AuditRecorded
from svc_selector.adapters.memory import MemoryDecisions, MemoryLedger
from svc_selector.adapters.postgres import PostgresDecisions, PostgresLedger
from svc_selector.rpc import SelectionFacts
from tests.contract.selector.books import LIMIT, Books

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mesh.settings import PostgresSettings


@pytest.fixture
async def postgres_books(database: Callable[[str], Awaitable[PostgresSettings]]) -> AsyncIterator[Books]:
    async with Postgres.open(await database("selector")) as postgres:
        clock = FakeClock()
        audits = auditor("selector", AuditRecorded)
        decisions = PostgresDecisions(postgres, Outbox(), audits, SelectionFacts())
        ledger = PostgresLedger(
            postgres, decisions, audits, clock=clock, ids=SystemIds(), default_limit_micro_usd=LIMIT
        )
        yield Books(ledger, decisions, clock)


@pytest.fixture
def memory_books() -> Books:
    clock = FakeClock()
    decisions = MemoryDecisions(SelectionFacts().document)
    return Books(MemoryLedger(decisions, clock, SystemIds(), LIMIT), decisions, clock)


@pytest.fixture(params=["memory", "postgres"])
def books(request: pytest.FixtureRequest) -> Books:
    found: Books = request.getfixturevalue(f"{request.param}_books")
    return found
