"""Checks plans."""

# Generated from protos/soma/executor/v1/plan_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from collections.abc import Mapping

from soma_client.calls import Caller
from soma_client.gen.soma.executor import v1 as executor_v1
from soma_client.structs import to_struct


class PlanServiceMethods:
    """Checks plans."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def validate(
        self, plan: Mapping[str, object], *, timeout: float | None = None
    ) -> executor_v1.ValidatePlanResponse:
        """Compiles a plan without running it: its order and cost, or all of its errors at once.

        Args:
            plan: The plan, a Task-DSL 1.0 document (docs/multimodal/TASK_DSL.md). Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = executor_v1.ValidatePlanRequest(plan=to_struct(plan))
        return await self._caller.unary(
            "/soma.executor.v1.PlanService/ValidatePlan", request, executor_v1.ValidatePlanResponse, timeout
        )
