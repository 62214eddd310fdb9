"""Events that could not be applied, told to whoever keeps dead letters."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from mesh.events.event import Event
from mesh.events.topics import DEAD_LETTERS
from mesh.telemetry import counter
from soma.events.v1.dead_letter_pb2 import DeadLetterCause, DeadLettered, DeadLetterResolved

if TYPE_CHECKING:
    import asyncpg
    from google.protobuf.message import Message

    from mesh.clock import Clock
    from mesh.events.outbox import Outbox
    from mesh.ids import Ids

_log = logging.getLogger(__name__)


class Cause(StrEnum):
    """Why an event was given up; the names of `soma.events.v1.DeadLetterCause` without their prefix."""

    MALFORMED = "MALFORMED"
    FAILED = "FAILED"
    POLICY = "POLICY"
    TIMEOUT = "TIMEOUT"


@dataclass(frozen=True)
class DeadLetter:
    """An event that a group gave up. `event` is None when its bytes are none; `detail` holds none of its content."""

    group: str
    topic: str
    key: str
    event_id: str
    value: bytes
    event: Event | None
    cause: Cause
    detail: str
    attempts: int


class DeadLetterSink(Protocol):
    """What a consumer does with events beyond applying them, in the transaction that marks them as done."""

    async def dead_letter(self, connection: asyncpg.Connection, dead_letter: DeadLetter) -> None:
        """Keep an event that was given up."""

    async def resolve(self, connection: asyncpg.Connection, group: str, event: Event) -> None:
        """Note that an event that was requeued from a dead letter was applied."""


StoreDeadLetter = Callable[["asyncpg.Connection", DeadLetter], Awaitable[None]]
"""Keeps a dead letter in the context's own state, in the transaction that marks its event as done."""


class DeadLetterPublisher:
    """Tells of dead letters on the topic `dlq.events`, through the outbox of the context whose consumer gave up.

    An event of that very topic is not told there again, which would never end: `store_dead_letter` takes it.
    """

    def __init__(
        self, outbox: Outbox, *, ids: Ids, clock: Clock, store_dead_letter: StoreDeadLetter | None = None
    ) -> None:
        self._outbox = outbox
        self._ids = ids
        self._clock = clock
        self._store_dead_letter = store_dead_letter
        self._count = counter("dead_letters_total", "Events that a consumer group gave up.", ("group", "cause"))

    async def dead_letter(self, connection: asyncpg.Connection, dead_letter: DeadLetter) -> None:
        """Tell of an event that was given up."""
        self._count.labels(dead_letter.group, dead_letter.cause.lower()).inc()
        if dead_letter.topic == DEAD_LETTERS:
            _log.error(
                "%s gave up event %s of %s: %s",
                dead_letter.group,
                dead_letter.event_id,
                DEAD_LETTERS,
                dead_letter.detail,
            )
            if self._store_dead_letter is not None:
                await self._store_dead_letter(connection, dead_letter)
            return
        dead = dead_letter.event
        message = DeadLettered(
            group=dead_letter.group,
            topic=dead_letter.topic,
            key=dead_letter.key,
            event_id=dead_letter.event_id,
            event_type=dead.type if dead else "",
            cause=DeadLetterCause.Value(f"DEAD_LETTER_CAUSE_{dead_letter.cause}"),
            detail=dead_letter.detail,
            attempts=dead_letter.attempts,
            value=dead_letter.value,
            dlq_id=dead.dlq_id if dead else "",
        )
        about = self._event(message, dead_letter.key or dead_letter.event_id, dead)
        await self._outbox.add(connection, about)

    async def resolve(self, connection: asyncpg.Connection, group: str, event: Event) -> None:
        """Tell that an event that was requeued from a dead letter was applied."""
        message = DeadLetterResolved(dlq_id=event.dlq_id, group=group, event_id=event.event_id)
        await self._outbox.add(connection, self._event(message, event.key, event))

    def _event(self, message: Message, key: str, about: Event | None) -> Event:
        return Event.from_message(
            message,
            event_id=self._ids.new(),
            topic=DEAD_LETTERS,
            key=key,
            tenant_id=about.tenant_id if about else "",
            occurred_at=self._clock.now(),
            causation_id=about.event_id if about else "",
            correlation_id=about.correlation_id if about else "",
            traceparent=about.traceparent if about else "",
        )
