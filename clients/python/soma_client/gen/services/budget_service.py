"""Caps of a tenant, and what was reserved and spent of them."""

# Generated from protos/soma/selector/v1/budget_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from soma_client.calls import Caller
from soma_client.gen.soma.selector import v1 as selector_v1


class BudgetServiceMethods:
    """Caps of a tenant, and what was reserved and spent of them."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list(self, *, timeout: float | None = None) -> selector_v1.ListBudgetsResponse:
        """Reads the caps of the caller's tenant for the current month.

        Args:
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = selector_v1.ListBudgetsRequest()
        return await self._caller.unary(
            "/soma.selector.v1.BudgetService/ListBudgets", request, selector_v1.ListBudgetsResponse, timeout
        )

    async def set(
        self, budget: selector_v1.Budget, *, request_id: str = "", timeout: float | None = None
    ) -> selector_v1.Budget:
        """Sets a cap. Lowering it below what is spent denies further calls, it takes nothing back.

        Args:
            budget: The cap. Required.
            request_id: Makes the call idempotent; at most 128 characters.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = selector_v1.SetBudgetRequest(budget=budget, request_id=request_id or self._caller.new_id())
        return await self._caller.unary(
            "/soma.selector.v1.BudgetService/SetBudget", request, selector_v1.Budget, timeout
        )
