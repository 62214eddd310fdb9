"""Notes: what is audited, and a call of every method that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.events.outbox import Outbox
from soma.notes.v1 import note_service_pb2 as pb
from svc_notes.adapters.postgres import PostgresNotes
from svc_notes.app.notes import Notes
from svc_notes.events.published import note_kept
from svc_notes.rpc.note_service import NoteServicer
from tests.integration.contexts.audit.observer import CLOCK, IDS, SECRET, AuditObserver
from tests.integration.contexts.audit.table import ContextAudit, Entry

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.events.audit import Auditor


async def drive(observer: AuditObserver, auditor: Auditor, _: Path) -> None:
    """A note that is kept."""
    store = PostgresNotes(observer.postgres, Outbox(), auditor, note_kept)
    create = pb.CreateNoteRequest(request_id="r1", text=SECRET)
    await observer.call("soma.notes.v1.NoteService", NoteServicer(Notes(store, CLOCK, IDS)), "CreateNote", create)


AUDIT = ContextAudit(drive, audited={"NoteService.CreateNote": Entry("note.write", "note")})
