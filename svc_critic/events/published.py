"""The events that the critic publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.events.event import Event
from mesh.events.topics import facts_of
from mesh.ids import derive
from mesh.redaction import Redactor
from mesh.rpc.wellknown import redact
from soma.events.v1 import facts_pb2
from svc_critic.rpc.convert import evaluation_to_proto

if TYPE_CHECKING:
    from soma.critic.v1 import critic_service_pb2
    from svc_critic.domain.evaluation import Evaluation

TOPIC = facts_of("critic")


def evaluation_done(evaluation: Evaluation) -> Event:
    """Returns EvaluationDone. Its key is the job, else the asset, so that the events of a job are in order."""
    payload = facts_pb2.EvaluationDone(evaluation=_redacted(evaluation_to_proto(evaluation)))
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


def _redacted(message: critic_service_pb2.Evaluation) -> critic_service_pb2.Evaluation:
    """Redacts what may quote the asset, which may contain personal data; returns the same message."""
    redactor = Redactor()
    for criterion in message.criteria:
        criterion.evidence = redactor.text(criterion.evidence)
    for feedback in message.feedback:
        feedback.message = redactor.text(feedback.message)
        redact(redactor, feedback.hint)
    return message
