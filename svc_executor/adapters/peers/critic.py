"""The critic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.json_format import ParseDict

from mesh.rpc.wellknown import json_object
from soma.critic.v1 import critic_service_pb2, critic_service_pb2_grpc, rubric_pb2
from soma_providers.port import Feedback
from svc_executor.domain.peers import Evaluation

if TYPE_CHECKING:
    import grpc.aio

    from svc_executor.domain.peers import EvaluationRequest

_REQUEST_CHARS = 20_000
_LABELS = 500


class CriticPeer:
    """A `Critic` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._critic = critic_service_pb2_grpc.CriticServiceStub(channel)

    async def evaluate(self, evaluation_request: EvaluationRequest) -> Evaluation:
        answer = await self._critic.Evaluate(_request(evaluation_request))
        return Evaluation(
            evaluation_id=answer.evaluation_id,
            passes=answer.passes,
            score=answer.score,
            feedback=tuple(
                Feedback(point.dimension, point.code, point.message, json_object(point.hint))
                for point in answer.feedback
            ),
        )


def _request(evaluation_request: EvaluationRequest) -> critic_service_pb2.EvaluateRequest:
    request = critic_service_pb2.EvaluateRequest(
        asset_id=evaluation_request.asset_id,
        context=critic_service_pb2.EvaluationContext(
            request=evaluation_request.request[:_REQUEST_CHARS],
            expected_labels=[label[:_LABELS] for label in evaluation_request.expected_labels[:_LABELS]],
            job_id=evaluation_request.job_id,
            step_id=evaluation_request.step_id,
            execution_id=evaluation_request.execution_id,
            tool_id=evaluation_request.tool_id,
            min_width_px=evaluation_request.min_width_px,
        ),
        request_id=evaluation_request.request_id,
    )
    if isinstance(evaluation_request.rubric, str):
        request.rubric_id = evaluation_request.rubric
    else:
        request.rubric.CopyFrom(ParseDict(dict(evaluation_request.rubric), rubric_pb2.Rubric()))
    return request
