"""Limits of a tenant hold for its private capabilities, whatever its administrator says of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.testing import FakeClock
from svc_registry.app import Catalog, Registry
from svc_registry.domain import Capability, Constraints, CostTier, Kind, Modality, Requester
from svc_registry.rpc.convert import capability_to_proto
from svc_selector.adapters.peers.capabilities import CapabilityReader
from svc_selector.domain import model
from svc_selector.domain.candidate_rules import effective_cost_tier
from svc_selector.domain.model import Candidate, Prices
from svc_selector.domain.permissions import Permissions
from tests.contract.selector.test_select_permissions import codes, select
from tests.in_memory.registry import MemoryStore
from tests.unit.selector.selecting import candidate

OPERATOR, ADMIN = Requester("ops", "root", is_platform=True), Requester("acme", "alice")
GPT = Capability(
    "gpt", "openai", Kind.MODEL, (Modality.DIAGRAM,), ("image_diagram",), adapter="openai_chat",
    endpoint="https://api.openai.com/v1", constraints=Constraints(needs_egress=True),
)  # fmt: skip
CHAT = replace(
    GPT, tool_id="chat", provider="local", constraints=Constraints(), cost_tier=CostTier.FREE,
    data_classifications=("confidential",),
)  # fmt: skip
STRICT = Permissions("pro", classification_floor="confidential")
FREE, LOW, HIGH = model.CostTier.FREE, model.CostTier.LOW, model.CostTier.HIGH


async def registered(endpoint: str) -> Candidate:
    """The candidate of what the tenant's administrator registers with this endpoint."""
    store = MemoryStore()
    async with Catalog(store, store, "epoch").running() as catalog:
        registry = Registry(store, catalog, FakeClock())
        await registry.register(OPERATOR, GPT)
        own = await registry.register(ADMIN, replace(CHAT, endpoint=endpoint))
    [made] = (await CapabilityReader().read([capability_to_proto(own)])).candidates
    return made


@pytest.mark.parametrize("endpoint", ["https://llm.example/v1", ""])
async def test_confidential_data_does_not_go_to_another_host(endpoint: str) -> None:
    assert await codes(STRICT, await registered(endpoint)) == {"chat@local": "CLASSIFICATION_NOT_ALLOWED"}


async def test_confidential_data_goes_to_a_server_on_this_machine() -> None:
    answer = await select(STRICT, await registered("http://127.0.0.1:11434/v1"))
    assert [item.capability_id for item in answer.ranked] == ["chat@local"]


async def test_a_private_capability_costs_no_less_than_its_prices_say() -> None:
    own = candidate("d2@local", owner="acme", cost_tier=FREE, prices=Prices(call=10_001))
    assert await codes(Permissions("pro", max_cost_tier="low"), own) == {"d2@local": "OVER_COST_TIER"}
    assert (await select(Permissions("pro", max_cost_tier="medium"), own)).ranked
    assert (await select(Permissions("pro", max_cost_tier="free"), replace(own, owner=""))).ranked


@pytest.mark.parametrize(
    ("amount", "tier"),
    [(0, "low"), (10_000, "low"), (10_001, "medium"), (100_001, "high"), (1_000_000, "high"), (1_000_001, "premium")],
)
def test_the_tier_of_prices_is_that_of_the_call(amount: int, tier: str) -> None:
    assert (
        effective_cost_tier(candidate("d2@local", owner="acme", cost_tier=FREE, prices=Prices(image=1)), amount) == tier
    )


def test_a_tier_above_that_of_the_prices_or_none_stays() -> None:
    own = candidate("d2@local", owner="acme", cost_tier=HIGH, prices=Prices(call=1))
    assert effective_cost_tier(own, 1) is HIGH
    assert effective_cost_tier(replace(own, cost_tier=model.CostTier.UNSPECIFIED), 1) is model.CostTier.UNSPECIFIED
    assert effective_cost_tier(replace(own, cost_tier=LOW, prices=Prices()), 0) is LOW
