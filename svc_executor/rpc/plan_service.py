"""PlanService."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mesh.context import caller
from soma.executor.v1 import plan_service_pb2_grpc
from svc_executor.app.compile import CompilePlan
from svc_executor.domain.compiler import PlanRefusedError
from svc_executor.rpc import convert

if TYPE_CHECKING:
    import grpc.aio

    from soma.executor.v1 import plan_service_pb2
    from svc_executor.domain.compiler import Compiler


class PlanServicer(plan_service_pb2_grpc.PlanServiceServicer):
    """Checks plans."""

    def __init__(self, compiler: Compiler) -> None:
        self._compile = CompilePlan(compiler)

    async def ValidatePlan(
        self,
        request: plan_service_pb2.ValidatePlanRequest,
        context: grpc.aio.ServicerContext[plan_service_pb2.ValidatePlanRequest, plan_service_pb2.ValidatePlanResponse],
    ) -> plan_service_pb2.ValidatePlanResponse:
        """The order of a plan, or everything wrong with it."""
        document = await asyncio.to_thread(convert.plan_from_proto, request.plan)
        try:
            return convert.plan_to_proto(await self._compile(caller().tenant_id, document))
        except PlanRefusedError as refused:
            return convert.plan_errors_to_proto(refused.errors)
