"""Price lists in rows of reservations."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from svc_selector.domain.model import Prices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

_FINER = "per_million"
_UNITS = tuple(each.name for each in fields(Prices) if each.name != _FINER)


def prices_row(prices: Prices) -> dict[str, JsonValue]:
    """The units that have a price, with it; those for a million units under a name of their own."""
    row: dict[str, JsonValue] = {unit: price for unit in _UNITS if (price := getattr(prices, unit))}
    return row if prices.per_million is None else {**row, _FINER: prices_row(prices.per_million)}


def prices_of(row: Mapping[str, JsonValue]) -> Prices:
    """The prices of a row."""
    finer = row.get(_FINER)
    return Prices(
        call=_price(row, "call"),
        image=_price(row, "image"),
        second=_price(row, "second"),
        input_token=_price(row, "input_token"),
        output_token=_price(row, "output_token"),
        per_million=prices_of(finer) if isinstance(finer, dict) else None,
    )


def _price(row: Mapping[str, JsonValue], unit: str) -> int:
    price = row.get(unit)
    return price if isinstance(price, int) else 0
