"""CriticService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.rpc.access import is_service
from mesh.rpc.paging import page_size, page_token_id
from soma.critic.v1 import critic_service_pb2 as pb
from soma.critic.v1.critic_service_pb2_grpc import CriticServiceServicer
from svc_critic.domain.evaluation import Listing
from svc_critic.rpc.convert import evaluation_to, order_from

if TYPE_CHECKING:
    import grpc.aio

    from svc_critic.app import Evaluate


class CriticServicer(CriticServiceServicer):
    """Serves verdicts."""

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate

    async def Evaluate(self, request: pb.EvaluateRequest, context: grpc.aio.ServicerContext) -> pb.Evaluation:
        """Judges an asset."""
        who = caller()
        order = await order_from(request, who)
        return evaluation_to(await self._evaluate(who.tenant_id, order, by_service=is_service(who)))

    async def GetEvaluation(self, request: pb.GetEvaluationRequest, context: grpc.aio.ServicerContext) -> pb.Evaluation:
        """Reads a past verdict."""
        return evaluation_to(await self._evaluate.get(caller().tenant_id, request.evaluation_id))

    async def ListEvaluations(
        self, request: pb.ListEvaluationsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListEvaluationsResponse:
        """Lists past verdicts."""
        size = page_size(request)
        wanted = Listing(request.asset_id, request.job_id, size + 1, page_token_id(request.page_token))
        found = await self._evaluate.list(caller().tenant_id, wanted)
        token = found[size - 1].evaluation_id if len(found) > size else ""
        return pb.ListEvaluationsResponse(evaluations=map(evaluation_to, found[:size]), next_page_token=token)
