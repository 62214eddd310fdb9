"""Handlers of selections: for the traces of their jobs, and for the audit chain of their tenant."""

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


class AddSelection(Protocol):
    """Adds the selection of an event to the trace of its job, in the open transaction."""

    async def __call__(self, connection: asyncpg.Connection, event: Event, /) -> None:
        """Adds it."""


class StageEntries(Protocol):
    """Stages entries until they are appended to their chain, in the open transaction."""

    async def __call__(self, connection: asyncpg.Connection, chain: str, entries: Sequence[Entry], /) -> None:
        """Stages them."""


class SelectionEventHandlers:
    """Handles selections. One that chose nothing has no audit entry: the selector records denials by policy itself.

    Each selection has an entry of its own. Entries are staged: selections of one tenant have many keys, so that several
    consumers handle them at once, and would wait for each other's locks of chains.
    """

    def __init__(self, add_selection: AddSelection, stage_entries: StageEntries) -> None:
        self._add_selection = add_selection
        self._stage_entries = stage_entries

    def handlers(self) -> Mapping[str, BatchHandler]:
        """Returns the handlers by the type of their event."""
        return {
            SelectionMade.DESCRIPTOR.full_name: BatchHandler(self.selection_made),
            SelectionsMade.DESCRIPTOR.full_name: BatchHandler(self.selections_made),
        }

    async def selection_made(self, connection: asyncpg.Connection, events: Sequence[Event]) -> None:
        """Adds selections for jobs to their traces, and stages their audit entries."""
        for event in events:
            await self._add_selection(connection, event)
        made = [(event, SelectionMade.FromString(event.payload).selection) for event in events]
        entries = [_entry(event, selection, event.event_id) for event, selection in made if _has_chosen(selection)]
        await self._stage(connection, entries)

    async def selections_made(self, connection: asyncpg.Connection, events: Sequence[Event]) -> None:
        """Stages the audit entries of selections outside of jobs."""
        await self._stage(connection, [entry for event in events for entry in _entries(event)])

    async def _stage(self, connection: asyncpg.Connection, entries: Sequence[Entry]) -> None:
        if entries:
            await self._stage_entries(connection, entries[0].chain, entries)


def _entries(event: Event) -> Iterator[Entry]:
    for selection in SelectionsMade.FromString(event.payload).selections:
        if _has_chosen(selection):
            yield _entry(event, selection, derive("audit", event.event_id, selection.selection_id))


def _has_chosen(selection: Selection) -> bool:
    return bool(selection.chosen.capability_id)


def _entry(event: Event, selection: Selection, audit_id: str) -> Entry:
    """Returns the entry of a selection; appending sets its sequence and record time."""
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
