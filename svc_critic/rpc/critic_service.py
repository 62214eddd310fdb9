"""CriticService of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.rpc.access import is_service
from mesh.rpc.paging import page_size, page_token_id
from soma.critic.v1 import critic_service_pb2 as pb
from soma.critic.v1.critic_service_pb2_grpc import CriticServiceServicer
from svc_critic.domain.evaluation import ListQuery
from svc_critic.rpc.convert import evaluation_request_from_proto, evaluation_to_proto

if TYPE_CHECKING:
    import grpc.aio

    from svc_critic.app import Evaluate


class CriticServicer(CriticServiceServicer):
    """Evaluates assets, and reads earlier evaluations."""

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate

    async def Evaluate(self, request: pb.EvaluateRequest, context: grpc.aio.ServicerContext) -> pb.Evaluation:
        """Evaluates an asset."""
        current_caller = caller()
        evaluation_request = await evaluation_request_from_proto(request, current_caller)
        return evaluation_to_proto(
            await self._evaluate(current_caller.tenant_id, evaluation_request, by_service=is_service(current_caller))
        )

    async def GetEvaluation(self, request: pb.GetEvaluationRequest, context: grpc.aio.ServicerContext) -> pb.Evaluation:
        """Reads an evaluation."""
        return evaluation_to_proto(await self._evaluate.get(caller().tenant_id, request.evaluation_id))

    async def ListEvaluations(
        self, request: pb.ListEvaluationsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListEvaluationsResponse:
        """Lists evaluations, newest first."""
        size = page_size(request)
        query = ListQuery(request.asset_id, request.job_id, size + 1, page_token_id(request.page_token))
        evaluations = await self._evaluate.list(caller().tenant_id, query)
        token = evaluations[size - 1].evaluation_id if len(evaluations) > size else ""
        return pb.ListEvaluationsResponse(
            evaluations=map(evaluation_to_proto, evaluations[:size]), next_page_token=token
        )
