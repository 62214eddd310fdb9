"""What an invocation costs, and what it may cost at most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from svc_executor.domain.provider import Usage

CALL, IMAGE, SECOND, INPUT_TOKEN, OUTPUT_TOKEN = "call", "image", "second", "input_token", "output_token"


_MILLION = 1_000_000


def cost_micro_usd(prices: Mapping[str, int], finer: Mapping[str, int], usage: Usage) -> int:
    """Price list times usage in millionths of a US dollar, rounded up once.

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
    if not finer:
        return math.ceil(total)
    return -int(-(total * _MILLION + sum(price * units.get(unit, 0) for unit, price in finer.items())) // _MILLION)
