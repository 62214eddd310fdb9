"""The critic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.json_format import ParseDict

from soma.critic.v1 import critic_service_pb2, critic_service_pb2_grpc, rubric_pb2
from svc_executor.adapters.peers.structs import fields
from svc_executor.domain.peers import Judgement
from svc_executor.domain.provider import Feedback

if TYPE_CHECKING:
    import grpc.aio

    from svc_executor.domain.peers import Trial

_REQUEST_CHARS = 20_000
_LABELS = 500


class CriticPeer:
    """A `Critic` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._critic = critic_service_pb2_grpc.CriticServiceStub(channel)

    async def evaluate(self, trial: Trial) -> Judgement:
        """See the port."""
        answer = await self._critic.Evaluate(_request(trial))
        return Judgement(
            evaluation_id=answer.evaluation_id,
            passes=answer.passes,
            score=answer.score,
            feedback=tuple(
                Feedback(point.dimension, point.code, point.message, fields(point.hint)) for point in answer.feedback
            ),
        )


def _request(trial: Trial) -> critic_service_pb2.EvaluateRequest:
    request = critic_service_pb2.EvaluateRequest(
        asset_id=trial.asset_id,
        context=critic_service_pb2.EvaluationContext(
            request=trial.request[:_REQUEST_CHARS],
            expected_labels=[label[:_LABELS] for label in trial.expected_labels[:_LABELS]],
            job_id=trial.job_id,
            step_id=trial.step_id,
            execution_id=trial.execution_id,
            tool_id=trial.tool_id,
            min_width_px=trial.min_width_px,
        ),
        request_id=trial.request_id,
    )
    if isinstance(trial.rubric, str):
        request.rubric_id = trial.rubric
    else:
        request.rubric.CopyFrom(ParseDict(dict(trial.rubric), rubric_pb2.Rubric()))
    return request
