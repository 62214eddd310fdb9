"""Takes in what consumer groups gave up, and what of it was applied in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mesh.ids import derive
from soma.events.v1.dead_letter_pb2 import DeadLettered, DeadLetterResolved
from svc_provenance.domain.dead_letters import Cause, DeadLetterRecord, DeliveryFailure, after_failure, resolved
from svc_provenance.rpc.convert.dead_letters import cause_from_proto

if TYPE_CHECKING:
    from collections.abc import Mapping

    import asyncpg

    from mesh.clock import Clock
    from mesh.events.dead_letters import DeadLetter
    from mesh.events.event import Event
    from mesh.events.inbox import Handler
    from svc_provenance.domain.dead_letters import RequeuePolicy

_TRACE_ID = slice(3, 35)


class DeadLetterRows(Protocol):
    """Keeps dead letters in the open transaction."""

    async def lock_dead_letter(
        self, connection: asyncpg.Connection, tenant_id: str, dlq_id: str
    ) -> DeadLetterRecord | None:
        """A dead letter, locked until the transaction ends."""

    async def add(self, connection: asyncpg.Connection, dead_letter: DeadLetterRecord) -> None:
        """Keeps a new dead letter."""

    async def save(self, connection: asyncpg.Connection, dead_letter: DeadLetterRecord) -> None:
        """Puts a dead letter in the place of what it was."""


class DeadLetterEventHandlers:
    """The handlers of `dlq.events`."""

    def __init__(self, dead_letter_rows: DeadLetterRows, policy: RequeuePolicy, clock: Clock) -> None:
        self._dead_letter_rows = dead_letter_rows
        self._policy = policy
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        """Handlers for the consumer."""
        return {
            DeadLettered.DESCRIPTOR.full_name: self.dead_lettered,
            DeadLetterResolved.DESCRIPTOR.full_name: self.dead_letter_resolved,
        }

    async def dead_lettered(self, connection: asyncpg.Connection, event: Event) -> None:
        """Opens a dead letter, or goes on with the one that the event was requeued from."""
        dead = DeadLettered.FromString(event.payload)
        now = self._clock.now()
        dead_letter = DeadLetterRecord(
            dlq_id=derive("dead-letter", dead.group, dead.event_id),
            tenant_id=event.tenant_id,
            group=dead.group,
            topic=dead.topic,
            key=dead.key,
            event_id=dead.event_id,
            event_type=dead.event_type,
            cause=cause_from_proto(dead.cause),
            detail=dead.detail,
            attempts=0,
            created_at=event.occurred_at,
            updated_at=now,
            correlation_id=event.correlation_id,
            trace_id=event.traceparent[_TRACE_ID],
            value=dead.value,
        )
        await self._take(connection, dead_letter, dead.attempts, dead.dlq_id)

    async def dead_letter_resolved(self, connection: asyncpg.Connection, event: Event) -> None:
        """Notes that a letter's event was applied."""
        done = DeadLetterResolved.FromString(event.payload)
        dead_letter = await self._dead_letter_rows.lock_dead_letter(connection, event.tenant_id, done.dlq_id)
        if dead_letter is not None:
            await self._dead_letter_rows.save(connection, resolved(dead_letter, self._clock.now()))

    async def keep(self, connection: asyncpg.Connection, dead_letter: DeadLetter) -> None:
        """Keeps an event of `dlq.events` itself, which is not told there again."""
        dead = dead_letter.event
        now = self._clock.now()
        record = DeadLetterRecord(
            dlq_id=derive("dead-letter", dead_letter.group, dead_letter.event_id),
            tenant_id=dead.tenant_id if dead else "",
            group=dead_letter.group,
            topic=dead_letter.topic,
            key=dead_letter.key,
            event_id=dead_letter.event_id,
            event_type=dead.type if dead else "",
            cause=Cause(dead_letter.cause.lower()),
            detail=dead_letter.detail,
            attempts=0,
            created_at=now,
            updated_at=now,
            correlation_id=dead.correlation_id if dead else "",
            value=dead_letter.value,
        )
        await self._take(connection, record, dead_letter.attempts, dead.dlq_id if dead else "")

    async def _take(
        self, connection: asyncpg.Connection, new: DeadLetterRecord, attempts: int, requeued_from: str
    ) -> None:
        """Goes on with the dead letter that the event was requeued from, else keeps the new one."""
        failure = DeliveryFailure(new.cause, new.detail, attempts)
        known = (
            await self._dead_letter_rows.lock_dead_letter(connection, new.tenant_id, requeued_from)
            if requeued_from
            else None
        )
        if known is not None:
            await self._dead_letter_rows.save(connection, after_failure(known, failure, new.updated_at, self._policy))
        else:
            await self._dead_letter_rows.add(connection, after_failure(new, failure, new.updated_at, self._policy))
