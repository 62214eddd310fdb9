"""How far the listing of the blob store was compared with the rows, in Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.stores.postgres import SYSTEM

if TYPE_CHECKING:
    from datetime import datetime

    from mesh.stores.postgres import Postgres

_TAKE = """
UPDATE blob_sweeps SET leased_until = $3
WHERE name = 'blobs' AND leased_until <= $1 AND finished_at <= $2 RETURNING cursor
"""
_ADVANCE = "UPDATE blob_sweeps SET cursor = $1, leased_until = $2 WHERE name = 'blobs'"
_FINISH = """
UPDATE blob_sweeps SET cursor = '', leased_until = '-infinity', finished_at = $1 WHERE name = 'blobs'
"""


class PostgresSweep:
    """The one sweep of a mesh. A replica that dies loses it when its lease ends."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def store_id(self) -> str:
        """Id that the blob store of these rows carries."""
        async with self._postgres.transaction(SYSTEM) as connection:
            return str(await connection.fetchval("SELECT store_id FROM blob_sweeps WHERE name = 'blobs'"))

    async def take(self, now: datetime, finished_before: datetime, leased_until: datetime) -> str | None:
        """Takes the sweep over; gives the path to go on after."""
        async with self._postgres.transaction(SYSTEM) as connection:
            cursor: str | None = await connection.fetchval(_TAKE, now, finished_before, leased_until)
        return cursor

    async def advance(self, cursor: str, leased_until: datetime) -> None:
        """Remembers the last path that was compared."""
        async with self._postgres.transaction(SYSTEM) as connection:
            await connection.execute(_ADVANCE, cursor, leased_until)

    async def finish(self, now: datetime) -> None:
        """Gives the sweep back, done."""
        async with self._postgres.transaction(SYSTEM) as connection:
            await connection.execute(_FINISH, now)
