"""Converters of dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.rpc.enums import EnumCodec
from mesh.rpc.wellknown import timestamp
from soma.events.v1.dead_letter_pb2 import DeadLetterCause
from soma.provenance.v1 import dead_letter_service_pb2 as pb
from svc_provenance.app.dead_letters import DeadLetterFilters
from svc_provenance.domain.dead_letters import Cause, State

if TYPE_CHECKING:
    from svc_provenance.domain.dead_letters import DeadLetterRecord

_STATES = EnumCodec(pb.DeadLetterState)
_CAUSES = EnumCodec(DeadLetterCause)


def dead_letter_filters_from_proto(request: pb.ListDeadLettersRequest) -> DeadLetterFilters:
    """Returns the filters of a list request."""
    return DeadLetterFilters(
        state=State(_STATES.name(request.state).lower()) if request.state else None,
        cause=Cause(_CAUSES.name(request.cause).lower()) if request.cause else None,
        topic=request.topic,
        group=request.group,
        event_type=request.event_type,
        correlation_id=request.correlation_id,
    )


def cause_from_proto(number: DeadLetterCause.ValueType) -> Cause:
    """Returns the cause that an event states; one that is not known here is a failure."""
    name = _CAUSES.name(number).lower()
    return Cause(name) if name in set(Cause) else Cause.FAILED


def dead_letter_to_proto(dead_letter: DeadLetterRecord) -> pb.DeadLetter:
    """Returns the message of a dead letter, without its event."""
    return pb.DeadLetter(
        dlq_id=dead_letter.dlq_id,
        state=_STATES.number(dead_letter.state.name),
        group=dead_letter.group,
        topic=dead_letter.topic,
        key=dead_letter.key,
        event_id=dead_letter.event_id,
        event_type=dead_letter.event_type,
        cause=_CAUSES.number(dead_letter.cause.name),
        detail=dead_letter.detail,
        attempts=dead_letter.attempts,
        requeues=dead_letter.requeues,
        correlation_id=dead_letter.correlation_id,
        trace_id=dead_letter.trace_id,
        create_time=timestamp(dead_letter.created_at),
        update_time=timestamp(dead_letter.updated_at),
        requeue_time=timestamp(dead_letter.requeue_at),
        expire_time=timestamp(dead_letter.expires_at),
        reason=dead_letter.reason,
        size_bytes=dead_letter.size_bytes or len(dead_letter.value),
    )
