"""Between the protos and the domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.events.event import Event
from mesh.events.topics import facts_of
from mesh.ids import derive
from mesh.redaction import Redactor
from mesh.rpc.access import check_job_fields
from mesh.rpc.request_keys import request_key
from mesh.rpc.wellknown import redact, struct, timestamp
from soma.critic.v1 import critic_service_pb2, rubric_pb2
from soma.events.v1 import facts_pb2
from svc_critic.app import EvaluationRequest
from svc_critic.domain.asset import EvaluationContext
from svc_critic.domain.evaluation import Evaluation, Origin, RubricChoice
from svc_critic.domain.rubric import Criterion, Dimension, Rubric

if TYPE_CHECKING:
    from mesh.context import Caller
    from svc_critic.domain.judgement import CriterionScore, Feedback

TOPIC = facts_of("critic")


async def order_from(request: critic_service_pb2.EvaluateRequest, who: Caller) -> EvaluationRequest:
    """What is to be judged. INVALID_ARGUMENT for a job that no service names: the verdict appears in its trace."""
    context = request.context
    check_job_fields(context, "context", who)
    return EvaluationRequest(
        asset_id=request.asset_id,
        rubric=RubricChoice(rubric_from(request.rubric) if request.HasField("rubric") else None, request.rubric_id),
        context=EvaluationContext(context.request, tuple(context.expected_labels), context.min_width_px),
        origin=Origin(context.job_id, context.step_id, context.execution_id, context.tool_id),
        key=await request_key(request),
    )


def rubric_from(proto: rubric_pb2.Rubric) -> Rubric:
    """A rubric as written by a caller."""
    return Rubric(
        criteria=tuple(
            Criterion(Dimension(item.dimension), item.weight, item.threshold, item.description)
            for item in proto.criteria
        ),
        min_overall_score=proto.min_overall_score,
        asset_type=proto.asset_type,
        display_name=proto.display_name,
        version=proto.version,
        is_default=proto.is_default,
    )


def rubric_to(item: Rubric) -> rubric_pb2.Rubric:
    """The message of a rubric."""
    return rubric_pb2.Rubric(
        rubric_id=item.rubric_id,
        asset_type=item.asset_type,
        display_name=item.display_name,
        criteria=[
            rubric_pb2.Criterion(
                dimension=criterion.dimension.value,
                weight=criterion.weight,
                threshold=criterion.threshold,
                description=criterion.description,
            )
            for criterion in item.criteria
        ],
        min_overall_score=item.min_overall_score,
        version=item.version,
        builtin=item.builtin,
        update_time=timestamp(item.updated_at),
        is_default=item.is_default,
    )


def evaluation_to(item: Evaluation) -> critic_service_pb2.Evaluation:
    """The message of a verdict."""
    return critic_service_pb2.Evaluation(
        evaluation_id=item.evaluation_id,
        asset_id=item.asset_id,
        passes=item.passes,
        score=item.score,
        min_overall_score=item.min_overall_score,
        criteria=map(_criterion_to, item.criteria),
        feedback=map(_feedback_to, item.feedback),
        evaluator=item.evaluator,
        rubric_id=item.rubric_id,
        cost_micro_usd=item.cost_micro_usd,
        elapsed_ms=item.elapsed_ms,
        job_id=item.origin.job_id,
        step_id=item.origin.step_id,
        execution_id=item.origin.execution_id,
        create_time=timestamp(item.created_at),
    )


def _criterion_to(item: CriterionScore) -> critic_service_pb2.CriterionScore:
    return critic_service_pb2.CriterionScore(
        dimension=item.dimension.value,
        score=item.score,
        threshold=item.threshold,
        weight=item.weight,
        passes=item.passes,
        evidence=item.evidence,
    )


def _feedback_to(item: Feedback) -> critic_service_pb2.Feedback:
    return critic_service_pb2.Feedback(
        dimension=item.dimension.value, code=item.code, message=item.message, hint=struct(item.hint or None)
    )


def _redacted(message: critic_service_pb2.Evaluation) -> critic_service_pb2.Evaluation:
    """The verdict as others are told of it: what was read in the asset may be personal."""
    redactor = Redactor()
    for criterion in message.criteria:
        criterion.evidence = redactor.text(criterion.evidence)
    for item in message.feedback:
        item.message = redactor.text(item.message)
        redact(redactor, item.hint)
    return message


def evaluation_done(evaluation: Evaluation) -> Event:
    """The event of a verdict, in order within its job."""
    payload = facts_pb2.EvaluationDone(evaluation=_redacted(evaluation_to(evaluation)))
    key = evaluation.origin.job_id or evaluation.asset_id
    return Event.from_message(
        payload,
        event_id=derive("evaluation.done", evaluation.evaluation_id),
        topic=TOPIC,
        key=key,
        tenant_id=evaluation.tenant_id,
        occurred_at=evaluation.created_at,
        correlation_id=key,
    )
