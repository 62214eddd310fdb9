"""Numbers of JSON that were read as doubles, which is what protobuf's Struct has."""

from __future__ import annotations

EXACT = 1 << 53
"""The largest integer up to which a double tells all integers apart."""


def whole(number: float) -> int | float:
    """Returns a whole number as int below `EXACT`, as JSON does not tell it from a float; any other as it is.

    A double above it says no more as an int, which has up to 1,024 bits: to copy, compare or write one takes
    microseconds.
    """
    return int(number) if number.is_integer() and abs(number) < EXACT else number
