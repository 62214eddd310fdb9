"""What an invocation costs, and what it may cost at most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from soma_providers.port import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from svc_executor.domain.job import SelectedCapability
    from svc_executor.domain.peers import SelectionRequest

CALL, IMAGE, SECOND, INPUT_TOKEN, OUTPUT_TOKEN = "call", "image", "second", "input_token", "output_token"
MAX_COST_MICRO_USD = 10**15
"""Most that one call is booked at, which is also the most that the selector accepts."""

_MILLION = 1_000_000


def cost_micro_usd(prices: Mapping[str, int], finer: Mapping[str, int], usage: Usage) -> int:
    """Price list times usage in millionths of a US dollar, rounded up once, at most MAX_COST_MICRO_USD.

    `prices` are for one unit in millionths of a US dollar, `finer` are for a million units and come on top.
    """
    units = {
        CALL: usage.calls,
        IMAGE: usage.images,
        SECOND: usage.seconds,
        INPUT_TOKEN: usage.input_tokens,
        OUTPUT_TOKEN: usage.output_tokens,
    }
    total = sum(price * units.get(unit, 0) for unit, price in prices.items())
    cost = math.ceil(total)
    if finer:
        cost = -int(-(total * _MILLION + sum(price * units.get(unit, 0) for unit, price in finer.items())) // _MILLION)
    return min(cost, MAX_COST_MICRO_USD)


def greatest_cost(chosen: SelectedCapability, need: SelectionRequest) -> int:
    """Most that a capability may cost for a need in millionths of a US dollar, as the selector reserves it.

    At least 1 where any unit has a price.
    """
    usage = Usage(1, need.input_tokens, need.output_tokens, need.images, need.duration_s)
    priced = any(chosen.prices.values()) or any(chosen.finer_prices.values())
    return cost_micro_usd(chosen.prices, chosen.finer_prices, usage) or int(priced)
