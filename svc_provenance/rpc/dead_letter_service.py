"""DeadLetterService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from mesh.context import caller
from mesh.redaction import LARGE_CHARS, redact_large
from mesh.rpc.paging import page_size, time_cursor_of, time_cursor_token
from mesh.rpc.wellknown import struct
from soma.provenance.v1 import dead_letter_service_pb2 as pb
from soma.provenance.v1.dead_letter_service_pb2_grpc import DeadLetterServiceServicer
from svc_provenance.app.dead_letters import DeadLetterFilters
from svc_provenance.domain.pages import PageCursor
from svc_provenance.domain.record_redaction import RecordRedactor
from svc_provenance.domain.tenant_scope import tenant_of, tenants_of
from svc_provenance.rpc.convert.dead_letters import dead_letter_filters_from_proto, dead_letter_to_proto

if TYPE_CHECKING:
    import grpc.aio
    from google.protobuf.struct_pb2 import Struct

    from mesh.events.event import Codec
    from svc_provenance.app.dead_letters import DeadLetters
    from svc_provenance.domain.dead_letters import DeadLetterRecord

_DEFAULT_REQUEUE_LIMIT = 100


class DeadLetterServicer(DeadLetterServiceServicer):
    """Serves dead letters."""

    def __init__(self, dead_letters: DeadLetters, codec: Codec) -> None:
        self._dead_letters = dead_letters
        self._codec = codec

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListDeadLettersResponse:
        """Lists dead letters, newest first."""
        tenant_id, cursor = tenant_of(caller(), platform=request.platform), time_cursor_of(request)
        page, last = await self._dead_letters.page(
            tenant_id,
            dead_letter_filters_from_proto(request),
            PageCursor(*cursor) if cursor else None,
            page_size(request),
        )
        return pb.ListDeadLettersResponse(
            dead_letters=map(dead_letter_to_proto, page),
            next_page_token=time_cursor_token(request, last.at, last.id_) if last else "",
        )

    async def GetDeadLetter(self, request: pb.GetDeadLetterRequest, context: grpc.aio.ServicerContext) -> pb.DeadLetter:
        """Reads one dead letter with its event, redacted."""
        dead_letter = await self._dead_letters.get(tenants_of(caller()), request.dlq_id.lower())
        message = dead_letter_to_proto(dead_letter)
        payload = await redact_large(lambda: self._payload(dead_letter), len(dead_letter.value))
        if payload is not None:
            message.payload.CopyFrom(payload)
        return message

    async def RequeueDeadLetter(
        self, request: pb.RequeueDeadLetterRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeadLetter:
        """Sends a dead letter's event again."""
        dead_letter = await self._dead_letters.requeue(tenants_of(caller()), request.dlq_id.lower())
        return dead_letter_to_proto(dead_letter)

    async def RequeueDeadLetters(
        self, request: pb.RequeueDeadLettersRequest, context: grpc.aio.ServicerContext
    ) -> pb.RequeueDeadLettersResponse:
        """Sends the events of many dead letters again."""
        filters = DeadLetterFilters(topic=request.topic, group=request.group, event_type=request.event_type)
        ids = [id_.lower() for id_ in request.dlq_ids]
        limit = request.limit or _DEFAULT_REQUEUE_LIMIT
        result = await self._dead_letters.requeue_many(tenants_of(caller()), ids, filters, limit)
        return pb.RequeueDeadLettersResponse(requeued=result.requeued, left=result.left, remaining=result.remaining)

    async def DiscardDeadLetter(
        self, request: pb.DiscardDeadLetterRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeadLetter:
        """Discards a dead letter for good."""
        dead_letter = await self._dead_letters.discard(tenants_of(caller()), request.dlq_id.lower(), request.reason)
        return dead_letter_to_proto(dead_letter)

    def _payload(self, dead_letter: DeadLetterRecord) -> Struct | None:
        """Returns the event's payload as JSON, redacted; None when it cannot be decoded."""
        try:
            event = self._codec.decode(dead_letter.value)
            kind = descriptor_pool.Default().FindMessageTypeByName(event.type)
            message = message_factory.GetMessageClass(kind).FromString(event.payload)
        except (ValueError, KeyError, DecodeError):
            return None
        payload = MessageToDict(message, preserving_proto_field_name=True)
        return struct(RecordRedactor(limit=LARGE_CHARS).object(payload))
