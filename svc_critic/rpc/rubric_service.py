"""RubricService of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.rpc.paging import page_size, page_token_id
from mesh.rpc.request_keys import request_key
from soma.critic.v1 import rubric_pb2 as pb
from soma.critic.v1.rubric_pb2_grpc import RubricServiceServicer
from svc_critic.domain.rubric import DEFAULT_PREFIX
from svc_critic.rpc.convert import rubric_from_proto, rubric_to_proto

if TYPE_CHECKING:
    import grpc.aio

    from svc_critic.app import RubricUseCases


class RubricServicer(RubricServiceServicer):
    """Creates, reads, updates and deletes rubrics."""

    def __init__(self, rubrics: RubricUseCases) -> None:
        self._rubrics = rubrics

    async def CreateRubric(self, request: pb.CreateRubricRequest, context: grpc.aio.ServicerContext) -> pb.Rubric:
        """Creates a rubric."""
        rubric = await self._rubrics.create(
            caller().tenant_id, rubric_from_proto(request.rubric), await request_key(request)
        )
        return rubric_to_proto(rubric)

    async def GetRubric(self, request: pb.GetRubricRequest, context: grpc.aio.ServicerContext) -> pb.Rubric:
        """Reads a rubric."""
        return rubric_to_proto(await self._rubrics.get(caller().tenant_id, request.rubric_id))

    async def ListRubrics(
        self, request: pb.ListRubricsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListRubricsResponse:
        """Lists rubrics."""
        size = page_size(request)
        rubrics = await self._rubrics.list(
            caller().tenant_id, request.asset_type, _last_id(request.page_token), size + 1
        )
        token = rubrics[size - 1].rubric_id if len(rubrics) > size else ""
        return pb.ListRubricsResponse(rubrics=map(rubric_to_proto, rubrics[:size]), next_page_token=token)

    async def UpdateRubric(self, request: pb.UpdateRubricRequest, context: grpc.aio.ServicerContext) -> pb.Rubric:
        """Replaces a rubric."""
        rubric, key = rubric_from_proto(request.rubric), await request_key(request)
        return rubric_to_proto(await self._rubrics.update(caller().tenant_id, request.rubric_id, rubric, key))

    async def DeleteRubric(self, request: pb.DeleteRubricRequest, context: grpc.aio.ServicerContext) -> pb.Rubric:
        """Deletes a rubric."""
        return rubric_to_proto(await self._rubrics.delete(caller().tenant_id, request.rubric_id))


def _last_id(token: str) -> str:
    """Returns the last id of the previous page; INVALID_ARGUMENT for a token that is no id of a rubric."""
    return token if token.startswith(DEFAULT_PREFIX) else page_token_id(token)
