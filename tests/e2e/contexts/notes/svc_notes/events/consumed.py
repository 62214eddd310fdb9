"""Takes in that notes were kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soma.notes.v1 import note_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import asyncpg

    from mesh.events.event import Event
    from mesh.events.inbox import Handler


def handlers(announce: Callable[[asyncpg.Connection, str, str], Awaitable[None]]) -> Mapping[str, Handler]:
    """Handlers for the consumer, by the type of their event."""

    async def note_kept(connection: asyncpg.Connection, event: Event) -> None:
        await announce(connection, event.tenant_id, pb.NoteKept.FromString(event.payload).note_id)

    return {pb.NoteKept.DESCRIPTOR.full_name: note_kept}
