"""The wiring of the notes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.chassis import chassis
from mesh.settings import load
from soma.notes.v1.note_service_pb2_grpc import add_NoteServiceServicer_to_server
from svc_notes.adapters.postgres import PostgresNotes, announce
from svc_notes.app.notes import Notes
from svc_notes.context import CONTEXT, NAME
from svc_notes.events.consumed import handlers
from svc_notes.events.published import note_kept
from svc_notes.rpc.note_service import NoteServicer
from svc_notes.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.lifecycle import Service


@asynccontextmanager
async def build(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Builds the notes and undoes it in reverse."""
    settings = settings or load(Settings, NAME)
    async with chassis(CONTEXT, settings) as mesh:
        await mesh.follow_keys()
        await mesh.consume(handlers(announce))
        notes = Notes(PostgresNotes(mesh.postgres, mesh.outbox, mesh.auditor, note_kept), mesh.clock, mesh.ids)
        yield await mesh.serve([(add_NoteServiceServicer_to_server, NoteServicer(notes))])
