"""Handlers of the events of the audit topic."""

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


class AppendEntries(Protocol):
    """Appends entries to a chain, in the open transaction."""

    async def __call__(
        self, connection: asyncpg.Connection, chain: str, entries: Sequence[Entry], /
    ) -> Sequence[ChainedEntry]:
        """Returns the entries as they stand in the chain."""


class AuditEventHandlers:
    """Handles audit entries. `on_redacted` is called with what was redacted from reasons, counted by kind."""

    def __init__(
        self, append_entries: AppendEntries, *, on_redacted: Callable[[Mapping[str, int]], None] = lambda _: None
    ) -> None:
        self._append_entries = append_entries
        self._on_redacted = on_redacted

    def handlers(self) -> Mapping[str, BatchHandler]:
        """Returns the handlers by the type of their event."""
        return {AuditRecorded.DESCRIPTOR.full_name: BatchHandler(self.recorded)}

    async def recorded(self, connection: asyncpg.Connection, events: Sequence[Event]) -> None:
        """Appends the entries of one tenant to its chain."""
        counts: Counter[str] = Counter()
        entries = [_entry(event, counts) for event in events]
        await self._append_entries(connection, events[0].tenant_id, entries)
        self._on_redacted(counts)


def _entry(event: Event, counts: Counter[str]) -> Entry:
    """Returns the entry of an event; appending sets its sequence and record time."""
    audit_action = audit_action_from_proto(AuditRecorded.FromString(event.payload), Redactor(counts))
    return Entry(
        chain=event.tenant_id,
        sequence=0,
        audit_id=event.event_id,
        occurred_at=event.occurred_at,
        recorded_at=event.occurred_at,
        audit_action=audit_action,
    )
