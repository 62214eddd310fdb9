"""Notes in Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from svc_notes.domain.note import Note

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import asyncpg

    from mesh.events.audit import Auditor
    from mesh.events.event import Event
    from mesh.events.outbox import Outbox
    from mesh.stores.postgres import Postgres

_ADD = """
INSERT INTO notes (tenant_id, note_id, request_id, text, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, request_id) DO NOTHING
RETURNING note_id
"""
_BY_REQUEST = "SELECT * FROM notes WHERE tenant_id = $1 AND request_id = $2"
_BY_ID = "SELECT * FROM notes WHERE tenant_id = $1 AND note_id = $2"
_ANNOUNCE = "UPDATE notes SET announced = true WHERE tenant_id = $1 AND note_id = $2"


class PostgresNotes:
    """Notes, each with its event and its audit entry in the same transaction."""

    def __init__(self, postgres: Postgres, outbox: Outbox, auditor: Auditor, kept: Callable[[Note], Event]) -> None:
        self._postgres = postgres
        self._outbox = outbox
        self._auditor = auditor
        self._kept = kept

    async def add(self, note: Note, request_id: str) -> Note:
        """Keep a note and tell of it; the first one where the request id was used before."""
        values = (note.tenant_id, UUID(note.note_id), request_id, note.text, note.created_at)
        async with self._postgres.transaction(note.tenant_id) as connection:
            if await connection.fetchval(_ADD, *values) is None:
                return _note(await connection.fetchrow(_BY_REQUEST, note.tenant_id, request_id))
            await self._outbox.add(connection, self._kept(note))
            await self._auditor.record(
                connection,
                action="note.write",
                resource_type="note",
                resource_id=note.note_id,
                before=None,
                after=note.text.encode(),
            )
        return note

    async def get(self, tenant_id: str, note_id: str) -> Note | None:
        """One of the tenant's."""
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(_BY_ID, tenant_id, UUID(note_id))
        return None if row is None else _note(row)


async def announce(connection: asyncpg.Connection, tenant_id: str, note_id: str) -> None:
    """Note that the event of a note came back."""
    await connection.execute(_ANNOUNCE, tenant_id, UUID(note_id))


def _note(row: Mapping[str, object]) -> Note:
    return Note(
        note_id=str(row["note_id"]),
        tenant_id=str(row["tenant_id"]),
        text=str(row["text"]),
        created_at=row["created_at"],  # type: ignore[arg-type]
        announced=bool(row["announced"]),
    )
