"""PlanService."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from soma.executor.v1 import plan_service_pb2_grpc
from svc_executor.domain.compiler import PlanRefusedError
from svc_executor.rpc import convert

if TYPE_CHECKING:
    import grpc.aio
    from google.protobuf import struct_pb2

    from soma.executor.v1 import plan_service_pb2
    from svc_executor.domain.compiler import Compiler


class PlanServicer(plan_service_pb2_grpc.PlanServiceServicer):
    """Checks plans."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler

    async def ValidatePlan(
        self,
        request: plan_service_pb2.ValidatePlanRequest,
        context: grpc.aio.ServicerContext[plan_service_pb2.ValidatePlanRequest, plan_service_pb2.ValidatePlanResponse],
    ) -> plan_service_pb2.ValidatePlanResponse:
        """The order of a plan, or everything wrong with it."""
        return await asyncio.to_thread(self._checked, request.plan)

    def _checked(self, plan: struct_pb2.Struct) -> plan_service_pb2.ValidatePlanResponse:
        try:
            return convert.plan_message(self._compiler.compile(convert.document(plan)))
        except PlanRefusedError as refused:
            return convert.errors_message(refused.errors)
