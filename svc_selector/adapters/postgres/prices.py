"""Prices as reservations store them."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from svc_selector.domain.model import Prices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

_PER_MILLION = "per_million"
_UNITS = tuple(each.name for each in fields(Prices) if each.name != _PER_MILLION)


def prices_to_row(prices: Prices) -> dict[str, JsonValue]:
    """Returns the prices that are not 0, by unit; those for a million units under `per_million`."""
    row: dict[str, JsonValue] = {unit: price for unit in _UNITS if (price := getattr(prices, unit))}
    return row if prices.per_million is None else {**row, _PER_MILLION: prices_to_row(prices.per_million)}


def prices_from_row(row: Mapping[str, JsonValue]) -> Prices:
    """Returns the prices of a row."""
    per_million = row.get(_PER_MILLION)
    return Prices(
        call=_price(row, "call"),
        image=_price(row, "image"),
        second=_price(row, "second"),
        input_token=_price(row, "input_token"),
        output_token=_price(row, "output_token"),
        per_million=prices_from_row(per_million) if isinstance(per_million, dict) else None,
    )


def _price(row: Mapping[str, JsonValue], unit: str) -> int:
    price = row.get(unit)
    return price if isinstance(price, int) else 0
