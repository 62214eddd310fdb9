"""What units cost: one formula for what is reserved and for what is booked."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ids import SystemIds
from svc_selector.adapters.postgres.prices import prices_from_row, prices_to_row
from svc_selector.domain.budget import CallCharge, Reservation, ReservationState
from svc_selector.domain.model import Prices, Units
from svc_selector.domain.pricing import MAX_COST_MICRO_USD, cost_micro_usd, greatest_cost_micro_usd
from tests.unit.selector.deciding import NOW

amounts = st.integers(0, 10**9)
whole_prices = st.builds(Prices, call=amounts, image=amounts, second=amounts, input_token=amounts, output_token=amounts)
price_lists = st.builds(replace, whole_prices, per_million=st.none() | whole_prices)
units = st.builds(
    Units,
    calls=st.integers(0, 9),
    images=st.integers(0, 10**6),
    seconds=st.floats(0, 31_622_400),
    input_tokens=amounts,
    output_tokens=amounts,
)


def test_units_are_paid_for_by_their_prices() -> None:
    prices = Prices(call=10, image=5, second=4, input_token=1, output_token=2)
    used = Units(calls=2, images=3, seconds=0.5, input_tokens=7, output_tokens=11)
    assert cost_micro_usd(prices, used) == 20 + 15 + 2 + 7 + 22


def test_what_has_no_price_is_free() -> None:
    assert cost_micro_usd(Prices(), Units(images=3)) == greatest_cost_micro_usd(Prices(), Units(images=3)) == 0


def test_what_has_a_price_is_reserved_though_none_of_its_units_is_known() -> None:
    assert greatest_cost_micro_usd(Prices(second=100), Units()) == 1
    assert greatest_cost_micro_usd(Prices(per_million=Prices(second=100)), Units()) == 1


def test_a_call_that_consumed_nothing_costs_nothing() -> None:
    assert cost_micro_usd(Prices(call=7, per_million=Prices(call=5)), Units(calls=0)) == 0


@given(price_lists, units)
def test_a_cost_is_exact_and_rounded_up_once(prices: Prices, used: Units) -> None:
    finer = prices.per_million or Prices()
    counts = (used.calls, used.images, Fraction(used.seconds), used.input_tokens, used.output_tokens)
    exact = sum(
        (whole + Fraction(part, 10**6)) * count
        for whole, part, count in zip(_listed(prices), _listed(finer), counts, strict=True)
    )
    assert cost_micro_usd(prices, used) == min(math.ceil(exact), MAX_COST_MICRO_USD)


@given(price_lists, units, units)
def test_more_units_never_cost_less(prices: Prices, used: Units, more: Units) -> None:
    sums = Units(
        used.calls + more.calls,
        used.images + more.images,
        used.seconds + more.seconds,
        used.input_tokens + more.input_tokens,
        used.output_tokens + more.output_tokens,
    )
    assert cost_micro_usd(prices, used) <= cost_micro_usd(prices, sums)


@given(price_lists, units)
def test_a_call_that_consumes_what_was_estimated_is_booked_at_what_was_reserved(prices: Prices, used: Units) -> None:
    used = replace(used, calls=max(used.calls, 1))
    booked, reserved = cost_micro_usd(prices, used), greatest_cost_micro_usd(prices, used)
    assert reserved == (booked or int(not prices.is_free))


@given(price_lists)
def test_a_price_list_is_read_as_it_was_kept(prices: Prices) -> None:
    assert prices_from_row(prices_to_row(prices)) == prices


@pytest.mark.parametrize(
    ("prices", "charge", "cost"),
    [
        (Prices(image=5), CallCharge(Units(images=3)), 15),
        (Prices(image=5), CallCharge(), 400),
        (Prices(image=5), CallCharge(cost_micro_usd=7), 7),
        (None, CallCharge(Units(images=3)), 400),
    ],
    ids=["units", "unknown", "computed by the caller", "no prices were kept"],
)
def test_a_reservation_is_settled_at(prices: Prices | None, charge: CallCharge, cost: int) -> None:
    reservation = Reservation(SystemIds().new(), ReservationState.HELD, 400, 0, NOW, prices=prices)
    assert charge.cost_of(reservation) == cost


def _listed(prices: Prices) -> tuple[int, ...]:
    return prices.call, prices.image, prices.second, prices.input_token, prices.output_token
