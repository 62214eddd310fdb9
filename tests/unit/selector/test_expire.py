"""Lapsed reservations are freed, though not before those who were kept from renewing them had time to."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from mesh.ids import SystemIds
from mesh.testing import FakeClock
from svc_selector.app.expire import GRACE_S, ReservationExpirer
from svc_selector.rpc import SelectionConverter
from tests.in_memory.selector import MemoryDecisionStore, MemoryLedger

TTL = timedelta(minutes=15)


async def test_reservations_that_expired_during_an_outage_are_freed_after_a_grace() -> None:
    clock = FakeClock()
    ledger = MemoryLedger(MemoryDecisionStore(SelectionConverter().to_bytes), clock, SystemIds(), 1_000)
    assert await ledger.reserve("acme", "image", 800, TTL, None) is not None
    await clock.advance(2 * TTL.total_seconds())
    sweeping = asyncio.create_task(ReservationExpirer(ledger, clock, 5.0).run())
    await clock.sleeper()
    await clock.advance(GRACE_S - 1)
    assert (await ledger.list_budgets("acme"))[0].reserved_micro_usd == 800
    await clock.advance(1)
    assert (await ledger.list_budgets("acme"))[0].reserved_micro_usd == 0
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping
