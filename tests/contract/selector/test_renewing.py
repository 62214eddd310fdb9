"""A reservation can be renewed; after it expired only under the cap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from svc_selector.domain.budget import ReservationState
from tests.contract.selector.harness import at_cost
from tests.contract.selector.test_ledger import TTL, spent

if TYPE_CHECKING:
    from tests.contract.selector.harness import LedgerHarness


async def test_a_renewed_reservation_expires_later(harness: LedgerHarness) -> None:
    held = await harness.ledger.reserve("acme", "image", 800, TTL, None)
    assert held is not None
    await harness.clock.advance(TTL.total_seconds() - 1)
    renewed = await harness.ledger.renew("acme", held.reservation_id, TTL)
    assert (renewed.state, renewed.expires_at) == (ReservationState.HELD, harness.clock.now() + TTL)
    await harness.clock.advance(TTL.total_seconds() - 1)
    assert await harness.ledger.expire_reservations() == 0
    assert await spent(harness.ledger) == (800, 0)
    await harness.clock.advance(1)
    assert await harness.ledger.expire_reservations() == 1


async def test_an_expired_reservation_is_reserved_again_only_under_the_cap(harness: LedgerHarness) -> None:
    held = await harness.ledger.reserve("acme", "image", 800, TTL, None)
    assert held is not None
    await harness.clock.advance(TTL.total_seconds())
    await harness.ledger.expire_reservations()
    between = await harness.ledger.reserve("acme", "image", 300, TTL, None)
    assert between is not None
    with pytest.raises(SomaError) as refused:
        await harness.ledger.renew("acme", held.reservation_id, TTL)
    assert refused.value.reason is Reason.BUDGET_EXCEEDED
    await harness.ledger.release("acme", between.reservation_id)
    assert (await harness.ledger.renew("acme", held.reservation_id, TTL)).state is ReservationState.HELD
    assert await spent(harness.ledger) == (800, 0)


async def test_what_was_settled_or_released_is_not_renewed(harness: LedgerHarness) -> None:
    for end in (harness.ledger.release, lambda tenant, id_: harness.ledger.settle(tenant, id_, at_cost(5))):
        held = await harness.ledger.reserve("acme", "image", 100, TTL, None)
        assert held is not None
        await end("acme", held.reservation_id)
        with pytest.raises(SomaError) as refused:
            await harness.ledger.renew("acme", held.reservation_id, TTL)
        assert refused.value.reason is Reason.FAILED_PRECONDITION
    assert await spent(harness.ledger) == (0, 5)


async def test_a_reservation_that_is_renewed_while_it_is_about_to_expire_stays(postgres_harness: LedgerHarness) -> None:
    ledger = postgres_harness.ledger
    held = await ledger.reserve("acme", "image", 800, TTL, None)
    assert held is not None
    await postgres_harness.clock.advance(TTL.total_seconds())
    await ledger.renew("acme", held.reservation_id, TTL)
    await ledger._expire_one("acme", held.reservation_id)  # type: ignore[attr-defined]
    assert await spent(ledger) == (800, 0)
