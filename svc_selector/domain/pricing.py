"""What a call costs: the one place that multiplies prices with units."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from svc_selector.domain.model import Prices, Units

MAX_COST_MICRO_USD = 10**15
"""Most that one call is reserved or booked at, in millionths of a US dollar."""

_MILLION = 1_000_000


def cost_micro_usd(prices: Prices, units: Units) -> int:
    """What these units cost in millionths of a US dollar, rounded up once, at most MAX_COST_MICRO_USD."""
    millionths = _sum(prices, units) * _MILLION
    if prices.per_million is not None:
        millionths += _sum(prices.per_million, units)
    return min(-int(-millionths // _MILLION), MAX_COST_MICRO_USD)


def greatest_cost_micro_usd(prices: Prices, units: Units) -> int:
    """What a call that may consume these units is reserved at: one invocation of them at least.

    At least 1 where any unit has a price: a call of which no priced unit is estimated may cost something all the same.
    """
    return cost_micro_usd(prices, replace(units, calls=max(units.calls, 1))) or int(not prices.free)


def _sum(prices: Prices, units: Units) -> int | Fraction:
    # Exact, so that no amount is lost to rounding and none is too large to be told.
    seconds = int(units.seconds) if units.seconds.is_integer() else Fraction(units.seconds)
    return (
        prices.call * units.calls
        + prices.image * units.images
        + prices.second * seconds
        + prices.input_token * units.input_tokens
        + prices.output_token * units.output_tokens
    )
