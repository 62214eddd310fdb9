"""Units within what the selector accepts, whatever a provider says of them."""

from __future__ import annotations

import math

from soma_providers.port import Usage

NO_USAGE = Usage(calls=0)
"""What an attempt consumed that called nobody, or whose provider did nothing."""

_MAX_CALLS = _MAX_IMAGES = 1_000_000
_MAX_TOKENS = 1_000_000_000
_MAX_SECONDS = 31_622_400.0


def clamp_usage(usage: Usage) -> Usage:
    """Units that are neither negative nor above the bounds of the selector's contract; seconds that are none are 0."""
    seconds = 0.0 if math.isnan(usage.seconds) else min(max(usage.seconds, 0.0), _MAX_SECONDS)
    return Usage(
        calls=_count(usage.calls, _MAX_CALLS),
        input_tokens=_count(usage.input_tokens, _MAX_TOKENS),
        output_tokens=_count(usage.output_tokens, _MAX_TOKENS),
        images=_count(usage.images, _MAX_IMAGES),
        seconds=seconds,
        estimated=usage.estimated,
    )


def _count(value: int, maximum: int) -> int:
    return int(min(max(value, 0), maximum))
