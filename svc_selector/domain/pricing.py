"""Costs of calls: the only place that multiplies prices by units."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from svc_selector.domain.model import Prices, Units

MAX_COST_MICRO_USD = 10**15
"""Greatest cost of one call, in millionths of a US dollar."""

_MILLION = 1_000_000


def cost_micro_usd(prices: Prices, units: Units) -> int:
    """Returns the cost of these units in millionths of a US dollar, rounded up once, at most MAX_COST_MICRO_USD."""
    millionths = _sum(prices, units) * _MILLION
    if prices.per_million is not None:
        millionths += _sum(prices.per_million, units)
    return min(-int(-millionths // _MILLION), MAX_COST_MICRO_USD)


def greatest_cost_micro_usd(prices: Prices, units: Units) -> int:
    """Returns the amount to reserve for a call that uses at most these units; it counts as one invocation at least.

    At least 1 where any unit has a price: the call may use units that were not estimated.
    """
    return cost_micro_usd(prices, replace(units, calls=max(units.calls, 1))) or int(not prices.is_free)


def _sum(prices: Prices, units: Units) -> int | Fraction:
    # Exact: sums of floats would round, and large ones would overflow.
    seconds = int(units.seconds) if units.seconds.is_integer() else Fraction(units.seconds)
    return (
        prices.call * units.calls
        + prices.image * units.images
        + prices.second * seconds
        + prices.input_token * units.input_tokens
        + prices.output_token * units.output_tokens
    )
