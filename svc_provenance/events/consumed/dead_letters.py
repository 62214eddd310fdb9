"""Handlers of the events of the dead letter topic."""

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
    """Stores dead letters in the open transaction."""

    async def lock_dead_letter(
        self, connection: asyncpg.Connection, tenant_id: str, dlq_id: str
    ) -> DeadLetterRecord | None:
        """Returns a dead letter, locked until the transaction ends."""

    async def add_dead_letter(self, connection: asyncpg.Connection, dead_letter: DeadLetterRecord) -> None:
        """Inserts a dead letter."""

    async def update_dead_letter(self, connection: asyncpg.Connection, dead_letter: DeadLetterRecord) -> None:
        """Updates a dead letter."""


class DeadLetterEventHandlers:
    """Handles the events of `dlq.events`."""

    def __init__(self, dead_letter_rows: DeadLetterRows, policy: RequeuePolicy, clock: Clock) -> None:
        self._dead_letter_rows = dead_letter_rows
        self._policy = policy
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        """Returns the handlers by the type of their event."""
        return {
            DeadLettered.DESCRIPTOR.full_name: self.dead_lettered,
            DeadLetterResolved.DESCRIPTOR.full_name: self.dead_letter_resolved,
        }

    async def dead_lettered(self, connection: asyncpg.Connection, event: Event) -> None:
        """Adds a dead letter, or updates the one that the event was requeued from."""
        failed = DeadLettered.FromString(event.payload)
        now = self._clock.now()
        dead_letter = DeadLetterRecord(
            dlq_id=derive("dead-letter", failed.group, failed.event_id),
            tenant_id=event.tenant_id,
            group=failed.group,
            topic=failed.topic,
            key=failed.key,
            event_id=failed.event_id,
            event_type=failed.event_type,
            cause=cause_from_proto(failed.cause),
            detail=failed.detail,
            attempts=0,
            created_at=event.occurred_at,
            updated_at=now,
            correlation_id=event.correlation_id,
            trace_id=event.traceparent[_TRACE_ID],
            value=failed.value,
        )
        await self._add_or_update(connection, dead_letter, failed.attempts, failed.dlq_id)

    async def dead_letter_resolved(self, connection: asyncpg.Connection, event: Event) -> None:
        """Marks a dead letter as resolved: its event was applied."""
        resolution = DeadLetterResolved.FromString(event.payload)
        dead_letter = await self._dead_letter_rows.lock_dead_letter(connection, event.tenant_id, resolution.dlq_id)
        if dead_letter is not None:
            await self._dead_letter_rows.update_dead_letter(connection, resolved(dead_letter, self._clock.now()))

    async def add_own(self, connection: asyncpg.Connection, dead_letter: DeadLetter) -> None:
        """Adds an event of `dlq.events` itself that could not be applied; it is not published there again."""
        event = dead_letter.event
        now = self._clock.now()
        record = DeadLetterRecord(
            dlq_id=derive("dead-letter", dead_letter.group, dead_letter.event_id),
            tenant_id=event.tenant_id if event else "",
            group=dead_letter.group,
            topic=dead_letter.topic,
            key=dead_letter.key,
            event_id=dead_letter.event_id,
            event_type=event.type if event else "",
            cause=Cause(dead_letter.cause.lower()),
            detail=dead_letter.detail,
            attempts=0,
            created_at=now,
            updated_at=now,
            correlation_id=event.correlation_id if event else "",
            value=dead_letter.value,
        )
        await self._add_or_update(connection, record, dead_letter.attempts, event.dlq_id if event else "")

    async def _add_or_update(
        self, connection: asyncpg.Connection, new: DeadLetterRecord, attempts: int, requeued_from: str
    ) -> None:
        """Updates the dead letter that the event was requeued from, else adds the new one."""
        failure = DeliveryFailure(new.cause, new.detail, attempts)
        requeued = (
            await self._dead_letter_rows.lock_dead_letter(connection, new.tenant_id, requeued_from)
            if requeued_from
            else None
        )
        if requeued is not None:
            await self._dead_letter_rows.update_dead_letter(
                connection, after_failure(requeued, failure, new.updated_at, self._policy)
            )
        else:
            await self._dead_letter_rows.add_dead_letter(
                connection, after_failure(new, failure, new.updated_at, self._policy)
            )
