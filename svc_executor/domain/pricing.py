"""What an invocation costs, and what it may cost at most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from svc_executor.domain.provider import Usage

CALL, IMAGE, SECOND, INPUT_TOKEN, OUTPUT_TOKEN = "call", "image", "second", "input_token", "output_token"


def cost_micro_usd(prices: Mapping[str, int], usage: Usage) -> int:
    """Price list times usage in millionths of a US dollar, rounded up."""
    units = {
        CALL: usage.calls,
        IMAGE: usage.images,
        SECOND: usage.seconds,
        INPUT_TOKEN: usage.input_tokens,
        OUTPUT_TOKEN: usage.output_tokens,
    }
    return math.ceil(sum(price * units.get(unit, 0) for unit, price in prices.items()))
