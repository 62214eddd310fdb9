"""What the use cases need from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from svc_notes.domain.note import Note


class NoteStore(Protocol):
    """Where notes are kept."""

    async def add(self, note: Note, request_id: str) -> Note:
        """Keep a note and tell of it; the first one where the request id was used before."""

    async def get(self, tenant_id: str, note_id: str) -> Note | None:
        """One of the tenant's."""
