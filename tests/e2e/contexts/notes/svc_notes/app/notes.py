"""The use cases of notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from svc_notes.domain.note import Note

if TYPE_CHECKING:
    from mesh.clock import Clock
    from mesh.ids import Ids
    from svc_notes.app.ports import NoteStore


class Notes:
    """Keeps notes and reads them."""

    def __init__(self, store: NoteStore, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    async def create(self, tenant_id: str, text: str, request_id: str) -> Note:
        """Keep a note; IDEMPOTENCY_MISMATCH for a request id that was used with another text."""
        note = await self._store.add(Note(self._ids.new(), tenant_id, text, self._clock.now()), request_id)
        if note.text != text:
            raise SomaError(Reason.IDEMPOTENCY_MISMATCH, "this request_id was used with another text; take a new one")
        return note

    async def get(self, tenant_id: str, note_id: str) -> Note:
        """Read a note; NOT_FOUND."""
        note = await self._store.get(tenant_id, note_id)
        if note is None:
            raise SomaError(Reason.NOT_FOUND, f"there is no note {note_id}")
        return note
