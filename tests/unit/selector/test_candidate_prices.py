"""Prices as the registry tells them become those that selections are costed by."""

from __future__ import annotations

from soma.registry.v1 import capability_pb2
from svc_selector.adapters.peers import candidate_from_proto
from svc_selector.domain.model import Units
from svc_selector.domain.pricing import greatest_cost_micro_usd


def listed(*prices: capability_pb2.Price) -> capability_pb2.Capability:
    """A capability with a price list."""
    return capability_pb2.Capability(capability_id="m@p", price_list=capability_pb2.PriceList(prices=prices))


def test_a_token_may_cost_less_than_a_millionth_of_a_dollar() -> None:
    price = capability_pb2.Price(unit=capability_pb2.PRICE_UNIT_INPUT_TOKEN, micro_usd_per_million=150_000)
    assert greatest_cost_micro_usd(candidate_from_proto(listed(price)).prices, Units(input_tokens=1_000)) == 150


def test_prices_without_a_finer_part_have_none_to_add_up() -> None:
    price = capability_pb2.Price(unit=capability_pb2.PRICE_UNIT_IMAGE, micro_usd=40_000)
    assert candidate_from_proto(listed(price)).prices.per_million is None
