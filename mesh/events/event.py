"""An event, and the form in which it travels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from mesh.clock import EPOCH, since_epoch
from soma.events.v1.envelope_pb2 import Envelope

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

LONGEST_ID = 128
"""Characters of an event's id."""


@dataclass(frozen=True)
class Event:
    """One fact. Events of one `key` within a `topic` are applied in order.

    `type` is the full name of the payload's message, `tenant_id` empty for a fact of the platform, `occurred_at` aware.
    `group` is the only consumer group that applies it, empty for every group; `dlq_id` the dead letter that it was
    requeued from, empty for none.
    """

    event_id: str
    type: str
    topic: str
    key: str
    tenant_id: str
    occurred_at: datetime
    payload: bytes
    schema_version: int = 1
    causation_id: str = ""
    correlation_id: str = ""
    traceparent: str = ""
    group: str = ""
    dlq_id: str = ""

    @classmethod
    def from_message(
        cls,
        message: Message,
        *,
        event_id: str,
        topic: str,
        key: str,
        tenant_id: str,
        occurred_at: datetime,
        causation_id: str = "",
        correlation_id: str = "",
        traceparent: str = "",
    ) -> Event:
        """The event whose payload is a message of the contract."""
        return cls(
            event_id=event_id,
            type=message.DESCRIPTOR.full_name,
            topic=topic,
            key=key,
            tenant_id=tenant_id,
            occurred_at=occurred_at,
            payload=message.SerializeToString(),
            causation_id=causation_id,
            correlation_id=correlation_id,
            traceparent=traceparent,
        )

    def __post_init__(self) -> None:
        """Refuse what could not be delivered later."""
        if not (self.event_id and self.type and self.topic and self.key):
            name = next(name for name in ("event_id", "type", "topic", "key") if not getattr(self, name))
            raise ValueError(f"an event needs a {name}")
        if self.occurred_at.tzinfo is None:
            raise ValueError("occurred_at of an event must be aware")


class Codec:
    """Turns events into bytes and back: messages `soma.events.v1.Envelope`."""

    def encode(self, event: Event) -> bytes:
        """The event's bytes on the bus."""
        message = Envelope(
            event_id=event.event_id,
            type=event.type,
            topic=event.topic,
            key=event.key,
            tenant_id=event.tenant_id,
            payload=event.payload,
            schema_version=event.schema_version,
            causation_id=event.causation_id,
            correlation_id=event.correlation_id,
            traceparent=event.traceparent,
            group=event.group,
            dlq_id=event.dlq_id,
        )
        message.occur_time.seconds, message.occur_time.nanos = since_epoch(event.occurred_at)
        return message.SerializeToString()

    def decode(self, data: bytes) -> Event:
        """The event of such bytes; ValueError when they are not one, or one that no store can hold."""
        try:
            message = Envelope.FromString(data)
        except DecodeError as error:
            raise ValueError("not an event envelope") from error
        event = Event(
            event_id=message.event_id,
            type=message.type,
            topic=message.topic,
            key=message.key,
            tenant_id=message.tenant_id,
            occurred_at=_instant(message.occur_time),
            payload=message.payload,
            schema_version=message.schema_version,
            causation_id=message.causation_id,
            correlation_id=message.correlation_id,
            traceparent=message.traceparent,
            group=message.group,
            dlq_id=message.dlq_id,
        )
        texts = (event.event_id, event.type, event.key, event.tenant_id, event.correlation_id, event.traceparent)
        if len(event.event_id) > LONGEST_ID or "\0" in "".join(texts):
            raise ValueError("a field of the event cannot be stored")
        return event


def _instant(timestamp: Timestamp) -> datetime:
    try:
        return EPOCH + timedelta(seconds=timestamp.seconds, microseconds=timestamp.nanos // 1000)
    except OverflowError as error:
        raise ValueError("the event's time is not one") from error
