"""A reservation is booked at the units of its call and the prices of the choice, once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.stores.postgres import SYSTEM
from soma.selector.v1 import budget_service_pb2 as pb
from svc_selector.adapters.postgres import PostgresLedger
from svc_selector.domain.budget import CallCharge, ReservationState
from svc_selector.domain.model import Candidate, Prices, Units
from svc_selector.rpc.convert.budgets import call_charge_from_proto
from tests.contract.selector.harness import LIMIT, LedgerHarness, at_cost
from tests.contract.selector.test_ledger import TTL, decision, spent

if TYPE_CHECKING:
    from svc_selector.domain.decision import BudgetReservation

PRICES = Prices(image=40, per_million=Prices(output_token=2_500_000))
ONE_PICTURE = CallCharge(Units(images=1, output_tokens=4))


async def reserved(harness: LedgerHarness, amount: int = 400) -> BudgetReservation:
    """An amount that is held for a call of a priced capability."""
    chosen = Candidate("painter@p", "painter", "p", ("image",), ("image_photo",), prices=PRICES)
    made = replace(decision(harness.clock), chosen=chosen)
    held = await harness.ledger.reserve("acme", "image", amount, TTL, made)
    assert held is not None
    return held


async def test_units_are_booked_at_the_prices_of_the_choice(harness: LedgerHarness) -> None:
    held = await reserved(harness)
    done = await harness.ledger.settle("acme", held.reservation_id, ONE_PICTURE)
    assert (done.state, done.cost_micro_usd, done.settled_micro_usd) == (ReservationState.SETTLED, 50, 50)
    assert await spent(harness.ledger) == (0, 50)


async def test_a_repeat_is_answered_as_the_first_time(harness: LedgerHarness) -> None:
    held = await reserved(harness)
    first = await harness.ledger.settle("acme", held.reservation_id, ONE_PICTURE)
    for again in (ONE_PICTURE, CallCharge(), at_cost(7)):
        assert await harness.ledger.settle("acme", held.reservation_id, again) == first
    assert await spent(harness.ledger) == (0, 50)


async def test_a_call_of_which_nobody_knows_the_units_is_booked_at_its_reservation(harness: LedgerHarness) -> None:
    held = await reserved(harness)
    done = await harness.ledger.settle("acme", held.reservation_id, CallCharge())
    assert (done.cost_micro_usd, done.settled_micro_usd) == (400, 400)


async def test_a_reservation_without_recorded_prices_is_booked_whole(harness: LedgerHarness) -> None:
    held = await harness.ledger.reserve("acme", "image", 400, TTL, None)
    assert held is not None
    assert (await harness.ledger.settle("acme", held.reservation_id, ONE_PICTURE)).cost_micro_usd == 400


async def test_a_true_cost_is_told_though_the_cap_bears_less_of_it(harness: LedgerHarness) -> None:
    held = await reserved(harness, 900)
    done = await harness.ledger.settle("acme", held.reservation_id, CallCharge(Units(images=100)))
    assert (done.cost_micro_usd, done.settled_micro_usd) == (4_000, LIMIT)


async def test_units_of_an_expired_reservation_are_booked(harness: LedgerHarness) -> None:
    held = await reserved(harness)
    await harness.clock.advance(TTL.total_seconds())
    await harness.ledger.expire_reservations()
    assert (await harness.ledger.settle("acme", held.reservation_id, ONE_PICTURE)).settled_micro_usd == 50


async def test_what_an_earlier_version_settled_is_told_as_it_booked_it(postgres_harness: LedgerHarness) -> None:
    ledger = postgres_harness.ledger
    assert isinstance(ledger, PostgresLedger)
    held = await reserved(postgres_harness)
    async with ledger._postgres.transaction(SYSTEM) as connection:
        await connection.execute(
            "UPDATE reservations SET state = 'settled', settled_micro_usd = 9, prices = NULL WHERE reservation_id = $1",
            held.reservation_id,
        )
    assert (await ledger.settle("acme", held.reservation_id, ONE_PICTURE)).cost_micro_usd == 9


@pytest.mark.parametrize(
    ("request_", "charge"),
    [
        (pb.SettleReservationRequest(usage=pb.Usage(calls=1, seconds=0.5)), CallCharge(Units(calls=1, seconds=0.5))),
        (pb.SettleReservationRequest(usage=pb.Usage()), CallCharge(Units(calls=0))),
        (pb.SettleReservationRequest(usage_unknown=True), CallCharge()),
        (pb.SettleReservationRequest(cost_micro_usd=7), at_cost(7)),
    ],
    ids=["usage", "nothing was used", "unknown", "a cost, as earlier executors send it"],
)
def test_a_settlement_is_said_in_one_of_three_ways(request_: pb.SettleReservationRequest, charge: CallCharge) -> None:
    assert call_charge_from_proto(request_) == charge


@pytest.mark.parametrize(
    "request_",
    [
        pb.SettleReservationRequest(),
        pb.SettleReservationRequest(usage=pb.Usage(calls=1), usage_unknown=True),
        pb.SettleReservationRequest(usage=pb.Usage(calls=1), cost_micro_usd=7),
        pb.SettleReservationRequest(usage_unknown=True, cost_micro_usd=7),
    ],
)
def test_any_other_settlement_is_refused_with_the_names_of_its_fields(request_: pb.SettleReservationRequest) -> None:
    with pytest.raises(SomaError) as refused:
        call_charge_from_proto(request_)
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    assert [each.field for each in refused.value.fields] == ["usage", "usage_unknown", "cost_micro_usd"]
