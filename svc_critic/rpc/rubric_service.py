"""RubricService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.rpc.paging import page_size, page_token_id
from mesh.rpc.request_keys import request_key
from soma.critic.v1 import rubric_pb2 as pb
from soma.critic.v1.rubric_pb2_grpc import RubricServiceServicer
from svc_critic.domain.rubric import DEFAULT_PREFIX
from svc_critic.rpc.convert import rubric_from, rubric_to

if TYPE_CHECKING:
    import grpc.aio

    from svc_critic.app import RubricUseCases


class RubricServicer(RubricServiceServicer):
    """Serves rubrics."""

    def __init__(self, rubrics: RubricUseCases) -> None:
        self._rubrics = rubrics

    async def CreateRubric(self, request: pb.CreateRubricRequest, context: grpc.aio.ServicerContext) -> pb.Rubric:
        """Makes a rubric."""
        made = await self._rubrics.create(caller().tenant_id, rubric_from(request.rubric), await request_key(request))
        return rubric_to(made)

    async def GetRubric(self, request: pb.GetRubricRequest, context: grpc.aio.ServicerContext) -> pb.Rubric:
        """Reads a rubric."""
        return rubric_to(await self._rubrics.get(caller().tenant_id, request.rubric_id))

    async def ListRubrics(
        self, request: pb.ListRubricsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListRubricsResponse:
        """Lists rubrics."""
        size = page_size(request)
        found = await self._rubrics.list(caller().tenant_id, request.asset_type, _place(request.page_token), size + 1)
        token = found[size - 1].rubric_id if len(found) > size else ""
        return pb.ListRubricsResponse(rubrics=map(rubric_to, found[:size]), next_page_token=token)

    async def UpdateRubric(self, request: pb.UpdateRubricRequest, context: grpc.aio.ServicerContext) -> pb.Rubric:
        """Replaces a rubric."""
        rubric, key = rubric_from(request.rubric), await request_key(request)
        return rubric_to(await self._rubrics.update(caller().tenant_id, request.rubric_id, rubric, key))

    async def DeleteRubric(self, request: pb.DeleteRubricRequest, context: grpc.aio.ServicerContext) -> pb.Rubric:
        """Deletes a rubric."""
        return rubric_to(await self._rubrics.delete(caller().tenant_id, request.rubric_id))


def _place(token: str) -> str:
    """The id of the rubric at which the page before ended; INVALID_ARGUMENT for a token that names none."""
    return token if token.startswith(DEFAULT_PREFIX) else page_token_id(token)
