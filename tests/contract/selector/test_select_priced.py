"""What has a price is reserved, though none of its units is estimated; what has none needs no budget."""

from __future__ import annotations

import pytest

from mesh.errors import Reason, SomaError
from svc_selector.domain.budget import OVERALL
from svc_selector.domain.model import Prices
from tests.contract.selector.serving import TENANT, request, serving
from tests.unit.selector.selecting import D2, candidate

PRICES = (Prices(image=40_000), Prices(second=5), Prices(per_million=Prices(output_token=150_000)))


@pytest.mark.parametrize("prices", PRICES)
async def test_a_priced_capability_without_an_estimate_reserves_a_millionth(prices: Prices) -> None:
    async with serving([candidate("d2@local", prices=prices)]) as selector:
        answer = await selector.stub.Select(request())
        assert (answer.budget.reserved_micro_usd, answer.ranked[0].estimated_cost_micro_usd) == (1, 1)
        assert (await selector.harness.ledger.list_budgets(TENANT))[0].reserved_micro_usd == 1


@pytest.mark.parametrize("prices", PRICES)
async def test_a_priced_capability_without_an_estimate_needs_a_budget(prices: Prices) -> None:
    async with serving([candidate("d2@local", prices=prices)]) as selector:
        await selector.harness.ledger.set_budget(TENANT, OVERALL, 0, "alice")
        with pytest.raises(SomaError) as refused:
            await selector.stub.Select(request())
    assert refused.value.reason is Reason.BUDGET_EXCEEDED


@pytest.mark.parametrize("prices", [Prices(), Prices(per_million=Prices())])
async def test_a_capability_without_prices_needs_no_budget(prices: Prices) -> None:
    async with serving([candidate("d2@local", prices=prices)]) as selector:
        await selector.harness.ledger.set_budget(TENANT, OVERALL, 0, "alice")
        answer = await selector.stub.Select(request())
    assert (answer.ranked[0].capability_id, answer.budget.reservation_id) == (D2.capability_id, "")
