"""NoteService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from soma.notes.v1 import note_service_pb2 as pb
from soma.notes.v1.note_service_pb2_grpc import NoteServiceServicer

if TYPE_CHECKING:
    import grpc.aio

    from svc_notes.app.notes import Notes
    from svc_notes.domain.note import Note


class NoteServicer(NoteServiceServicer):
    """Serves notes."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    async def CreateNote(self, request: pb.CreateNoteRequest, context: grpc.aio.ServicerContext) -> pb.Note:
        """Keeps a note."""
        return note_to_proto(await self._notes.create(caller().tenant_id, request.text, request.request_id))

    async def GetNote(self, request: pb.GetNoteRequest, context: grpc.aio.ServicerContext) -> pb.Note:
        """Reads a note."""
        return note_to_proto(await self._notes.get(caller().tenant_id, request.note_id))


def note_to_proto(note: Note) -> pb.Note:
    """A note as the contract has it."""
    return pb.Note(note_id=note.note_id, text=note.text, announced=note.announced)
