"""DeadLetterService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from mesh.context import caller
from mesh.redaction import LARGE_CHARS, redact_large
from mesh.rpc.enums import EnumCodec
from mesh.rpc.paging import page_size, time_cursor_of, time_cursor_token
from mesh.rpc.wellknown import struct, timestamp
from soma.events.v1.dead_letter_pb2 import DeadLetterCause
from soma.provenance.v1 import dead_letter_service_pb2 as pb
from soma.provenance.v1.dead_letter_service_pb2_grpc import DeadLetterServiceServicer
from svc_provenance.app.dead_letters import DeadLetterFilters
from svc_provenance.domain.dead_letters import Cause, DeadLetterRecord, State
from svc_provenance.domain.pages import PageCursor
from svc_provenance.domain.record_redaction import RecordRedactor
from svc_provenance.domain.tenant_scope import tenant_of, tenants_of

if TYPE_CHECKING:
    import grpc.aio
    from google.protobuf.struct_pb2 import Struct

    from mesh.events.event import Codec
    from svc_provenance.app.dead_letters import DeadLetters

_STATES = EnumCodec(pb.DeadLetterState)
_CAUSES = EnumCodec(DeadLetterCause)
_DEFAULT_MANY = 100


class DeadLetterServicer(DeadLetterServiceServicer):
    """Serves dead letters."""

    def __init__(self, service: DeadLetters, codec: Codec) -> None:
        self._service = service
        self._codec = codec

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListDeadLettersResponse:
        """Lists dead letters, newest first."""
        filters = DeadLetterFilters(
            state=_state(request.state),
            cause=_cause(request.cause),
            topic=request.topic,
            group=request.group,
            event_type=request.event_type,
            correlation_id=request.correlation_id,
        )
        tenant, mark = tenant_of(caller(), platform=request.platform), time_cursor_of(request)
        size = page_size(request)
        page, end = await self._service.page(tenant, filters, mark and PageCursor(*mark), size)
        return pb.ListDeadLettersResponse(
            dead_letters=map(_dead_letter, page),
            next_page_token=time_cursor_token(request, end.at, end.id_) if end else "",
        )

    async def GetDeadLetter(self, request: pb.GetDeadLetterRequest, context: grpc.aio.ServicerContext) -> pb.DeadLetter:
        """Reads one dead letter with its event, redacted."""
        dead_letter = await self._service.of(tenants_of(caller()), request.dlq_id.lower())
        message = _dead_letter(dead_letter)
        payload = await redact_large(lambda: self._payload(dead_letter), len(dead_letter.value))
        if payload is not None:
            message.payload.CopyFrom(payload)
        return message

    async def RequeueDeadLetter(
        self, request: pb.RequeueDeadLetterRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeadLetter:
        """Sends a letter's event again."""
        return _dead_letter(await self._service.requeue(tenants_of(caller()), request.dlq_id.lower()))

    async def RequeueDeadLetters(
        self, request: pb.RequeueDeadLettersRequest, context: grpc.aio.ServicerContext
    ) -> pb.RequeueDeadLettersResponse:
        """Sends the events of many dead letters again."""
        filters = DeadLetterFilters(topic=request.topic, group=request.group, event_type=request.event_type)
        ids = [id_.lower() for id_ in request.dlq_ids]
        done = await self._service.requeue_many(tenants_of(caller()), ids, filters, request.limit or _DEFAULT_MANY)
        return pb.RequeueDeadLettersResponse(requeued=done.requeued, left=done.left, remaining=done.remaining)

    async def DiscardDeadLetter(
        self, request: pb.DiscardDeadLetterRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeadLetter:
        """Gives a dead letter up for good."""
        return _dead_letter(await self._service.discard(tenants_of(caller()), request.dlq_id.lower(), request.reason))

    def _payload(self, dead_letter: DeadLetterRecord) -> Struct | None:
        """The event's payload as JSON, redacted; None when it cannot be read."""
        try:
            event = self._codec.decode(dead_letter.value)
            kind = descriptor_pool.Default().FindMessageTypeByName(event.type)
            message = message_factory.GetMessageClass(kind).FromString(event.payload)
        except (ValueError, KeyError, DecodeError):
            return None
        plain = MessageToDict(message, preserving_proto_field_name=True)
        return struct(RecordRedactor(limit=LARGE_CHARS).object(plain))


def _state(number: pb.DeadLetterState.ValueType) -> State | None:
    return State(_STATES.name(number).lower()) if number else None


def _cause(number: DeadLetterCause.ValueType) -> Cause | None:
    return Cause(_CAUSES.name(number).lower()) if number else None


def _dead_letter(dead_letter: DeadLetterRecord) -> pb.DeadLetter:
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
