"""Takes audit entries into their chains."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

from mesh.events.inbox import BatchHandler
from mesh.redaction import Redactor
from soma.events.v1.audit_pb2 import AuditRecorded
from svc_provenance.domain.audit import Entry
from svc_provenance.rpc.convert.audit import audit_action_from_proto

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import asyncpg

    from mesh.events.event import Event
    from svc_provenance.domain.audit import ChainedEntry


class Append(Protocol):
    """Adds entries to the end of a chain, in the open transaction."""

    async def __call__(
        self, connection: asyncpg.Connection, chain: str, entries: Sequence[Entry], /
    ) -> Sequence[ChainedEntry]:
        """The entries in their places."""


class AuditEventHandlers:
    """The handler of audit entries. `on_redacted` hears what was taken out of reasons, counted by kind."""

    def __init__(self, append: Append, *, on_redacted: Callable[[Mapping[str, int]], None] = lambda _: None) -> None:
        self._append = append
        self._on_redacted = on_redacted

    def handlers(self) -> Mapping[str, BatchHandler]:
        """Handlers for the consumer."""
        return {AuditRecorded.DESCRIPTOR.full_name: BatchHandler(self.recorded)}

    async def recorded(self, connection: asyncpg.Connection, events: Sequence[Event]) -> None:
        """Adds the entries of one tenant to its chain."""
        counts: Counter[str] = Counter()
        entries = [_entry(event, counts) for event in events]
        await self._append(connection, events[0].tenant_id, entries)
        self._on_redacted(counts)


def _entry(event: Event, counts: Counter[str]) -> Entry:
    """The entry of an event; its place and record time are the chain's to give."""
    audit_action = audit_action_from_proto(AuditRecorded.FromString(event.payload), Redactor(counts))
    return Entry(
        chain=event.tenant_id,
        sequence=0,
        audit_id=event.event_id,
        occurred_at=event.occurred_at,
        recorded_at=event.occurred_at,
        audit_action=audit_action,
    )
