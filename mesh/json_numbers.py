"""Numbers of JSON that were read as doubles, which is what protobuf's Struct has."""

from __future__ import annotations

MAX_SAFE_INTEGER = 1 << 53
"""The largest integer up to which a double tells all integers apart."""


def int_if_integral(number: float) -> int | float:
    """Returns an integral number below `MAX_SAFE_INTEGER` as int, since JSON has one type for both; others unchanged.

    A double above it says no more as an int, which has up to 1,024 bits: to copy, compare or write one takes
    microseconds.
    """
    return int(number) if number.is_integer() and abs(number) < MAX_SAFE_INTEGER else number
