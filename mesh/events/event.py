"""An event, and the form in which it travels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from google.protobuf.message import DecodeError

if TYPE_CHECKING:
    from datetime import tzinfo


@dataclass(frozen=True)
class Event:
    """One fact. Events of one `key` within a `topic` are applied in order.

    `type` is the full name of the payload's message, `tenant_id` empty for a fact of the platform, `occurred_at` aware.
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

    def __post_init__(self) -> None:
        """Refuse what could not be delivered later."""
        for name in ("event_id", "type", "topic", "key"):
            if not getattr(self, name):
                raise ValueError(f"an event needs a {name}")
        if self.occurred_at.tzinfo is None:
            raise ValueError("occurred_at of an event must be aware")


class Codec(Protocol):
    """Turns events into bytes and back."""

    def encode(self, event: Event) -> bytes:
        """The event's bytes on the bus."""

    def decode(self, data: bytes) -> Event:
        """The event of such bytes; ValueError when they are not one."""


class Timestamp(Protocol):
    """What is used of `google.protobuf.Timestamp`."""

    def ToDatetime(self, tzinfo: tzinfo | None = None) -> datetime:  # noqa: N802 - protobuf's name
        """The same instant as a datetime."""

    def FromDatetime(self, dt: datetime) -> None:  # noqa: N802 - protobuf's name
        """Take over the instant."""


class Envelope(Protocol):
    """What is used of `soma.events.v1.Envelope`, which the chassis does not import."""

    event_id: str
    type: str
    topic: str
    key: str
    tenant_id: str
    payload: bytes
    schema_version: int
    causation_id: str
    correlation_id: str
    traceparent: str

    @property
    def occur_time(self) -> Timestamp:
        """When it happened."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """The message's bytes."""


class EnvelopeType(Protocol):
    """The class of the envelope message."""

    def __call__(self) -> Envelope:
        """An empty envelope."""

    def FromString(self, s: bytes) -> Envelope:  # noqa: N802 - protobuf's name
        """The message of the bytes."""


_TEXT = ("event_id", "type", "topic", "key", "tenant_id", "causation_id", "correlation_id", "traceparent")


class ProtoCodec:
    """Events as envelope messages; the generated class is given by the composition root."""

    def __init__(self, envelope: EnvelopeType) -> None:
        self._envelope = envelope

    def encode(self, event: Event) -> bytes:
        """The event's bytes on the bus."""
        message = self._envelope()
        for name in _TEXT:
            setattr(message, name, getattr(event, name))
        message.payload = event.payload
        message.schema_version = event.schema_version
        message.occur_time.FromDatetime(event.occurred_at.astimezone(UTC))
        return message.SerializeToString()

    def decode(self, data: bytes) -> Event:
        """The event of such bytes; ValueError when they are not one."""
        try:
            message = self._envelope.FromString(data)
        except DecodeError as error:
            raise ValueError("not an event envelope") from error
        return Event(
            event_id=message.event_id,
            type=message.type,
            topic=message.topic,
            key=message.key,
            tenant_id=message.tenant_id,
            occurred_at=message.occur_time.ToDatetime(tzinfo=UTC),
            payload=message.payload,
            schema_version=message.schema_version,
            causation_id=message.causation_id,
            correlation_id=message.correlation_id,
            traceparent=message.traceparent,
        )
