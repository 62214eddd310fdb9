"""Converters between the messages of the contract and the domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.rpc.access import check_job_fields
from mesh.rpc.request_keys import request_key
from mesh.rpc.wellknown import struct, timestamp
from soma.critic.v1 import critic_service_pb2, rubric_pb2
from svc_critic.app import EvaluationRequest
from svc_critic.domain.asset import EvaluationContext
from svc_critic.domain.evaluation import Evaluation, Origin, RubricChoice
from svc_critic.domain.rubric import Criterion, Dimension, Rubric

if TYPE_CHECKING:
    from mesh.context import Caller
    from svc_critic.domain.scoring import CriterionScore, Feedback


async def evaluation_request_from_proto(
    request: critic_service_pb2.EvaluateRequest, caller: Caller
) -> EvaluationRequest:
    """Returns the request of the use case.

    INVALID_ARGUMENT when a caller other than a service names a job: the evaluation appears in the trace of the job.
    """
    context = request.context
    check_job_fields(context, "context", caller)
    return EvaluationRequest(
        asset_id=request.asset_id,
        rubric=RubricChoice(
            rubric_from_proto(request.rubric) if request.HasField("rubric") else None, request.rubric_id
        ),
        context=EvaluationContext(context.request, tuple(context.expected_labels), context.min_width_px),
        origin=Origin(context.job_id, context.step_id, context.execution_id, context.tool_id),
        key=await request_key(request),
    )


def rubric_from_proto(proto: rubric_pb2.Rubric) -> Rubric:
    """Returns a rubric that a caller wrote."""
    return Rubric(
        criteria=tuple(
            Criterion(Dimension(criterion.dimension), criterion.weight, criterion.threshold, criterion.description)
            for criterion in proto.criteria
        ),
        min_overall_score=proto.min_overall_score,
        asset_type=proto.asset_type,
        display_name=proto.display_name,
        version=proto.version,
        is_default=proto.is_default,
    )


def rubric_to_proto(rubric: Rubric) -> rubric_pb2.Rubric:
    """Returns the message of a rubric."""
    return rubric_pb2.Rubric(
        rubric_id=rubric.rubric_id,
        asset_type=rubric.asset_type,
        display_name=rubric.display_name,
        criteria=[
            rubric_pb2.Criterion(
                dimension=criterion.dimension.value,
                weight=criterion.weight,
                threshold=criterion.threshold,
                description=criterion.description,
            )
            for criterion in rubric.criteria
        ],
        min_overall_score=rubric.min_overall_score,
        version=rubric.version,
        builtin=rubric.builtin,
        update_time=timestamp(rubric.updated_at),
        is_default=rubric.is_default,
    )


def evaluation_to_proto(evaluation: Evaluation) -> critic_service_pb2.Evaluation:
    """Returns the message of an evaluation."""
    return critic_service_pb2.Evaluation(
        evaluation_id=evaluation.evaluation_id,
        asset_id=evaluation.asset_id,
        passes=evaluation.passes,
        score=evaluation.score,
        min_overall_score=evaluation.min_overall_score,
        criteria=map(_criterion_score_to_proto, evaluation.criteria),
        feedback=map(_feedback_to_proto, evaluation.feedback),
        evaluator=evaluation.evaluator,
        rubric_id=evaluation.rubric_id,
        cost_micro_usd=evaluation.cost_micro_usd,
        elapsed_ms=evaluation.elapsed_ms,
        job_id=evaluation.origin.job_id,
        step_id=evaluation.origin.step_id,
        execution_id=evaluation.origin.execution_id,
        create_time=timestamp(evaluation.created_at),
    )


def _criterion_score_to_proto(score: CriterionScore) -> critic_service_pb2.CriterionScore:
    return critic_service_pb2.CriterionScore(
        dimension=score.dimension.value,
        score=score.score,
        threshold=score.threshold,
        weight=score.weight,
        passes=score.passes,
        evidence=score.evidence,
    )


def _feedback_to_proto(feedback: Feedback) -> critic_service_pb2.Feedback:
    return critic_service_pb2.Feedback(
        dimension=feedback.dimension.value,
        code=feedback.code,
        message=feedback.message,
        hint=struct(feedback.hint or None),
    )
