"""A cap is set once for each request id, and a repeat is answered as the first time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.testing import acting_as
from mesh.testing.audit import entries
from soma.common.v1.modality_pb2 import MODALITY_IMAGE
from soma.selector.v1.budget_service_pb2 import Budget, SetBudgetRequest
from svc_selector.adapters.postgres import PostgresDecisionStore
from svc_selector.rpc import BudgetServicer

if TYPE_CHECKING:
    from tests.contract.selector.harness import LedgerHarness


async def set_to(harness: LedgerHarness, limit: int, request_id: str = "r", modality: int = 0) -> Budget:
    budget = Budget(limit_micro_usd=limit, modality=modality)  # type: ignore[arg-type]
    with acting_as():
        request = SetBudgetRequest(budget=budget, request_id=request_id)
        return await BudgetServicer(harness.ledger, timedelta(minutes=15)).SetBudget(request, None)  # type: ignore[arg-type]


async def limit(harness: LedgerHarness) -> int:
    return (await harness.ledger.list_budgets("acme"))[0].limit_micro_usd


async def test_a_repeat_is_answered_as_the_first_time_and_changes_nothing(harness: LedgerHarness) -> None:
    first = await set_to(harness, 100)
    await set_to(harness, 200, "later")
    assert await set_to(harness, 100) == first
    assert await limit(harness) == 200


@pytest.mark.parametrize(("other", "modality"), [(101, 0), (100, MODALITY_IMAGE)])
async def test_another_cap_under_the_same_id_is_a_mismatch(harness: LedgerHarness, other: int, modality: int) -> None:
    await set_to(harness, 100)
    with pytest.raises(SomaError) as refused:
        await set_to(harness, other, modality=modality)
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH
    assert await limit(harness) == 100


async def test_without_an_id_each_call_sets_its_cap(harness: LedgerHarness) -> None:
    for wanted in (100, 200, 100):
        await set_to(harness, wanted, "")
    assert await limit(harness) == 100


async def test_the_same_id_of_another_tenant_is_another_request(harness: LedgerHarness) -> None:
    await set_to(harness, 100)
    await harness.ledger.set_budget("umbrella", "", 7, "bob")
    assert await limit(harness) == 100


async def test_many_at_once_under_one_id_set_one_cap(postgres_harness: LedgerHarness) -> None:
    answers = await asyncio.gather(*(set_to(postgres_harness, 100) for _ in range(8)))
    assert {answer.limit_micro_usd for answer in answers} == {100}
    decisions = postgres_harness.decisions
    assert isinstance(decisions, PostgresDecisionStore)
    assert len(await entries(decisions._postgres)) == 1
