"""Takes selections in: into the traces of their jobs, and into the audit chain of their tenant."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from mesh.events.inbox import BatchHandler
from mesh.ids import derive
from mesh.rpc.wellknown import moment
from soma.events.v1.facts_pb2 import SelectionMade, SelectionsMade
from svc_provenance.domain.audit import AuditAction, Decision, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import asyncpg

    from mesh.events.event import Event
    from soma.selector.v1.selection_pb2 import Selection

ACTION, RESOURCE, CONTEXT = "selection.create", "selection", "selector"


class KeepSelection(Protocol):
    """Keeps the selection of an event in the trace of its job, in the open transaction."""

    async def __call__(self, connection: asyncpg.Connection, event: Event, /) -> None:
        """Keeps it."""


class StageEntries(Protocol):
    """Keeps entries until they are added to their chain, in the open transaction."""

    async def __call__(self, connection: asyncpg.Connection, chain: str, entries: Sequence[Entry], /) -> None:
        """Keeps them."""


class SelectionEventHandlers:
    """The handlers of choices. One that chose nothing has no entry: the selector records refusals by policy itself.

    Each choice has an entry of its own. Entries are staged: choices of one tenant come under many keys, so that several
    consumers bring them at once, and would wait for each other's chains.
    """

    def __init__(self, keep: KeepSelection, stage: StageEntries) -> None:
        self._keep = keep
        self._stage = stage

    def handlers(self) -> Mapping[str, BatchHandler]:
        """Handlers for the consumer."""
        return {
            SelectionMade.DESCRIPTOR.full_name: BatchHandler(self.of_jobs),
            SelectionsMade.DESCRIPTOR.full_name: BatchHandler(self.outside_jobs),
        }

    async def of_jobs(self, connection: asyncpg.Connection, events: Sequence[Event]) -> None:
        """Keeps choices for jobs in their traces, and stages their entries."""
        for event in events:
            await self._keep(connection, event)
        made = [(event, SelectionMade.FromString(event.payload).selection) for event in events]
        await self._add(connection, [_entry(event, one, event.event_id) for event, one in made if _has_chosen(one)])

    async def outside_jobs(self, connection: asyncpg.Connection, events: Sequence[Event]) -> None:
        """Stages the entries of other choices."""
        await self._add(connection, [entry for event in events for entry in _entries(event)])

    async def _add(self, connection: asyncpg.Connection, entries: Sequence[Entry]) -> None:
        if entries:
            await self._stage(connection, entries[0].chain, entries)


def _entries(event: Event) -> Iterator[Entry]:
    for selection in SelectionsMade.FromString(event.payload).selections:
        if _has_chosen(selection):
            yield _entry(event, selection, derive("audit", event.event_id, selection.selection_id))


def _has_chosen(selection: Selection) -> bool:
    return bool(selection.chosen.capability_id)


def _entry(event: Event, selection: Selection, audit_id: str) -> Entry:
    """The entry of a choice; its place and record time are the chain's to give."""
    texts = {
        "subject": selection.subject,
        "actor": selection.actor,
        "resource_id": selection.selection_id,
        "policy_id": selection.policy_id,
        "trace_id": selection.trace_id,
        "reason": selection.chosen.capability_id,
    }
    audit_action = AuditAction(
        action=ACTION,
        context=CONTEXT,
        resource_type=RESOURCE,
        decision=Decision.ALLOWED.value,
        before_digest="",
        after_digest=hashlib.sha256(selection.SerializeToString(deterministic=True)).hexdigest(),
        **{name: text.replace("\0", "\ufffd") for name, text in texts.items()},
    )
    at = moment(selection.create_time) or event.occurred_at
    return Entry(event.tenant_id, 0, audit_id, at, at, audit_action)
