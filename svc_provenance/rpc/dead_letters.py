"""DeadLetterService: convert, call, convert back."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from mesh.context import caller
from mesh.errors import Reason, SomaError, invalid
from mesh.rpc.wellknown import struct, timestamp
from soma.events.v1.dead_letter_pb2 import DeadLetterCause
from soma.provenance.v1 import dead_letter_service_pb2 as pb
from soma.provenance.v1.dead_letter_service_pb2_grpc import DeadLetterServiceServicer
from svc_provenance.app.dead_letters import PLATFORM, Filters, Mark
from svc_provenance.domain.dead_letters import Cause, Letter, State
from svc_provenance.domain.internals import RecordRedactor

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc.aio
    from google.protobuf.struct_pb2 import Struct

    from mesh.events.event import Codec
    from svc_provenance.app.dead_letters import DeadLetters

_DEFAULT_PAGE, _DEFAULT_MANY = 50, 100
_ADMIN = "platform_admin"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class DeadLetterServicer(DeadLetterServiceServicer):
    """Serves the desk of dead letters."""

    def __init__(self, desk: DeadLetters, codec: Codec) -> None:
        self._desk = desk
        self._codec = codec

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListDeadLettersResponse:
        """Lists letters, newest first."""
        filters = Filters(
            state=_state(request.state),
            cause=_cause(request.cause),
            topic=request.topic,
            group=request.group,
            event_type=request.event_type,
            correlation_id=request.correlation_id,
        )
        tenant = _platform() if request.platform else caller().tenant_id
        page, end = await self._desk.page(tenant, filters, _mark(request), request.page_size or _DEFAULT_PAGE)
        return pb.ListDeadLettersResponse(
            dead_letters=map(_letter, page), next_page_token=_token(request, end) if end else ""
        )

    async def GetDeadLetter(self, request: pb.GetDeadLetterRequest, context: grpc.aio.ServicerContext) -> pb.DeadLetter:
        """Reads one letter with its event, redacted."""
        letter = await self._desk.of(_tenants(), request.dlq_id.lower())
        message = _letter(letter)
        payload = self._payload(letter)
        if payload is not None:
            message.payload.CopyFrom(payload)
        return message

    async def RequeueDeadLetter(
        self, request: pb.RequeueDeadLetterRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeadLetter:
        """Sends a letter's event again."""
        return _letter(await self._desk.requeue(_tenants(), request.dlq_id.lower()))

    async def RequeueDeadLetters(
        self, request: pb.RequeueDeadLettersRequest, context: grpc.aio.ServicerContext
    ) -> pb.RequeueDeadLettersResponse:
        """Sends the events of many letters again."""
        filters = Filters(topic=request.topic, group=request.group, event_type=request.event_type)
        ids = [id_.lower() for id_ in request.dlq_ids]
        done = await self._desk.requeue_many(_tenants(), ids, filters, request.limit or _DEFAULT_MANY)
        return pb.RequeueDeadLettersResponse(requeued=done.requeued, left=done.left, remaining=done.remaining)

    async def DiscardDeadLetter(
        self, request: pb.DiscardDeadLetterRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeadLetter:
        """Gives a letter up for good."""
        return _letter(await self._desk.discard(_tenants(), request.dlq_id.lower(), request.reason))

    def _payload(self, letter: Letter) -> Struct | None:
        """The event's payload as JSON, redacted; None when it cannot be read."""
        try:
            event = self._codec.decode(letter.value)
            kind = descriptor_pool.Default().FindMessageTypeByName(event.type)
            message = message_factory.GetMessageClass(kind).FromString(event.payload)
        except (ValueError, KeyError, DecodeError):
            return None
        plain = MessageToDict(message, preserving_proto_field_name=True)
        return struct(RecordRedactor().object(plain))


def _platform() -> str:
    """The platform's letters, for its administrators."""
    if _ADMIN not in caller().roles:
        raise SomaError(Reason.PERMISSION_DENIED, f"platform: needs the role {_ADMIN}")
    return PLATFORM


def _tenants() -> Sequence[str]:
    """Whose letters the caller may see: its tenant's, and the platform's for its administrators."""
    who = caller()
    return (who.tenant_id, PLATFORM) if _ADMIN in who.roles else (who.tenant_id,)


def _state(number: pb.DeadLetterState.ValueType) -> State | None:
    name = pb.DeadLetterState.Name(number).removeprefix("DEAD_LETTER_STATE_").lower()
    return State(name) if number else None


def _cause(number: DeadLetterCause.ValueType) -> Cause | None:
    name = DeadLetterCause.Name(number).removeprefix("DEAD_LETTER_CAUSE_").lower()
    return Cause(name) if number else None


def _digest(request: pb.ListDeadLettersRequest) -> str:
    """Ties a page token to the filters it was made for."""
    plain = pb.ListDeadLettersRequest()
    plain.CopyFrom(request)
    plain.ClearField("page_token")
    plain.ClearField("page_size")
    return hashlib.sha256(plain.SerializeToString(deterministic=True)).hexdigest()[:16]


def _token(request: pb.ListDeadLettersRequest, end: Mark) -> str:
    return f"{(end.created_at - _EPOCH) // _MICROSECOND}.{end.dlq_id}.{_digest(request)}"


def _mark(request: pb.ListDeadLettersRequest) -> Mark | None:
    if not request.page_token:
        return None
    try:
        micros, dlq_id, digest = request.page_token.split(".")
        mark = Mark(_EPOCH + int(micros) * _MICROSECOND, str(UUID(dlq_id)))
    except (ValueError, OverflowError):
        raise invalid("page_token", "must be the next_page_token of the page before") from None
    if digest != _digest(request):
        raise invalid("page_token", "belongs to other filters; ask with the filters of the page before")
    return mark


def _letter(letter: Letter) -> pb.DeadLetter:
    return pb.DeadLetter(
        dlq_id=letter.dlq_id,
        state=pb.DeadLetterState.Value(f"DEAD_LETTER_STATE_{letter.state.name}"),
        group=letter.group,
        topic=letter.topic,
        key=letter.key,
        event_id=letter.event_id,
        event_type=letter.event_type,
        cause=DeadLetterCause.Value(f"DEAD_LETTER_CAUSE_{letter.cause.name}"),
        detail=letter.detail,
        attempts=letter.attempts,
        requeues=letter.requeues,
        correlation_id=letter.correlation_id,
        trace_id=letter.trace_id,
        create_time=timestamp(letter.created_at),
        update_time=timestamp(letter.updated_at),
        requeue_time=timestamp(letter.requeue_at),
        expire_time=timestamp(letter.expires_at),
        reason=letter.reason,
        size_bytes=letter.size_bytes or len(letter.value),
    )
