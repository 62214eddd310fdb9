"""The facts that notes tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.events.event import Event
from mesh.events.topics import facts_of
from mesh.ids import derive
from soma.notes.v1 import note_service_pb2 as pb

if TYPE_CHECKING:
    from svc_notes.domain.note import Note


def note_kept(note: Note) -> Event:
    """The event of a note that was kept."""
    payload = pb.NoteKept(note_id=note.note_id)
    return Event(
        event_id=derive("note.kept", note.note_id),
        type=payload.DESCRIPTOR.full_name,
        topic=facts_of("notes"),
        key=note.note_id,
        tenant_id=note.tenant_id,
        occurred_at=note.created_at,
        payload=payload.SerializeToString(),
    )
